"""What the middleware is told in its environment, who wins where code says otherwise, and who a client is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import model
from pipeline.telemetry import SpillwayTelemetry, settings
from pipeline.telemetry.settings import FIVE_EVENTS, ClientRule, Known

TOLD = Known({"run": ("a", "b"), "ping": ("pong",)}, "action", "event", 3.0)
XFF = b"x-forwarded-for"


def test_the_deploy_and_the_middleware_speak_of_the_same_variables() -> None:
    assert (settings.TELEMETRY_VARIABLE, settings.CLIENT_VARIABLE) == (model.TELEMETRY_VARIABLE, model.CLIENT_VARIABLE)  # fmt: skip


words = st.text(min_size=1, max_size=12)


@given(
    st.dictionaries(words, st.lists(words).map(tuple), min_size=1),
    words,
    words,
    st.floats(min_value=1e-3, max_value=1e6),
)
def test_what_is_handed_over_is_read_back(
    runs: dict[str, tuple[str, ...]], start: str, event: str, d: float
) -> None:
    known = Known(runs, start, event, d)
    assert Known.decode(known.encode()) == known


async def _app(*_: object) -> None: ...


def made(environ: dict[str, str] | None = None, **arguments: Any) -> Known:
    environ = {"SPILLWAY_TELEMETRY": TOLD.encode()} if environ is None else environ
    return SpillwayTelemetry(_app, environ=environ, **arguments).book.known


def test_alone_it_knows_what_the_deploy_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert made() == TOLD
    assert made({}) == Known({"execute_agent": FIVE_EVENTS}, "type", "type", 10.0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"starts": ("run",)}, Known({"run": ("a", "b")}, "action", "event", 3.0)),
        ({"expects": ("z",)}, Known({"run": ("z",), "ping": ("z",)}, "action", "event", 3.0)),
        ({"within_s": 9}, Known(TOLD.runs, "action", "event", 9)),
        ({"type_field": "kind"}, Known(TOLD.runs, "kind", "kind", 3.0)),
        ({"starts": ("other",)}, Known({"other": FIVE_EVENTS}, "action", "event", 3.0)),
    ],
    ids=str,
)
def test_code_wins_and_a_disagreement_is_said_once(
    arguments: dict[str, Any], expected: Known, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made(**arguments) == expected
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert expected.encode() in said
    assert TOLD.encode() in said
    made({}, **arguments)
    assert capsys.readouterr().err == "", "there is nothing to disagree with"


def test_who_says_the_same_in_code_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    made(starts=("run", "ping"), within_s=3.0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "7", '{"runs": []}', '{"runs": {"a": "b"}}', '{"runs": {"a": [1]}}', '{"within_s": 0}', '{"within_s": true}',
     '{"within_s": 1e999}', '{"start_field": 7}', '{"event_field": ""}', "[" * 100_000],
)  # fmt: skip
def test_what_cannot_be_read_is_said_and_taken_as_not_set(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made({"SPILLWAY_TELEMETRY": text}) == Known()
    assert "SPILLWAY_TELEMETRY cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rule", "headers", "client"),
    [
        ({}, [(XFF, b"1.1.1.1, 2.2.2.2")], "2.2.2.2"),
        ({}, [], "9.9.9.9"),
        ({"forwarded-for": 1}, [(XFF, b"1.1.1.1, 2.2.2.2")], "2.2.2.2"),
        ({"forwarded-for": 2}, [(XFF, b"1.1.1.1, 2.2.2.2")], "1.1.1.1"),
        ({"forwarded-for": 2}, [(XFF, b"1.1.1.1"), (XFF, b"2.2.2.2")], "1.1.1.1"),
        ({"forwarded-for": 3}, [(XFF, b"1.1.1.1, 2.2.2.2")], "1.1.1.1"),
        ({"forwarded-for": 2}, [(XFF, b", ,")], "9.9.9.9"),
        ({"header": "X-User"}, [(b"x-user", b"ada"), (XFF, b"1.1.1.1")], "ada"),
        ({"header": "X-User"}, [(XFF, b"1.1.1.1")], "1.1.1.1"),
        ({"header": "X-User"}, [(b"x-user", b"")], "9.9.9.9"),
    ],
    ids=str,
)
def test_who_a_client_is(rule: dict[str, object], headers: list[tuple[bytes, bytes]], client: str) -> None:
    chosen = ClientRule.decode(json.dumps(rule)) if rule else ClientRule()
    assert chosen.client_of(headers, ("9.9.9.9", 1)) == client


@pytest.mark.parametrize("text", ["", "{}", '{"header": ""}', '{"header": 7}', '{"forwarded-for": 0}', '{"forwarded-for": true}', "x"])  # fmt: skip
def test_no_rule_is_none(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"Expecting|neither"):
        ClientRule.decode(text)
    assert SpillwayTelemetry(_app, environ={"SPILLWAY_CLIENT": text}).book.client == ClientRule()
    assert ("SPILLWAY_CLIENT" in capsys.readouterr().err) == bool(text)
