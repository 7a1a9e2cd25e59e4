"""A WebSocket server that behaves as its path says: well, badly, or worse. Real sockets on loopback.

``/five`` holds the five-event conversation as it should be; every other path breaks it in one way.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol
from websockets.utils import accept_key

from pipeline.probe.matching import Expectation
from pipeline.probe.scenario import Scenario

FIVE = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")

Behaviour = Callable[[ServerConnection], Awaitable[None]]


def scenario(path: str = "/five", **changes: object) -> Scenario:
    """The five-event conversation against one behaviour; half a minute is never reached on a healthy path."""
    fields: dict[str, object] = {
        "name": path.strip("/") or "http",
        "path": path,
        "send": ({"type": "execute_agent", "payload": {"text": "hello"}},),
        "groups": tuple((Expectation({"type": name}),) for name in FIVE),
        "within_s": 30.0,
    }
    return Scenario.short(**{**fields, **changes})  # type: ignore[arg-type]


class Hostile:
    """The running server: where it is, and the most conversations that it ever held at once."""

    def __init__(self) -> None:
        self.port = 0
        self.open = 0
        self.most_open = 0
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            with suppress(ConnectionClosed):
                await BEHAVIOURS[connection.request.path](connection)
        finally:
            self.open -= 1

    async def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Plain HTTP, and what goes wrong before there is a WebSocket."""
        self.requests.append(request)
        if request.path == "/mute":
            await connection.wait_closed()
        elif request.path == "/garbage":
            connection.transport.write(b"SSH-2.0-OpenSSH\r\n\r\n")
            connection.transport.close()
        elif request.path == "/endless-status-line":
            connection.transport.write(b"HTTP/9" + b"x" * 7000 + b"\r\n\r\n")
            connection.transport.close()
        elif request.path == "/closed-at-once":
            connection.transport.write(closed_at_once(request.headers["Sec-WebSocket-Key"]))
            await connection.wait_closed()
        elif request.path == "/http-trickle":
            connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            await trickle(connection, b" " * 100_000)
        return ANSWERS.get(request.path)


@asynccontextmanager
async def hostile() -> AsyncIterator[Hostile]:
    server = Hostile()
    async with serve(
        server.handle,
        "127.0.0.1",
        0,
        process_request=server.answer,
        subprotocols=[Subprotocol("chat.v2")],
        select_subprotocol=lambda _, offered: offered[0] if offered else None,
        ping_interval=None,
        close_timeout=0.1,
        open_timeout=None,
    ) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


def _response(status: int, body: bytes = b"", **headers: str) -> Response:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Response(
        status, HTTPStatus(status).phrase, Headers({"Content-Length": str(len(body)), **named}), body
    )


ANSWERS = {
    "/503": _response(503, b"no instance"),
    "/redirect": _response(302, Location="/five"),
    "/health": _response(200, json.dumps({"status": "ok", "checks": {"db": True}}).encode()),
    "/not-json-body": _response(200, b"<html>"),
    "/large-body": _response(200, b"[" + b" " * 100_000 + b"]"),
    "/not-a-websocket": _response(101, Upgrade="websocket", Connection="Upgrade"),
}


async def say(connection: ServerConnection, names: Iterable[str], **fields: object) -> None:
    for name in names:
        await connection.send(json.dumps({"type": name, **fields}))


async def raw(connection: ServerConnection, data: bytes) -> None:
    """Put bytes on the wire that the library would not, and wait for the other side to give up."""
    connection.transport.write(data)
    await connection.wait_closed()


async def trickle(connection: ServerConnection, data: bytes) -> None:
    for position in range(len(data)):
        if connection.transport.is_closing():
            return
        connection.transport.write(data[position : position + 1])
        await asyncio.sleep(0.02)


async def flood(connection: ServerConnection, frames: bytes) -> None:
    while not connection.transport.is_closing():
        connection.transport.write(frames)
        await connection.drain()
        await asyncio.sleep(0)


async def five(connection: ServerConnection) -> None:
    await connection.recv()
    await say(connection, FIVE)
    await connection.wait_closed()


async def impatient(connection: ServerConnection) -> None:
    await say(connection, FIVE)
    await connection.close(1000)


async def chatty(connection: ServerConnection) -> None:
    await connection.recv()
    await say(connection, FIVE)
    await say(connection, ["agent_metrics"] * 2_000)
    await connection.wait_closed()


async def echo(connection: ServerConnection) -> None:
    """The five events, and then the requests as they came, the headers and the subprotocol."""
    assert connection.request
    said = [json.loads(await connection.recv()) for _ in range(2)]
    headers = dict(connection.request.headers)
    await say(connection, ["heard"], said=said, headers=headers, subprotocol=connection.subprotocol)
    await connection.wait_closed()


def closing(code: int, reason: str = "", events: int = 2) -> Behaviour:
    async def behave(connection: ServerConnection) -> None:
        await connection.recv()
        await say(connection, FIVE[:events])
        await connection.close(code, reason)

    return behave


def saying(*names: str) -> Behaviour:
    async def behave(connection: ServerConnection) -> None:
        await connection.recv()
        await say(connection, names)
        await connection.wait_closed()

    return behave


def wiring(data: bytes, events: int = 0) -> Behaviour:
    async def behave(connection: ServerConnection) -> None:
        await connection.recv()
        await say(connection, FIVE[:events])
        connection.transport.pause_reading()  # whatever the other side says about it, its close too, is not heard
        await raw(connection, data)

    return behave


async def dropped(connection: ServerConnection) -> None:
    await connection.recv()
    await say(connection, FIVE[:3])
    connection.transport.abort()


async def dropped_after(connection: ServerConnection) -> None:
    await connection.recv()
    await say(connection, FIVE)
    connection.transport.close()


async def trickling(connection: ServerConnection) -> None:
    await connection.recv()
    await trickle(connection, b"\x81\x7e\xff\x00" + b" " * 65_280)


async def fragments(connection: ServerConnection) -> None:
    await connection.recv()
    connection.transport.write(b"\x01\x00")
    await flood(connection, b"\x00\x00" * 10_000)


async def pings(connection: ServerConnection) -> None:
    await connection.recv()
    connection.transport.pause_reading()
    await flood(connection, (b"\x89\x7d" + b"p" * 125) * 1_000)


def closed_at_once(key: str) -> bytes:
    """A handshake's answer, an event and a close in one piece, before whoever asked can say anything."""
    head = f"HTTP/1.1 101 .\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    return head.encode() + text_frame({"type": FIVE[0]}) + b"\x88\x02\x0f\xa2"


def text_frame(message: object) -> bytes:
    """Of a short message."""
    data = json.dumps(message).encode()
    return b"\x81" + bytes([len(data)]) + data


async def half(connection: ServerConnection) -> None:
    """A text that JSON can carry and UTF-8 cannot; then what it is told."""
    await connection.send('{"type": "half", "text": "\\ud83d"}')
    assert json.loads(await connection.recv()) == {"type": "\ud83d"}
    await connection.send('{"type": "half"}')
    await connection.wait_closed()


async def unknown_events(connection: ServerConnection) -> None:
    await connection.recv()
    await flood(connection, b"\x81\x02{}" * 1_000)


def bomb(megabytes: int = 64) -> bytes:
    """One small frame that inflates to so many MiB of zeros (RFC 7692)."""
    squeeze = zlib.compressobj(9, wbits=-12)
    data = b"".join(squeeze.compress(b"\0" * (1 << 20)) for _ in range(megabytes)) + squeeze.flush(
        zlib.Z_SYNC_FLUSH
    )
    data = data.removesuffix(b"\x00\x00\xff\xff")
    return b"\xc1\x7f" + len(data).to_bytes(8, "big") + data


BEHAVIOURS: dict[str, Behaviour] = {
    "/five": five,
    "/impatient": impatient,
    "/chatty": chatty,
    "/echo": echo,
    "/silent": saying(),
    "/1011": closing(1011, "boom \x1b[31m"),
    "/keepalive": closing(1011, "keepalive ping timeout"),
    "/1012": closing(1012),
    "/1009": closing(1009, "your message is too large"),
    "/early-1000": closing(1000),
    "/4001-after": closing(4001, "bye", events=5),
    "/dropped": dropped,
    "/dropped-after": dropped_after,
    "/without-last": saying(*FIVE[:4]),
    "/without-third": saying(*FIVE[:2], *FIVE[3:]),
    "/straggler": saying(*FIVE[:2], *FIVE[3:], FIVE[2]),
    "/swapped": saying(FIVE[1], FIVE[0], *FIVE[2:]),
    "/twice": saying(FIVE[0], *FIVE),
    "/binary": wiring(b"\x82\x02{}"),
    "/not-json": wiring(b"\x81\x05hello"),
    "/nan": wiring(b"\x81\x03NaN"),
    "/deep-json": wiring(b"\x81\x7f" + (200_000).to_bytes(8, "big") + b"[" * 200_000),
    "/bad-utf8": wiring(b"\x81\x02\xff\xfe"),
    "/bad-utf8-amid": wiring(b"\x81\x02\xff\xfe" + text_frame({"type": FIVE[4]}), events=4),
    "/reserved-bits": wiring(b"\xb1\x00"),
    "/huge": wiring(b"\x81\x7f" + (1 << 30).to_bytes(8, "big") + b" " * 1000),
    "/bomb": wiring(bomb()),
    "/never-closes": wiring(b"", events=5),
    "/answers-1011": wiring(b"\x88\x06\x03\xf3boom", events=5),
    "/close-without-code": wiring(b"\x88\x00", events=5),
    "/trickle": trickling,
    "/fragments": fragments,
    "/pings": pings,
    "/half": half,
    "/unknown-events": unknown_events,
}
