"""Whole conversations in other framings than JSON, with servers that speak them well, badly, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgpack
import pytest
from msgspec.structs import replace
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from pipeline.app.session import Session
from pipeline.cli.probe import _ending, _print
from pipeline.config import schema
from pipeline.config.scenarios_section import ScenarioConfig
from pipeline.driving.rounds import seen_in
from pipeline.errors import UserError
from pipeline.judging.probes import Round
from pipeline.output.writer import Mode, Output
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.round import run_round
from pipeline.probe.scenario import Scenario
from pipeline.probe.session import hold_conversation
from pipeline.probe.summary import summarise
from pipeline.redact import SINK
from tests.documents import hold as hold_to_schema

OPEN, CONNECTED = '0{"sid":"x","pingInterval":25000,"pingTimeout":20000}', '40{"sid":"y"}'
Talk = Callable[[ServerConnection], Awaitable[None]]


def scenario(framing: object, folder: str = "", **fields: Any) -> Scenario:
    said = {"send": {"type": "run"}, "expect": ["started", "done"], **fields}
    return ScenarioConfig(path="/ws", framing=framing, **said).build("s", folder)


def saying(*script: str | bytes | None) -> Talk:
    """Sends these, one after the other; None waits for a message."""

    async def talk(socket: ServerConnection) -> None:
        for line in script:
            if line is None:
                await socket.recv()
            else:
                await socket.send(line)
        await socket.wait_closed()

    return talk


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[str]:
    async def handle(socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            await talk(socket)

    async with serve(handle, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1, max_size=None) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def hold(wanted: Scenario, talk: Talk) -> Conversation:
    async with serving(talk) as url:
        return await hold_conversation(wanted, url, {})


@pytest.mark.parametrize(
    ("framing", "fields", "talk"),
    [
        ({"name": "json", "binary": True}, {}, saying(None, b'{"type":"started"}', b'{"type":"done"}')),
        ("json-array", {}, saying(None, '[{"type":"started"},{"type":"x"},{"type":"done"}]')),
        ("json-lines", {}, saying(None, '{"type":"started"}\n{"type":"done"}\n')),
        ("json", {"type_path": "e.k"}, saying(None, '{"e":{"k":"started"}}', '{"e":{"k":"done"}}')),
        ("json", {"ignore": ["ping"]}, saying("ping", None, '{"type":"started"}', "ping", '{"type":"done"}')),
        ("text", {"send": "RUN", "expect": ["STARTED", "DONE"]}, saying(None, "STARTED", "DONE")),
        ("msgpack", {}, saying(None, msgpack.packb({"type": "started"}) + msgpack.packb({"type": "done"}))),
        ("socket.io", {}, saying(OPEN, None, CONNECTED, None, "2", None, '42["started"]', '42["done",{}]')),
        ("signalr", {"send": {"target": "run"}}, saying(None, "{}\x1e", None, '{"type":1,"target":"started"}\x1e{"type":6}\x1e', None,
                                                         '{"type":1,"target":"done"}\x1e')),
        ("graphql-transport-ws", {"send": {"payload": {}}, "expect": ["next", "complete"]},
         saying(None, '{"type":"connection_ack"}', None, '{"type":"ping"}', None, '{"type":"next","id":"1"}', '{"type":"complete","id":"1"}')),
        ("centrifugo", {"send": {"rpc": {}}, "expect": [{"rpc.data": 1}, "tick"]},
         saying(None, '{"id":1,"connect":{}}', None, '{"id":2,"rpc":{"data":1}}\n{}', None, '{"push":{"pub":{"data":{"type":"tick"}}}}')),
    ],
)  # fmt: skip
async def test_good_conversations(framing: object, fields: dict[str, Any], talk: Talk) -> None:
    """A script that waits for a message goes on only when it came: the ack before the first, the pong, the reply."""
    seen = await hold(scenario(framing, **fields), talk)
    assert (seen.kind, seen.detail, seen.close_code) == (Kind.OK, "", 1000)


async def garbage_length(socket: ServerConnection) -> None:
    await socket.recv()
    await socket.send(b"\xdf\xff\xff\xff\xff\xa1a")


async def ten_megabytes(socket: ServerConnection) -> None:
    await socket.recv()
    await socket.send(json.dumps({"type": "started", "x": "y" * 10_000_000}))
    await socket.send('{"type":"done"}')
    await socket.wait_closed()


async def flood(socket: ServerConnection) -> None:
    await socket.recv()
    for _ in range(1_000_000):
        await socket.send("2")


@pytest.mark.parametrize(
    ("framing", "fields", "talk", "kind", "words"),
    [
        ("socket.io", {}, saying(OPEN, None, '44{"message":"no"}'), Kind.REFUSED, "namespace / refused us: no"),
        ("signalr", {}, saying(None, '{"error":"no"}\x1e'), Kind.REFUSED, "the handshake was refused: no"),
        ("socket.io", {"within": 0.5}, saying(OPEN, None), Kind.TIMED_OUT, ""),  # insists on nothing, answers nothing
        ("graphql-transport-ws", {"send": {}, "within": 3600}, saying(None, '{"type":"connection_error","payload":"no"}'), Kind.ERROR_EVENT,
         "the server said error: {'type': 'connection_error', 'payload': 'no'}"),
        ("graphql-transport-ws", {"send": {}, "within": 0.5}, saying(None, '{"type":"ka"}'), Kind.TIMED_OUT,
         "no answer to what graphql-transport-ws begins with; what came: ka"),
        ("socket.io", {"within": 0.5}, flood, Kind.TIMED_OUT, ""),
        ("socket.io", {}, saying('{"type":"hello"}'), Kind.UNREADABLE, "no packet of Engine.IO"),
        ("socket.io", {}, saying(OPEN, None, CONNECTED, None, '42["started"]', '{"type":"done"}'), Kind.UNREADABLE, "no packet"),
        ("json", {}, saying(None, '{"type":"started"}', b'{"type":"done"}'), Kind.UNREADABLE, "a binary message of 15 bytes"),
        ("msgpack", {}, garbage_length, Kind.UNREADABLE, "not MessagePack"),
        ("json", {}, ten_megabytes, Kind.UNREADABLE, "a message that is too large"),
        ("json", {"max_message": 16 << 20}, ten_megabytes, Kind.OK, ""),
        ("json-lines", {}, saying(None, "1\n" * 20_000), Kind.UNREADABLE, "20001 messages in one frame"),
        ("graphql-transport-ws", {"send": {}}, saying(None, '["connection_ack"]'), Kind.UNREADABLE, "a JSON list instead of an object"),
    ],
)  # fmt: skip
async def test_bad_conversations(
    framing: object, fields: dict[str, Any], talk: Talk, kind: Kind, words: str
) -> None:
    within = {"within": timedelta(seconds=fields["within"])} if "within" in fields else {}
    seen = await hold(scenario(framing, **{**fields, **within}), talk)
    assert seen.kind is kind
    assert words in seen.detail


QUOTED = "tok-" + "0123456789abcdef" * 4


@pytest.mark.parametrize("before", [0, 20, 150, 190, 230, 290])
@pytest.mark.parametrize(
    ("framing", "answer"),
    [
        ("socket.io", '44{{"message":"{}"}}'), ("socket.io", "{}"), ("socket.io", "4x{}"),
        ("signalr", '{{"error":"{}"}}\x1e'), ("centrifugo", '{{"id":1,"error":{{"code":1,"message":"{}"}}}}'),
    ],
)  # fmt: skip
async def test_what_a_framing_quotes_holds_no_half_of_a_secret(
    framing: str, answer: str, before: int
) -> None:
    SINK.learn(QUOTED)
    said = answer.format("x" * before + QUOTED)
    script = [OPEN, None, said] if framing == "socket.io" else [None, said]
    seen = await hold(scenario(framing), saying(*script))
    assert seen.kind in (Kind.REFUSED, Kind.UNREADABLE)
    assert not any(QUOTED[:end] in seen.detail for end in range(8, len(QUOTED)))
    assert len(seen.detail) <= 300


DEEP = '451-["done",' + "[" * 900 + "]" * 900 + "]"


@pytest.mark.parametrize(
    ("framing", "script"),
    [
        ("msgpack", [None, b"\x82\xa4type\xa4done\xa1x" + b"\x91" * 990 + b"\x01"]),
        ("socket.io", [OPEN, None, CONNECTED, None, DEEP, b"x"]),
    ],
)
async def test_what_is_nested_too_deep_to_look_at_is_unreadable(
    framing: str, script: list[str | bytes | None]
) -> None:
    """What a library still reads may be more than is compared, told or filled in."""
    seen = await hold(scenario(framing, expect=[{"type": "done", "x": 1}]), saying(*script))
    assert (seen.kind, seen.detail) == (Kind.UNREADABLE, "a message that is nested too deep")


async def test_a_server_that_closes_before_it_is_ready_closed_early() -> None:
    async def talk(socket: ServerConnection) -> None:
        await socket.send(OPEN)
        await socket.close(1011, "boom")

    seen = await hold(scenario("socket.io"), talk)
    assert (seen.kind, seen.close_code) == (Kind.CLOSED_EARLY, 1011)


async def test_a_class_that_fails_midway_is_no_fault_of_the_service(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fails_midway.py").write_text(
        "class Said:\n"
        "    is_ready = True\n"
        "    def opening(self): return ()\n"
        "    def encode(self, message): return ('x',)\n"
        "    def decode(self, frame): raise KeyError(frame)\n"
    )
    failing = scenario("fails_midway:Said", str(tmp_path))
    async with serving(saying(None, "x")) as url:
        ask = ProbeAsk((failing,), Address(url), None, 3, 3)
        report = await asyncio.to_thread(run_round, ask, lambda: datetime.now(UTC))
    assert {c.kind for c in report.held} == {Kind.NOT_SPOKEN}
    assert "fails_midway:Said failed in decode: KeyError" in report.unspoken
    assert (report.is_blind, report.is_worse, report.confirming) == (True, False, ())
    assert replace(seen_in(report), cause="") == Round()
    assert _ending(report) == ("not_spoken", 2)
    output = Output(Mode.JSON)
    _print(Session(output, tmp_path / "spillway.yaml", tmp_path, None, yes=False), report, summarise(report))
    hold_to_schema(("probe",), json.loads(capsys.readouterr().out), closed=True)


async def test_what_is_filled_in_is_said_when_it_is_known() -> None:
    """An acknowledgement's number must be one, which no template is."""
    steps = [
        {"send": {"type": "run"}},
        {"when": {"type": "ask"}, "reply": {"type": "ack", "id": "${message.id}", "data": "yes"}},
        {"expect": ["done"]},
    ]
    text = "service: s\nenvironments: {l: {endpoint: local}}\nscenarios: "
    (wanted,) = schema.parse(
        text + json.dumps({"s": {"path": "/ws", "framing": "socket.io", "steps": steps}})
    ).build_scenarios()
    async with serving(saying(OPEN, None, CONNECTED, None, '4212["ask"]', None, '42["done"]')) as url:
        ask = ProbeAsk((wanted,), Address(url), None, 1, 1)
        report = await asyncio.to_thread(run_round, ask, lambda: datetime.now(UTC))
    assert [c.detail for c in report.failures] == []


def test_what_cannot_be_said_in_a_framing_is_told_before_a_byte_is_sent() -> None:
    for framing, send, words in (
        ("socket.io", "hello", "no mapping with the event's name"),
        ("text", {"type": "x"}, "neither a text"),
        ("sse", [{}, {}], "2 messages to send, and framing sse is one request"),
    ):
        ask = ProbeAsk((scenario(framing, send=send),), Address("http://127.0.0.1:1"), None)
        with pytest.raises(UserError) as told:
            run_round(ask, lambda: datetime.now(UTC))
        assert words in told.value.why


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
EVENTS = b': hi\n\nevent: started\ndata: {}\n\nevent: done\ndata: {"n": 1}\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize(
    ("answer", "is_open", "kind", "words"),
    [
        (HEAD + b"\r\n" + EVENTS, True, Kind.OK, ""),
        (CHUNKED + chunk(EVENTS[:20]) + chunk(EVENTS[20:]) + b"0\r\n\r\n", True, Kind.OK, ""),
        (CHUNKED + chunk(EVENTS[:40]) + b"0\r\n\r\n", True, Kind.CLOSED_EARLY, 'server closed with 1000 "the response ended"; still awaited: done'),
        (CHUNKED + chunk(EVENTS[:40]), False, Kind.CLOSED_EARLY, "connection lost without a close frame (1006"),
        (CHUNKED + chunk(EVENTS[:40]), True, Kind.TIMED_OUT, "still awaited: done"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy", True, Kind.REFUSED, "POST got 503 No: busy"),
        (b"HTTP/1.1 302 Off\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", True, Kind.REFUSED, "POST got 302 Off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}", True, Kind.UNREADABLE, "POST got application/json"),
        (HEAD + b"\r\ndata: " + b"x" * (2 << 20), True, Kind.UNREADABLE, "an event that is too large"),
        (HEAD + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b", True, Kind.UNREADABLE, "POST got an answer in gzip, which was not asked"),
        (b"SSH-2.0\r\n\r\n", False, Kind.UNREACHABLE, "POST: "),
    ],
)  # fmt: skip
async def test_server_sent_events(answer: bytes, is_open: bool, kind: Kind, words: str) -> None:
    requests: list[bytes] = []
    handlers: list[asyncio.Task[Any]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.extend(filter(None, [asyncio.current_task()]))
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        requests.append(head + await reader.readexactly(size))
        writer.write(answer)
        with suppress(OSError):
            await writer.drain()
            if is_open:
                await reader.read()
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        wanted = scenario("sse", within=timedelta(seconds=1 if kind is Kind.TIMED_OUT else 20))
        seen = await hold_conversation(wanted, url, {"x-y": "z"})
        assert (seen.kind, words in seen.detail) == (kind, True), seen.detail
        if kind is Kind.OK:
            listening = scenario("sse", send=None)
            assert (await hold_conversation(listening, url, {})).kind is Kind.OK
    await asyncio.wait(handlers)
    posted, *got = requests
    assert posted.startswith(b"POST /ws ")
    assert posted.endswith(b'{"type": "run"}')
    assert b"x-y: z" in posted
    assert all(each.startswith(b"GET /ws ") for each in got)
