"""What leaves the process: no control, no secret, one line."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from html import escape
from time import process_time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline import redact
from pipeline.redact import REDACTED, Redactor, plain, uncommanded
from pipeline.secret_names import secrets_of

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=8, max_size=40)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("boom \x1b[31mred\x1b[0m", "boom red", id="colour"),
        pytest.param("\x1b]0;owned\x07title", "title", id="OSC ended by BEL"),
        pytest.param("\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\", "click", id="hyperlink"),
        pytest.param("\x1bPq#0\x1b\\sixel", "sixel", id="DCS"),
        pytest.param("\x9b2Jgone\x9d0;t\x9cx", "gonex", id="C1 forms"),
        pytest.param("\x1bc\x1b(Breset", "reset", id="short escapes"),
        pytest.param("\x1b]0;never ended", "0;never ended", id="an OSC without an end hides nothing"),
        pytest.param("a\r\nb\tc", "a  b c", id="line ends and tabs are spaces"),
        pytest.param(
            "user\u202etxt.exe\u200b", "user\ufffdtxt.exe\ufffd", id="direction marks and zero width"
        ),
        pytest.param("\ud800 alone \x00\x7f", "\ufffd alone \ufffd\ufffd", id="surrogate, NUL, DEL"),
        pytest.param("größer ✓ 日本", "größer ✓ 日本", id="words of any script stay"),
    ],
)
def test_plain(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_plain_text_is_one_printable_line(text: str) -> None:
    assert plain(text).isprintable()
    assert plain(plain(text)) == plain(text)


@given(secret=SECRETS, before=st.binary(max_size=7), after=st.binary(max_size=7))
def test_a_known_secret_is_hidden_however_it_is_spelt(secret: str, before: bytes, after: bytes) -> None:
    assume(len(secret.encode()) >= 9 and secret not in f"[[{REDACTED}]]")
    redactor = Redactor(secret)
    data = before + secret.encode() + after
    spelt = {
        "itself": secret,
        "URL": quote(secret, safe=""),
        "URL, lower case": re.sub("%..", lambda code: code[0].lower(), quote(secret, safe="")),
        "form": quote_plus(secret),
        "JSON": json.dumps(secret)[1:-1],
        "HTML": escape(secret),
        "hex": secret.encode().hex(),
        "URL in a URL": quote(quote(secret, safe=""), safe=""),
        "bytes": repr(secret.encode())[2:-1],
        "JSON in Python": repr(json.dumps({"a": secret}))[8:-3],
        "JSON in JSON in JSON": json.dumps(json.dumps(json.dumps(secret)))[7:-7],
        "a shell's": secret.replace("'", "'\\''"),
    }
    for form, text in spelt.items():
        assert text not in redactor.text(f"[[{text}]]"), form
        assert REDACTED in redactor.text(f"[[{text}]]"), form
    said = json.dumps({"a": secret}).encode()
    assert REDACTED in redactor.text(base64.b64encode(said).decode())
    for encoded in (base64.b64encode(data), base64.urlsafe_b64encode(data)):
        assert REDACTED in redactor.text(f"k={encoded.decode()};")


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefghijkl",
        "Authorization: Basic dXNlcjpodW50ZXIy",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "ya29.a0AfH6SMBxxxxxxxxxxxx",
        "AIza" + "x" * 35,
        "ghp_" + "a" * 36,
        "AKIAABCDEFGHIJKLMNOP",
        "xoxb-1234567890-abc",
        "postgres://user:pa55word@db:5432/x",
        '{"password": "correct horse"}',
        "api_key=abcdef123456",
        "-----BEGIN RSA PRIVATE KEY----- MIIE -----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY----- MIIE and then it was cut",
    ],
)
def test_credentials_are_known_by_their_shape(text: str) -> None:
    shown = Redactor().shown(text)
    assert REDACTED in shown
    assert "MIIE" not in shown
    for part in ("abcdefghijkl", "dXNlcjpodW50ZXIy", "c2lnbmF0dXJl", "pa55word", "correct", "abcdef123456"):
        assert part not in shown


def test_a_token_is_known_behind_what_only_begins_as_one() -> None:
    text = "id=x-eyJ-eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0 eyJshort.one"
    assert Redactor().text(text) == f"id=x-{REDACTED} eyJshort.one"


@pytest.mark.parametrize("ends", ["", ".short", ".abcdefgh"])
def test_a_token_that_begins_again_and_again_costs_no_more_than_its_length(ends: str) -> None:
    began = process_time()
    Redactor().shown("eyJ-" * 50_000 + ends)
    assert process_time() - began < 5  # a minute, where each beginning was followed to the end


def test_an_escape_cannot_split_a_secret() -> None:
    assert Redactor("hunter22").shown("hun\x1b[0mter22") == REDACTED


def test_what_an_agent_says_stays() -> None:
    said = '{"type":"agent_thinking","token":"the next word","secretary":"Ada","basic":"yes"}'
    assert Redactor().shown(said) == said


def test_a_secret_read_with_its_line_end_is_hidden_without_it_too() -> None:
    assert Redactor("hunter22\n").text("token hunter22.") == f"token {REDACTED}."


def test_a_secret_of_several_lines_is_hidden_line_by_line_and_as_one() -> None:
    lines = [
        "-----BEGIN PRIVATE KEY-----",
        "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49",
        "AwEHBG0wawIBAQQgZx9kq1",
        "short",
    ]
    redactor = Redactor("\n".join(lines))
    for line in lines[1:3]:
        assert redactor.lines(f"1\n2 {line}\n3") == f"1\n2 {REDACTED}\n3"
    assert (
        redactor.lines("short of time\n-----BEGIN CERTIFICATE-----")
        == "short of time\n-----BEGIN CERTIFICATE-----"
    )
    assert Redactor("one line\nanother").shown("x one line\nanother y") == f"x {REDACTED} y"


def test_of_what_is_passing_the_newest_are_hidden() -> None:
    redactor = Redactor("hunter22")
    redactor.learn_passing("of one call", "hunter22")
    assert redactor.text("of one call, of%20one%20call") == f"{REDACTED}, {REDACTED}"
    assert REDACTED in redactor.text("b2Ygb25lIGNhbGw=")
    redactor.learn_passing(*(f"call-{number:05}" for number in range(999)))
    redactor.learn_passing("of one call")  # it is new again
    redactor.learn_passing("the last")
    assert redactor.text("of one call the last call-00000 call-00001 hunter22") == (
        f"{REDACTED} {REDACTED} call-00000 {REDACTED} {REDACTED}"
    )


def test_of_what_is_passing_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.redact._PASSING_CHARS", 3000)
    redactor = Redactor()
    redactor.learn_passing(*(f"call-{number:05}" for number in range(50)))
    assert redactor.text("call-00000 call-00049") == f"call-00000 {REDACTED}"


def test_a_token_as_large_as_a_message_is_learnt_soon_and_by_its_beginning() -> None:
    redactor, began = Redactor(), process_time()
    redactor.learn_passing("token" * 200_000)
    assert process_time() - began < 5
    assert redactor.text(("token" * 20_000)[:65536]) == REDACTED


def test_short_values_are_words_and_stay() -> None:
    assert Redactor("on", "true", "").text("turn it on, true") == "turn it on, true"
    assert Redactor("hunter").text("turn hunter on") == f"turn {REDACTED} on"  # six characters are no word


def test_what_was_learnt_stays_learnt() -> None:
    redactor = Redactor("hunter22")
    redactor.learn("another-one")
    assert redactor.text("hunter22, another-one") == f"{REDACTED}, {REDACTED}"


def test_what_two_threads_learn_at_once_is_hidden_both(monkeypatch: pytest.MonkeyPatch) -> None:
    redactor, begun, ended, spell = Redactor(), threading.Event(), threading.Event(), redact.spellings
    shown: list[str] = []

    def slowly(value: str) -> Iterator[str]:
        if value == "the-first":
            begun.set()
            ended.wait(0.1)  # it is not waited for longer: the other may have to wait for us
        return spell(value)

    def other() -> None:
        redactor.learn("the-first", "the-other")
        shown.append(redactor.text("the-first, the-other"))
        ended.set()

    monkeypatch.setattr(redact, "spellings", slowly)
    threads = [threading.Thread(target=redactor.learn, args=("the-first",)), threading.Thread(target=other)]
    threads[0].start()
    assert begun.wait(60)
    threads[1].start()
    for thread in threads:
        thread.join(60)
    assert [*shown, redactor.text("the-first, the-other")] == 2 * [f"{REDACTED}, {REDACTED}"]


def test_of_two_secrets_that_begin_alike_nothing_is_left() -> None:
    assert Redactor("hunter22", "hunter22-and-more").text("hunter22-and-more") == REDACTED


def test_values_are_walked_and_stay_json() -> None:
    redactor = Redactor("hunter22")
    value = {"a": ["x hunter22", 1, None, True, 1.5], "hunter22": {"b": ("hunter22",)}, "odd": b"hunter22"}
    made = redactor.values(value)
    assert made == {
        "a": [f"x {REDACTED}", 1, None, True, 1.5],
        REDACTED: {"b": [REDACTED]},
        "odd": f"b'{REDACTED}'",
    }
    json.dumps(made)


def test_secrets_are_told_by_their_variables_name() -> None:
    environment = {
        "GITHUB_TOKEN": "t1", "DB_PASSWORD": "t2", "X-Api-Key": "t3", "Authorization": "t4", "Cookie": "t5",
        "HOME": "/root", "GOOGLE_APPLICATION_CREDENTIALS": "/key.json", "TOKEN_FILE": "/run/token", "AUTH_MODE": "none",
    }  # fmt: skip
    assert secrets_of(environment) == ("t1", "t2", "t3", "t4", "t5")


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("::error file=a::boom", ": :error file=a::boom"),
        ("   ::set-output name=x::y", "   : :set-output name=x::y"),
        ("text ##[group] text", "text ## [group] text"),
        ("std::vector and [::1]", "std::vector and [::1]"),
    ],
)
def test_a_ci_log_takes_no_command_from_a_line(line: str, shown: str) -> None:
    assert uncommanded(line) == shown


def test_lines_stay_lines() -> None:
    assert (
        Redactor("hunter22").lines("what\n::error::hunter22\n\x1b[2Jwhy")
        == f"what\n: :error::{REDACTED}\nwhy"
    )


def test_a_text_is_not_cut_through_a_secret() -> None:
    redactor = Redactor("correct-horse-battery")
    for before in range(30, 50):
        text = "x" * before + "correct-horse-battery" + "y" * 100
        shown = redactor.cut(text, 50)
        assert len(shown) <= 50
        assert "corr" not in shown
    assert redactor.cut("short", 50) == "short"
    long = Redactor("correct" * 100)
    assert long.cut("x" * 40 + "correct" * 100, 50) == "x" * 40 + REDACTED


def test_the_shells_folders_are_no_passwords() -> None:
    environment = {"PWD": "/home/ada/project", "OLDPWD": "/home/ada", "DB_PWD": "hunter2-hunter2"}
    assert secrets_of(environment) == ("hunter2-hunter2",)


@pytest.mark.parametrize("width", [5, 20, 76])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n    ", "\\n", "\\r\\n"])
@pytest.mark.parametrize("is_passing", [True, False])
def test_a_secret_that_is_broken_over_lines_is_hidden(width: int, end: str, is_passing: bool) -> None:
    """As ``base64``, ``fold`` and a table break it; in JSON a line's end is two characters."""
    secret, sink = "a-secret-of-many-characters-" * 4, Redactor()
    (sink.learn_passing if is_passing else sink.learn)(secret)
    for text in (secret, base64.b64encode(b"a" + secret.encode()).decode()[2:-2]):
        broken = end.join(text[at : at + width] for at in range(0, len(text), width))
        shown = sink.text(f"one{end}two {broken} three{end}four")
        assert shown == f"one{end}two {REDACTED} three{end}four"
    assert sink.lines(f"one\ntwo {secret[:9]}\n{secret[9:]}\nthree") == f"one\ntwo {REDACTED}\nthree"


def test_lines_without_a_secret_stay_as_they_are() -> None:
    sink = Redactor("a-secret", "another")
    assert sink.text("a-\nanother\n a-secret\n\n  b\n") == f"a-\n{REDACTED}\n {REDACTED}\n\n  b\n"
