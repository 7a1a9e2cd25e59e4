"""Conversations in steps over real sockets, with a service that has turns, rooms and handles, and with worse ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from pipeline.errors import UserError
from pipeline.probe import secrets
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.round import run_round
from pipeline.probe.session import hold_conversation
from pipeline.redact import SINK
from tests.conversations import scenario
from tests.fakes import START

Behaviour = Callable[[ServerConnection], Awaitable[None]]


class Rooms:
    """Login, then runs that ask for a tool; whoever watches a room sees its runs; a handle resumes once."""

    def __init__(self) -> None:
        self.watchers: list[ServerConnection] = []
        self.handles = {"h-1"}

    async def __call__(self, connection: ServerConnection) -> None:
        assert connection.request
        query = parse_qs(urlsplit(connection.request.path).query)
        if "watch" in query:
            self.watchers.append(connection)
            await connection.wait_closed()
        elif "resume" in query:
            await self._resume(connection, query["resume"][0])
        else:
            await self._hold(connection)

    async def _resume(self, connection: ServerConnection, handle: str) -> None:
        if handle not in self.handles:
            await connection.close(4404, "no such handle")
            return
        self.handles.remove(handle)
        await say(connection, type="resumed", handle=handle)
        await connection.wait_closed()

    async def _hold(self, connection: ServerConnection) -> None:
        login = json.loads(await connection.recv())
        if login.get("token") != "right-token":
            await say(connection, type="error", message=f"token {login.get('token')} is wrong")
            await connection.wait_closed()
        await say(connection, type="auth_ok", data={"user": {"id": 7}, "handle": "h-1"})
        run = json.loads(await connection.recv())
        for number in (1, 2):
            await say(connection, type="tool_request", id=number)
            answer = json.loads(await connection.recv())
            assert answer == {"type": "tool_result", "id": number, "ok": True}
            await say(connection, type="token", n=number)
        for watcher in self.watchers:
            await say(watcher, type="seen", run=run["id"])
        await say(connection, type="completed", id=run["id"], user=run["user"])
        await connection.wait_closed()


async def say(connection: ServerConnection, **message: object) -> None:
    await connection.send(json.dumps(message))


@asynccontextmanager
async def serving(behaviour: Behaviour, refuse: str = "") -> AsyncIterator[str]:
    """Args: refuse: paths with this in them get 404."""

    async def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await behaviour(connection)

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(404, "unknown handle") if refuse and refuse in request.path else None

    async with serve(handle, "127.0.0.1", 0, process_request=answer, close_timeout=0.1) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


WHOLE = """
path: /ws?session=${uuid}
within: 30s
never: [{type: error}]
steps:
  - {open: "/ws?watch=1", socket: watcher}
  - when: {type: tool_request}
    reply: {type: tool_result, id: "${message.id}", ok: true}
  - send: {type: auth, token: "${env:WS_TOKEN}"}
  - expect: [{type: auth_ok, save: {user: data.user, handle: data.handle}}]
  - send: {type: run, id: "${uuid:run}", user: "${user}"}
  - expect: [{type: token, n: {gt: 0}, repeats: {min: 2, max: 2}}, {type: completed, id: "${run}", user: "${user}"}]
  - {expect: [{type: seen, run: "${run}"}], socket: watcher}
  - reconnect: /ws?resume=${handle}
  - expect: [{type: resumed, handle: "${handle}"}]
"""


async def held(text: str, behaviour: Behaviour, refuse: str = "") -> Conversation:
    async with serving(behaviour, refuse) as url:
        return await hold_conversation(scenario(text), url, {})


async def test_turns_tools_a_watcher_and_a_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WS_TOKEN", "right-token")
    seen = await held(WHOLE, Rooms())
    assert (seen.kind, seen.detail) == (Kind.OK, ""), seen.transcript
    assert seen.events == ("auth_ok", "token", "completed", "seen", "resumed")
    assert any(line.text.startswith('(watcher) {"type": "seen"') for line in seen.transcript)
    assert "right-token" not in str(seen.transcript)


async def test_a_wrong_token_is_told_at_once_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WS_TOKEN", "wrong-token")
    seen = await held(WHOLE.replace("never: [{type: error}]", "").replace("30s", "1h"), Rooms())
    assert seen.kind is Kind.ERROR_EVENT
    assert SINK.text(seen.detail).startswith(
        "step 4: the server said error: {'type': 'error', 'message': 'token [redacted] is wrong'}"
    )


async def test_a_handle_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WS_TOKEN", "right-token")
    rooms = Rooms()
    rooms.handles.clear()
    seen = await held(WHOLE, rooms)
    assert (seen.kind, seen.close_code) == (Kind.CLOSED_EARLY, 4404)
    assert 'step 9: server closed with 4404 "no such handle"; still awaited: resumed' in seen.detail
    seen = await held(WHOLE, Rooms(), refuse="resume")
    assert (seen.kind, seen.status) == (Kind.REFUSED, 404)
    assert "opening /ws?resume=h-1: handshake got 404 Not Found: unknown handle" in seen.detail


async def flooding(connection: ServerConnection) -> None:
    await connection.recv()
    while True:
        await say(connection, type="noise", text="x" * 1000)
        await asyncio.sleep(0)  # the service shares its loop with the probe


async def closing_while_we_speak(connection: ServerConnection) -> None:
    await say(connection, type="ready")
    await connection.close(1008, "enough")


async def turning_binary(connection: ServerConnection) -> None:
    await connection.recv()
    await say(connection, type="ack")
    await connection.recv()
    await connection.send(b"\x82\xa4type\xa4done")


async def falling_silent(connection: ServerConnection) -> None:
    await connection.recv()
    await connection.wait_closed()


TURNS = "path: /ws\nwithin: 500ms\nsteps:\n  - send: {n: 1}\n  - expect: [ack]\n  - send: {n: 2}\n  - expect: [done]\n"


@pytest.mark.parametrize(
    ("text", "behaviour", "kind", "words"),
    [
        pytest.param(TURNS, flooding, Kind.TIMED_OUT, "still awaited: ack; what came: noise", id="flood"),
        pytest.param(
            "path: /ws\nsteps: [{expect: [ready]}, {send: [" + "{n: 1}, " * 300 + "{n: 2}]}, {expect: [done]}]",
            closing_while_we_speak, Kind.CLOSED_EARLY, 'step 3: server closed with 1008 "enough"; still awaited: done',
            id="closes while we speak",
        ),
        pytest.param(TURNS.replace("500ms", "1h"), turning_binary, Kind.UNREADABLE, "step 4: a binary message of 11 bytes", id="another protocol midway"),
        pytest.param(TURNS, falling_silent, Kind.TIMED_OUT, "step 2: nothing more within 0.5 s", id="silence"),
        pytest.param(
            "path: /ws\nsteps: [{open: /ws, socket: b}, {send: {n: 1}, socket: b}, {stay: 50m}]", closing_while_we_speak,
            Kind.CLOSED_EARLY, "should have stayed open", id="closed while it should stay",
        ),
    ],
)  # fmt: skip
async def test_what_a_service_may_do_meanwhile(
    text: str, behaviour: Behaviour, kind: Kind, words: str
) -> None:
    seen = await held(text, behaviour)
    assert seen.kind is kind, seen.detail
    assert words in seen.detail


@pytest.mark.parametrize("place", ["message: {a: '${env:NOT_SET}'}", "file"])
def test_a_secret_that_is_missing_ends_the_round_before_it_begins(place: str, tmp_path: Path) -> None:
    missing = "${env:NOT_SET_HERE}" if place != "file" else f"${{file:{tmp_path / 'none'}}}"
    broken = scenario(f"path: /ws\nsend: {{a: '{missing}'}}\nexpect: [done]")
    with pytest.raises(UserError) as caught:
        run_round(ProbeAsk((broken,), Address("http://127.0.0.1:1"), None), lambda: START)
    assert str(caught.value.what).startswith("scenario talk: ${")
    assert ("is not set" in caught.value.why) is (place != "file")
    assert ("No such file" in caught.value.why) is (place == "file")


async def test_one_that_vanishes_between_two_conversations_is_nobodys_fault() -> None:
    seen = await held("path: /ws\nsend: {a: '${env:NOT_SET_HERE}'}\nexpect: [done]", flooding)
    assert seen.kind is Kind.NOT_SPOKEN
    assert "NOT_SET_HERE is not set" in seen.detail


@pytest.mark.parametrize("text", ["tok-123456", "\ufefftok-123456\r\n", "  tok-123456\n\n"])
def test_what_editors_add_to_a_file_is_no_part_of_the_secret(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(text.encode())
    wanted = scenario(f"path: /ws\nsend: '${{file:{tmp_path}/secret}}'\nexpect: [done]")
    assert list(secrets.read(wanted).values()) == ["tok-123456"]


@pytest.mark.parametrize("text", ["", "\ufeff", " \n", "x" * 70_000, "\x00\udcff"])
def test_a_file_that_holds_no_secret(text: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match="cannot be read"):
        run_round(
            ProbeAsk(
                (scenario(f"path: /ws\nsend: {{a: '${{file:{path}}}'}}\nexpect: [done]"),),
                Address("http://127.0.0.1:1"),
                None,
            ),
            lambda: START,
        )


async def test_a_header_that_http_cannot_carry_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WS_TOKEN", "two\r\nlines: of it")
    seen = await held("path: /ws\nheaders: {X-Token: '${env:WS_TOKEN}'}\nexpect: [done]", flooding)
    assert seen.kind is Kind.NOT_SPOKEN
    assert seen.detail == "what is filled in to the header X-Token is nothing that HTTP can carry"
    seen = await held("path: /ws\nsubprotocols: ['auth.${env:WS_TOKEN}']\nexpect: [done]", flooding)
    assert seen.kind is Kind.NOT_SPOKEN
    assert "what is filled in to a subprotocol" in seen.detail


async def test_what_an_answer_says_of_a_secret_is_hidden_from_then_on() -> None:
    async def hold(connection: ServerConnection) -> None:
        await say(connection, type="ok", session_token="given-by-them-1")
        said = json.loads(await connection.recv())
        await say(connection, type="error", text=said["t"])
        await connection.wait_closed()

    text = "path: /ws\nsteps:\n  - expect: [{type: ok, save: {token: session_token}}]\n  - send: {t: '${token}'}\n  - expect: [done]\n"
    seen = await held(text, hold)
    assert "given-by-them-1" in seen.detail
    assert "given-by-them-1" not in SINK.text(seen.detail)
    assert "given-by-them-1" not in str(seen.transcript[1:])
