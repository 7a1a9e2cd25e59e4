"""Sessions are told exactly once each, whatever app, client and platform do; and who is told to stop does so by and by."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from pipeline.telemetry import SpillwayTelemetry

EVENTS = ("agent_started", "agent_completed")
ENVIRON = {"K_SERVICE": "svc", "K_REVISION": "svc-1", "SPILLWAY_NONCE": "n1"}
ASK = '{"type": "execute_agent"}'
Message = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Server:
    """As strict as a real one: nothing may be sent after a close, and one that vanished is an OSError."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[Message] = asyncio.Queue()
        self.is_gone = self.is_closed = False
        self.code = 0
        self.answered: asyncio.Event | None = None  # a close, by the client, which is waited for

    async def receive(self) -> Message:
        return await self.incoming.get()

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0)
        if self.is_gone:
            raise ConnectionResetError("gone")
        if self.is_closed:
            raise RuntimeError(
                f"Unexpected ASGI message {message['type']!r}, after sending 'websocket.close'."
            )
        if message["type"] == "websocket.close":
            self.is_closed, self.code = True, message.get("code", 1000)
            if self.answered is not None:
                await self.answered.wait()
            self.disconnect(self.code)

    def disconnect(self, code: int) -> None:
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": code})


async def _polite(receive: Any, send: Send) -> None:
    while (message := await receive())["type"] != "websocket.disconnect":
        for kind in EVENTS if "text" in message else ():
            await send({"type": "websocket.send", "text": json.dumps({"type": kind})})


async def _raises(receive: Any, send: Send) -> None:
    await receive()
    raise ZeroDivisionError


async def _returns(receive: Any, send: Send) -> None:
    await receive()


async def _hangs(receive: Any, send: Send) -> None:
    await receive()
    await asyncio.Event().wait()


async def _sends_after_close(receive: Any, send: Send) -> None:
    await send({"type": "websocket.close", "code": 4001})
    await send({"type": "websocket.send", "text": "more"})


async def _closes_twice(receive: Any, send: Send) -> None:
    await send({"type": "websocket.close"})
    await send({"type": "websocket.close", "code": 1011})


async def _cancels(receive: Any, send: Send) -> None:
    await receive()
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def _talks_on(receive: Any, send: Send) -> None:
    """Never looks whether anybody is there."""
    while True:
        await send({"type": "websocket.send", "text": '{"type": "token"}'})
        await asyncio.sleep(0.01)


APPS = (_polite, _raises, _returns, _hangs, _sends_after_close, _closes_twice, _cancels, _talks_on)


@pytest.fixture
def stopped() -> Iterator[list[int]]:
    """The server's own handler of SIGTERM, and what it was called with."""
    calls: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: calls.append(number))
    yield calls
    signal.signal(signal.SIGTERM, before)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_ten_thousand_sessions_are_told_once_each(stopped: list[int]) -> None:
    """An eighth of them each with an app that is polite, raises, returns, hangs, sends after its close, closes twice,
    cancels itself, never looks; with clients that ask, leave and vanish; and then the server is told to stop."""
    lines: list[dict[str, Any]] = []
    rng = random.Random(11)

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await scope["app"](receive, send)

    middleware = SpillwayTelemetry(
        app, expects=EVENTS, environ=ENVIRON, within_s=600.0, stop_over_s=0.5,
        write=lambda text: lines.append(json.loads(text)),
    )  # fmt: skip
    servers, tasks = [], []
    for number in range(10_000):
        server = Server()
        scope = {"type": "websocket", "path": f"/{number}", "app": APPS[number % len(APPS)]}
        tasks.append(asyncio.create_task(middleware(scope, server.receive, server.send)))
        servers.append(server)
        if rng.random() < 0.7:
            server.incoming.put_nowait({"type": "websocket.receive", "text": ASK})
        fate = rng.random()
        if fate < 0.2:
            server.disconnect(1001)
        elif fate < 0.4:
            server.is_gone = number % len(APPS) == APPS.index(_talks_on) and number % 3 == 0
    await asyncio.sleep(0.2)
    still_open = len(middleware.book.open)
    assert still_open > 1000, "or the signal closes nothing"
    signal.raise_signal(signal.SIGTERM)
    await _until(lambda: bool(stopped))
    assert stopped == [signal.SIGTERM]
    for task in tasks:
        task.cancel()  # what a server does with those that hang
    await asyncio.gather(*tasks, return_exceptions=True)

    told = Counter((line["event"], line["session"]) for line in lines if line["event"].startswith("ws_"))
    accepted = {session for event, session in told if event == "ws_accept"}
    closed = {session for event, session in told if event == "ws_close"}
    assert set(told.values()) == {1}
    assert accepted == closed
    assert len(accepted) == sum(not server.is_gone for server in servers)
    assert len({line["path"] for line in lines if line["event"] == "ws_accept"}) == len(accepted)
    by_the_signal = [line for line in lines if line["event"] == "ws_close" and line["code"] == 1012]
    assert len(by_the_signal) >= still_open - sum(server.code not in (0, 1012) for server in servers) > 0
    runs = Counter((line["event"], line["session"], line["run"]) for line in lines if "run" in line)
    assert set(runs.values()) == {1}
    assert {key[1:] for key in runs if key[0] == "agent_start"} == {key[1:] for key in runs if key[0] == "agent_run"}  # fmt: skip


async def test_a_second_signal_goes_straight_to_the_server_and_the_handler_runs_once(
    stopped: list[int],
) -> None:
    server = Server()

    async def app(_scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await _hangs(receive, send)

    middleware = SpillwayTelemetry(app, environ=ENVIRON, write=lambda _: None)
    task = asyncio.create_task(middleware({"type": "websocket"}, server.receive, server.send))
    server.incoming.put_nowait({"type": "websocket.receive", "text": ASK})
    await _until(lambda: any(socket.is_busy for socket in middleware.book.open))
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0.05)
    assert stopped == [], "a run is under way"
    signal.raise_signal(signal.SIGTERM)
    assert stopped == [signal.SIGTERM]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_run_under_way_comes_to_its_end_first(stopped: list[int]) -> None:
    lines: list[dict[str, Any]] = []
    go_on, busy = asyncio.Event(), Server()

    async def app(_scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await receive()
        await go_on.wait()
        await send({"type": "websocket.send", "text": '{"type": "agent_completed"}'})
        await receive()

    middleware = SpillwayTelemetry(
        app, expects=EVENTS[1:], environ=ENVIRON, stop_over_s=60, write=lambda text: lines.append(json.loads(text))
    )  # fmt: skip
    idle = [Server() for _ in range(3)]
    tasks = [asyncio.create_task(middleware({"type": "websocket"}, s.receive, s.send)) for s in (busy, *idle)]
    busy.incoming.put_nowait({"type": "websocket.receive", "text": ASK})
    await _until(lambda: any(socket.is_busy for socket in middleware.book.open))
    signal.raise_signal(signal.SIGTERM)
    await _until(lambda: all(server.is_closed for server in idle))
    assert (busy.is_closed, stopped) == (False, [])
    go_on.set()
    await _until(lambda: bool(stopped))
    await asyncio.gather(*tasks, return_exceptions=True)
    assert busy.code == 1012
    assert [line["outcome"] for line in lines if line["event"] == "agent_run"] == ["ok"]


@pytest.mark.parametrize("speaks", [True, False])
async def test_an_app_whose_socket_was_closed_for_it_finds_that_nobody_is_there(
    speaks: bool, stopped: list[int]
) -> None:
    server, go_on = Server(), asyncio.Event()

    async def app(_scope: Any, _receive: Any, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await go_on.wait()
        await send({"type": "websocket.send", "text": "x"} if speaks else {"type": "websocket.close"})

    middleware = SpillwayTelemetry(app, environ=ENVIRON, write=lambda _: None)
    task = asyncio.create_task(middleware({"type": "websocket"}, server.receive, server.send))
    await _until(lambda: bool(middleware.book.open))
    signal.raise_signal(signal.SIGTERM)
    await _until(lambda: bool(stopped))
    go_on.set()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(outcome, OSError) if speaks else outcome is None
    assert server.code == 1012


async def test_without_a_handler_of_the_servers_the_signal_stays_as_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    await SpillwayTelemetry(_nothing, environ=ENVIRON)({"type": "http"}, None, None)  # type: ignore[arg-type]
    assert signal.getsignal(signal.SIGTERM) is before


async def test_nothing_is_put_off_where_nobody_wants_it(stopped: list[int]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    app = SpillwayTelemetry(_nothing, environ=ENVIRON, stop_over_s=0)
    await app({"type": "http"}, None, None)  # type: ignore[arg-type]
    assert signal.getsignal(signal.SIGTERM) is before


async def _nothing(*_: object) -> None: ...


# -- behind a real server ----------------------------------------------------------------------------------------------

_SERVICE = """
import asyncio, sys, uvicorn
from pipeline.telemetry import SpillwayTelemetry

async def app(scope, receive, send):
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        if scope["path"] == "/hang" and message["type"] == "websocket.receive":
            await asyncio.Event().wait()

file = open(sys.argv[1], "a", buffering=1)
app = SpillwayTelemetry(app, stop_over_s=1.5, write=lambda line: file.write(line + "\\n"))
uvicorn.run(app, uds=sys.argv[2], ws=sys.argv[3], lifespan="off", log_config=None, timeout_graceful_shutdown=2)
"""


@asynccontextmanager
async def _service(folder: Path, ws: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    environ = {**os.environ, **ENVIRON}
    words = [sys.executable, "-c", _SERVICE, str(folder / "lines"), str(folder / "s"), ws]
    process = subprocess.Popen(words, env=environ, stderr=subprocess.DEVNULL)
    try:
        await _until((folder / "s").exists)
        yield process
    finally:
        process.kill()
        process.wait()


async def _open(folder: Path, path: str) -> ClientConnection:
    from websockets.asyncio.client import unix_connect

    while True:
        with suppress(OSError):
            return await unix_connect(str(folder / "s"), f"ws://local{path}", close_timeout=5)
        await asyncio.sleep(0.02)


async def _closed(socket: ClientConnection) -> int | None:
    with suppress(ConnectionClosed):
        await socket.recv()
    return socket.close_code


@pytest.mark.parametrize("ws", ["websockets-sansio", "websockets"])
async def test_a_real_server_closes_its_sockets_by_and_by(ws: str, tmp_path: Path) -> None:
    async with _service(tmp_path, ws) as process:
        sockets = [await _open(tmp_path, "/hang" if number % 20 == 0 else "/ws") for number in range(40)]
        for socket in sockets[::20]:
            await socket.send(ASK)
        lines = tmp_path / "lines"
        await _until(lambda: lines.read_text().count("agent_start") >= 2)
        process.send_signal(signal.SIGTERM)
        codes = await asyncio.gather(*map(_closed, sockets))
        await asyncio.to_thread(process.wait)
    assert codes == [1012] * 40
    told = [json.loads(line) for line in lines.read_text().splitlines()]
    closes = [line for line in told if line["event"] == "ws_close"]
    assert len({line["session"] for line in closes}) == len(closes) == 40
    assert {(line["code"], line["closed_by"]) for line in closes} == {(1012, "server")}
    at = sorted(line["at"] for line in closes)
    assert at[-1] - at[0] > 1.0, "over the time that there is, and not at once"
    assert len({round(moment, 1) for moment in at}) > 5
