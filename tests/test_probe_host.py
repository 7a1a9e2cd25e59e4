# ruff: noqa: RUF001 - letters and digits that look like others are what this is about
"""Hosts in every spelling that some reader takes for another: folded, and judged as what they are."""

from __future__ import annotations

import pytest

from pipeline.errors import UserError
from pipeline.probe.ask import Address
from pipeline.probe.host import fold, is_local, refusal, refusal_of_resolved
from pipeline.probe.target import check_address, http_url, proxy_for, socket_url

METADATA = [
    "169.254.169.254", "169.254.169.254.", "１６９.２５４.１６９.２５４", "①⑥⑨.②⑤④.①⑥⑨.②⑤④", "169。254。169。254", "169．254｡169.254",
    "169.254.169.254。", "0xA9FEA9FE", "0xa9.0xfe.0xa9.0xfe", "2852039166", "0251.0376.0251.0376", "025177524776",
    "169.254.43518", "169.16689662", "0xa9.0xfea9fe", "𝟏𝟔𝟗.𝟐𝟓𝟒.𝟏𝟔𝟗.𝟐𝟓𝟒",
    "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::FFFF:A9FE:A9FE", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
    "::a9fe:a9fe", "::ffff:0:a9fe:a9fe", "fe80::1", "fd20:ce::254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16",
    "metadata", "metadata.", "METADATA.google.internal", "metadata.google.internal.", "ｍetadata.google.internal",
    "metadata。google。internal", "meta\u00addata.google.internal", "meta\u200bdata.google.internal", "ⓜetadata.goog", "instance-data",
    "𝓶etadata.google.internal", "metadatª.google.internal",
]  # fmt: skip


@pytest.mark.parametrize("host", METADATA)
def test_the_metadata_server_in_every_spelling(host: str) -> None:
    bracketed = f"[{host}]" if ":" in host else host
    for scheme in ("http", "wss"):
        with pytest.raises(UserError, match=r"metadata server|cannot probe"):
            check_address(Address(f"{scheme}://{bracketed}:80/x"))


@pytest.mark.parametrize("host", ["0.0.0.0", "0", "0x0", "0.1.2.3", "::", "::ffff:0.0.0.0"])
def test_no_machine_has_the_unspecified_address(host: str) -> None:
    bracketed = f"[{host}]" if ":" in host else host
    with pytest.raises(UserError, match="no machine's address"):
        check_address(Address(f"http://{bracketed}:8080"))


@pytest.mark.parametrize(
    "host",
    ["http://a b", "http://a%2e169", "http://%31%36%39.254.169.254", "http://a\\@b", "http://a_b!c", "http://-a..b",
     "http://[::1", "http://[x]", "http://a,b", "http://*", "http://a\x00b", "http://" + "a" * 64, "http://ａ／b"],
)  # fmt: skip
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(UserError, match="cannot probe"):
        check_address(Address(host))


@pytest.mark.parametrize(
    ("host", "folded"),
    [
        ("Example.COM.", "example.com"), ("bücher.example", "xn--bcher-kva.example"), ("127.0.0.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"), ("127.1", "127.0.0.1"), ("10.0.0.1", "10.0.0.1"), ("::1", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"), ("candidate---agent-chat-abc-uc.a.run.app", "candidate---agent-chat-abc-uc.a.run.app"),
        ("my_service", "my_service"), ("a.localhost", "a.localhost"),
    ],
)  # fmt: skip
def test_fold(host: str, folded: str) -> None:
    assert fold(host) == folded
    assert fold(folded) == folded
    assert not refusal(folded)


def test_what_is_connected_to_is_what_was_judged() -> None:
    assert socket_url("http://２１３０７０６４３３:80/a/", "/ws") == "ws://127.0.0.1:80/a/ws"
    assert http_url("wss://Bücher.example.", "/x") == "https://xn--bcher-kva.example/x"
    assert http_url("http://[0:0::1]:8080", "/") == "http://[::1]:8080/"


def test_no_proxy_stands_before_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://outgoing.example:3128")
    assert proxy_for("http://2130706433/") is None
    assert proxy_for("http://localhost./") is None
    assert proxy_for("http://example.com/") == "http://outgoing.example:3128"


@pytest.mark.parametrize(
    ("host", "address", "words"),
    [
        ("evil.example", "169.254.169.254", "metadata server"), ("evil.example", "::ffff:169.254.169.254", "metadata server"),
        ("evil.example", "fd00:ec2::254", "metadata server"), ("evil.example", "fe80::1%eth0", "metadata server"),
        ("evil.example", "127.0.0.1", "this machine"), ("evil.example", "127.8.8.8", "this machine"),
        ("evil.example", "::1", "this machine"), ("evil.example", "::ffff:127.0.0.1", "this machine"),
        ("evil.example", "64:ff9b::7f00:1", "this machine"), ("evil.example", "0.0.0.0", "no machine"),
        ("evil.example", "224.0.0.1", "a group"), ("localhost", "169.254.169.254", "metadata server"),
        ("localhost", "127.0.0.1", ""), ("a.localhost", "::1", ""), ("127.0.0.1", "127.0.0.1", ""), ("::1", "::1", ""),
        ("good.example", "93.184.216.34", ""), ("good.example", "10.1.2.3", ""), ("good.example", "2606:2800:220:1::1", ""),
    ],
)  # fmt: skip
def test_addresses_after_resolution(host: str, address: str, words: str) -> None:
    why = refusal_of_resolved(host, address)
    assert words in why
    assert bool(why) is bool(words)


def test_what_says_that_it_is_local() -> None:
    assert all(map(is_local, ("localhost", "x.localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:7f00:1")))
    assert not any(map(is_local, ("localhost.example", "notlocalhost", "10.0.0.1", "::2", "example.com")))
