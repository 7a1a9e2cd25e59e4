"""Client certificates over real TLS: a server that asks for one, and certificates made for the test."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web

from pipeline.config import schema
from pipeline.errors import ConfigError, UserError
from pipeline.probe import speech
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.round import run_round
from pipeline.probe.scenario import Scenario
from pipeline.probe.session import hold_conversation
from pipeline.redact import SINK
from tests.certificates import Pair, made
from tests.conversations import HEAD
from tests.fakes import START

ROOT, STRANGER = made("root"), made("another root")
SERVER, CLIENT = made("server", ROOT), made("client", ROOT)
TALK = """
    path: /ws
    within: 30s
    http: [{path: /health}]
    expect: [hello]
"""
STREAM = """
    path: /stream
    framing: sse
    expect: [hello]
"""
ALL = "{certificate: client.pem, key: client.key, ca: root.pem}"


@asynccontextmanager
async def serving(folder: Path, *, asks: bool = True) -> AsyncIterator[str]:
    """Args: asks: for a certificate that the root vouches for."""

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    async def stream(_: web.Request) -> web.Response:
        return web.Response(text="event: hello\ndata: 1\n\n", content_type="text/event-stream")

    async def talk(request: web.Request) -> web.StreamResponse:
        opened = web.WebSocketResponse()
        await opened.prepare(request)
        await opened.send_json({"type": "hello"})
        async for message in opened:
            assert message.type is not WSMsgType.ERROR
        return opened

    (folder / "server.pem").write_text(SERVER.pem + SERVER.key_pem())
    shown = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=ROOT.pem)
    shown.load_cert_chain(folder / "server.pem")
    shown.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
    app = web.Application()
    app.add_routes([web.get("/health", health), web.get("/stream", stream), web.get("/ws", talk)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=shown)
        await site.start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def written(folder: Path, client: Pair = CLIENT, password: str = "") -> None:
    (folder / "client.pem").write_text(client.pem)
    (folder / "client.key").write_text(client.key_pem(password))
    (folder / "root.pem").write_text(ROOT.pem)


def config(folder: Path, tls: str, text: str = TALK, everywhere: str = "") -> schema.Config:
    lines = f"{HEAD}{text.strip(chr(10))}\n" + (f"    tls: {tls}\n" if tls else "") + everywhere
    return schema.parse(lines, str(folder / "spillway.yaml"))


def scenario(folder: Path, tls: str, text: str = TALK, everywhere: str = "") -> Scenario:
    return config(folder, tls, text, everywhere).build_scenarios()[0]


async def held(folder: Path, wanted: Scenario, *, asks: bool = True) -> Conversation:
    async with serving(folder, asks=asks) as url:
        return await hold_conversation(wanted, url, {})


@pytest.mark.parametrize("text", [TALK, STREAM], ids=["socket", "stream"])
async def test_a_certificate_is_shown_to_who_asks_for_one(tmp_path: Path, text: str) -> None:
    written(tmp_path)
    seen = await held(tmp_path, scenario(tmp_path, ALL, text))
    assert (seen.kind, seen.detail) == (Kind.OK, "")


async def test_one_for_all_scenarios_stands_with_the_probes(tmp_path: Path) -> None:
    written(tmp_path)
    seen = await held(tmp_path, scenario(tmp_path, "", everywhere=f"probes: {{tls: {ALL}}}\n"))
    assert (seen.kind, seen.detail) == (Kind.OK, "")


async def test_all_of_it_may_be_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, password="open sesame")
    monkeypatch.setenv("CERT", CLIENT.pem + CLIENT.key_pem("open sesame"))
    monkeypatch.setenv("CERT_PASSWORD", "open sesame")
    text = 'certificate: "${env:CERT}", password: "${env:CERT_PASSWORD}", ca: "${file:root.pem}"'
    wanted = scenario(tmp_path, f"{{{text}}}")
    speech.check(wanted, by_tls=True)
    seen = await held(tmp_path, wanted)
    assert (seen.kind, seen.detail) == (Kind.OK, "")
    assert SINK.text(f"open sesame {CLIENT.key_pem('open sesame')}").split() == ["[redacted]", "[redacted]"]


@pytest.mark.parametrize("text", [TALK, STREAM], ids=["socket", "stream"])
async def test_without_one_it_is_said_what_is_wanted(tmp_path: Path, text: str) -> None:
    written(tmp_path)
    seen = await held(tmp_path, scenario(tmp_path, "{ca: root.pem}", text))
    assert seen.kind is Kind.UNREACHABLE
    assert seen.detail.endswith("; it may ask for a client certificate: give one under tls")
    written(tmp_path, made("client", STRANGER))
    seen = await held(tmp_path, scenario(tmp_path, ALL, text))
    assert seen.detail.endswith("; it may not take the client certificate that tls gives")


async def test_a_server_that_its_own_roots_do_not_vouch_for(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_text(STRANGER.pem)
    for tls, hint in (
        ("", "; where its roots are your own, name them: tls: {ca: PATH}"),
        ("{ca: root.pem}", ""),
    ):
        seen = await held(tmp_path, scenario(tmp_path, tls), asks=False)
        assert seen.kind is Kind.UNREACHABLE
        assert re.search(f"certificate verify failed.*{re.escape(hint)}$", seen.detail)


def prepared(folder: Path, kind: str) -> str:
    """What ``tls`` says in a case."""
    written(folder, password="open sesame" if "password" in kind or kind == "locked" else "")
    match kind:
        case "expired" | "early":
            days = (
                {"begins_days": -9, "ends_days": -2}
                if kind == "expired"
                else {"begins_days": 2, "ends_days": 9}
            )
            written(folder, made("old", ROOT, **days))
        case "another key":
            (folder / "client.key").write_text(STRANGER.key_pem())
        case "no key":
            (folder / "client.key").write_text(
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
            )
        case "no certificate":
            (folder / "client.pem").write_text("hello")
        case "no root":
            (folder / "root.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        case "gone":
            (folder / "client.key").unlink()
        case "not with it":
            return ALL.replace("key: client.key, ", "")
        case "wrong password" | "idle password":
            if kind == "idle password":
                written(folder)
            return ALL.replace("ca:", 'password: "${env:CERT_PASSWORD}", ca:')
    return ALL


WRONG = {
    "expired": ("the certificate of tls (client.pem) cannot be used", "It has expired: it was valid until 20"),
    "early": ("the certificate of tls (client.pem) cannot be used", "It is not valid yet: it will be from 20"),
    "another key": ("the key of tls (client.key) cannot be used", "It is not the key of the certificate."),
    "no key": ("the key of tls (client.key) cannot be used", "It is no key in PEM."),
    "no certificate": ("the certificate of tls (client.pem) cannot be used", "It is no certificate in PEM."),
    "no root": ("the ca of tls (root.pem) cannot be used", "It is no certificate in PEM."),
    "gone": ("the key of tls (client.key) cannot be read", "client.key: No such file or directory."),
    "not with it": ("the key of tls (client.pem) cannot be used", "It is no key in PEM."),
    "locked": ("the key of tls (client.key) cannot be used", "It is encrypted."),
    "wrong password": ("the key of tls (client.key) cannot be used", "Its password is another"),
    "idle password": ("the key of tls (client.key) cannot be used", "It is not encrypted, and there is a password"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
async def test_what_cannot_be_shown_is_told_before_a_byte_is_sent_and_held_against_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("CERT_PASSWORD", "open says me")
    what, why = WRONG[kind]
    wanted = scenario(tmp_path, prepared(tmp_path, kind))
    ask = ProbeAsk((wanted,), Address("https://127.0.0.1:9"), None)
    with pytest.raises(UserError) as refused:
        await asyncio.to_thread(run_round, ask, lambda: START)
    assert refused.value.what == f"scenario talk: {what}"
    assert why in refused.value.why
    assert refused.value.fix
    seen = await hold_conversation(wanted, "https://127.0.0.1:9", {})
    assert (seen.kind, why in seen.detail) == (Kind.NOT_SPOKEN, True)


async def test_plain_http_needs_none_of_it(tmp_path: Path) -> None:
    wanted = scenario(tmp_path, "{certificate: nowhere.pem}")
    speech.check(wanted, by_tls=False)
    seen = await hold_conversation(wanted, "http://127.0.0.1:9", {})
    assert seen.kind is Kind.UNREACHABLE


@pytest.mark.parametrize(
    ("tls", "place", "words"),
    [
        ("{}", ":5:5", "needs a certificate, or the ca"),
        ("{key: a}", ":5:5", "a key and its password belong to a certificate"),
        ("{certificate: a, password: hunter2}", ":5:27", "a secret that stands elsewhere"),
        ('{certificate: "${uuid}"}', ":5:11", "only ${env:NAME} and ${file:PATH} are known here"),
        ('{ca: "${env:}"}', ":5:11", "${env:} is no template"),
        ("{certificat: a}", ":5:11", "did you mean certificate?"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(
    tmp_path: Path, tls: str, place: str, words: str
) -> None:
    text = f"    tls: {tls}\n    path: /ws\n    expect: [hello]"
    with pytest.raises(ConfigError) as refused:
        scenario(tmp_path, "", text)
    assert words in str(refused.value)
    assert place in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_another_certificate_makes_no_other_rollout(tmp_path: Path) -> None:
    one = config(tmp_path, ALL)
    other = config(tmp_path, "{ca: root.pem}", everywhere="probes: {tls: {ca: another.pem}}\n")
    assert other.fingerprint() == one.fingerprint()
