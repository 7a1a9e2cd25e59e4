"""Instances ask whether they are to drain; then runs come to their end, idle sockets go by and by, and nobody else is touched."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from pipeline.telemetry import SpillwayTelemetry
from pipeline.telemetry.order import ANNOTATION, Order
from tests.test_telemetry_contract import ENVIRON as CONTRACT
from tests.test_telemetry_contract import ROOT, ending, node_path, told, until, words
from tests.test_telemetry_orders import HOSTILE, resource, says, serving
from tests.test_telemetry_stopping import ASK, ENVIRON, EVENTS, Message, Send, Server

__all__ = ["node_path", "words"]

HINT = re.compile(r"retry-after=[1-5]")
MINUTE = timedelta(minutes=1)


def an_order(within_s: float, revision: str = "svc-1", age: timedelta = timedelta(0)) -> Order:
    return Order(revision, datetime.now(UTC) - age, timedelta(seconds=within_s))


@dataclass
class Board:
    """What stands at the address now."""

    url: str = ""
    order: Order | None = None
    asked: int = 0
    status: int = 200

    def holds(self, order: Order | None) -> None:
        self.order = order


@pytest.fixture
def board() -> Iterator[Board]:
    kept = Board()

    def answer(request: Any) -> None:
        kept.asked += 1
        annotations = {ANNOTATION: kept.order.encode()} if kept.order else {"other": "1"}
        says(resource(annotations), kept.status)(request)

    with serving(answer) as kept.url:
        yield kept


@pytest.fixture(params=[600, 1], ids=["in-time", "late"])
def within_s(request: pytest.FixtureRequest) -> int:
    """After which a run is late."""
    return int(request.param)


@pytest.fixture
def service(words: list[str], board: Board, within_s: int, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The file of its lines, and its address."""
    lines = tmp_path / "lines"
    environ = {**os.environ, **CONTRACT, "SPILLWAY_DRAIN_URL": board.url, "DRAIN_EVERY_S": "0.1"}
    known = json.loads(CONTRACT["SPILLWAY_TELEMETRY"]) | {"within_s": within_s}
    environ["SPILLWAY_TELEMETRY"] = json.dumps(known)
    with lines.open("w") as out:
        process = subprocess.Popen(
            words, cwd=ROOT, env=environ, stdout=out, stderr=subprocess.PIPE, text=True
        )
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        assert said.startswith("port "), said + process.stderr.read()
        yield lines, f"ws://127.0.0.1:{said.split()[1]}"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


async def test_both_middlewares_let_a_run_end_and_close_with_1012_and_a_hint(
    service: tuple[Path, str], board: Board, within_s: int
) -> None:
    """One that is late as well: its user still waits."""
    lines, url = service
    async with connect(url) as idle, connect(url) as busy:
        await busy.send(json.dumps({"type": "execute_agent", "do": "begin"}))
        await busy.recv()
        for other in (an_order(10, "svc-2"), an_order(600, age=11 * MINUTE), an_order(600, age=-2 * MINUTE)):
            board.holds(other)
            before = board.asked
            await _until(lambda n=before: board.asked > n + 2)
        if within_s == 1:
            await until(lines, "agent_run", 2)  # the idle socket's, and the late run's
        assert "ws_close" not in {line["event"] for line in told(lines)}
        board.holds(an_order(12))
        assert await ending(idle) == 1012
        assert HINT.fullmatch(idle.close_reason or "")
        await busy.send(json.dumps({"do": "end"}))
        assert json.loads(await busy.recv())["type"] == "agent_completed"
        assert await ending(busy) == 1012
        assert HINT.fullmatch(busy.close_reason or "")
    await until(lines, "ws_close", 2)
    closes = [line for line in told(lines) if line["event"] == "ws_close"]
    assert {(line["code"], line["closed_by"]) for line in closes} == {(1012, "server")}
    assert all(HINT.fullmatch(line["reason"]) for line in closes)
    runs = {line["outcome"] for line in told(lines) if line["event"] == "agent_run"}
    assert runs == ({"ok"} if within_s == 600 else {"idle", "timeout"})


async def test_both_middlewares_outlive_whatever_stands_at_the_address(
    words: list[str], tmp_path: Path
) -> None:
    asked: list[str] = []
    answers = [
        HOSTILE[name]
        for name in ("floods", "redirects-for-ever", "no-http", "deep", "error", "boasts-of-its-length")
    ]

    def answer(request: Any) -> None:
        asked.append(request.path)
        answers[min(sum("key" in path for path in asked), len(answers)) - 1](request)

    with serving(answer) as order_url:
        environ = {**os.environ, **CONTRACT, "SPILLWAY_DRAIN_URL": order_url, "DRAIN_EVERY_S": "0.03"}
        process = subprocess.Popen(
            words, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            assert process.stderr is not None
            port = process.stderr.readline().split()[1]
            async with connect(f"ws://127.0.0.1:{port}") as socket:
                await _until(lambda: sum("key" in path for path in asked) >= len(answers))
                await socket.send(json.dumps({"type": "execute_agent", "do": "run"}))
                assert [json.loads(await socket.recv())["type"] for _ in range(3)][-1] == "agent_completed"
        finally:
            process.kill()
            said = process.communicate()[1]
    assert said.count("OrderUnread") == 1
    assert "secret" not in said


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


@dataclass
class Crowd:
    """Sockets on one middleware."""

    middleware: SpillwayTelemetry
    lines: list[dict[str, Any]]
    servers: list[Server] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def join(self, message: str = "") -> Server:
        server = Server()
        if message:
            server.incoming.put_nowait({"type": "websocket.receive", "text": message})
        self.tasks.append(
            asyncio.create_task(self.middleware({"type": "websocket"}, server.receive, server.send))
        )
        self.servers.append(server)
        return server

    @property
    def codes(self) -> list[int]:
        return [server.code for server in self.servers]


async def _answers(_scope: Message, receive: Any, send: Send) -> None:
    """Each run as soon as it is asked for; one that is to hang never."""
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        for kind in EVENTS if "hang" not in message["text"] else ():
            await send({"type": "websocket.send", "text": json.dumps({"type": kind})})


@asynccontextmanager
async def crowd(
    url: str, app: Any = _answers, every_s: float = 0.02, clock: Callable[[], float] = time.time
) -> AsyncIterator[Crowd]:
    lines: list[dict[str, Any]] = []
    middleware = SpillwayTelemetry(
        app, expects=EVENTS, within_s=600.0, environ={**ENVIRON, **({"SPILLWAY_DRAIN_URL": url} if url else {})},
        drain_every_s=every_s, clock=clock, write=lambda text: lines.append(json.loads(text)),
    )  # fmt: skip
    made = Crowd(middleware, lines)
    try:
        yield made
    finally:
        for task in made.tasks:
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)


async def test_at_the_end_of_the_window_nobody_is_left_and_who_was_cut_is_told(
    board: Board, capfd: pytest.CaptureFixture[str]
) -> None:
    async with crowd(board.url) as there:
        for _ in range(20):
            there.join()
        hanging = there.join(ASK.replace("}", ', "hang": 1}'))
        await _until(lambda: any(each.is_busy for each in there.middleware.book.open))
        board.holds(an_order(3))
        await _until(lambda: not there.middleware.book.open)
        assert set(there.codes) == {1012}
        closed = [line for line in there.lines if line["event"] == "ws_close"]
        assert [line["runs"] for line in closed].index(1) == 20, "idle ones go first"
        assert [line["outcome"] for line in there.lines if line["event"] == "agent_run"] == ["closed"]
        assert hanging.is_closed
        await _until(lambda: "1 sockets were closed in the middle of a run" in capfd.readouterr().err)


@pytest.mark.parametrize("raises", [True, False])
async def test_an_app_that_ends_while_its_client_answers_the_close_changes_nothing_of_what_is_told(
    board: Board, raises: bool
) -> None:
    """Servers wait for the client's answer, and a run that is cut goes on sending meanwhile."""

    async def app(_scope: Message, receive: Any, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await receive()
        try:
            while True:
                await send({"type": "websocket.send", "text": '{"type": "token"}'})
                await asyncio.sleep(0.01)
        except OSError:
            if raises:
                raise

    async with crowd(board.url, app) as there:
        answered = asyncio.Event()
        there.join(ASK).answered = answered
        await _until(lambda: any(each.is_busy for each in there.middleware.book.open))
        board.holds(an_order(1))
        await _until(there.tasks[0].done)
        answered.set()
        (closed,) = [line for line in there.lines if line["event"] == "ws_close"]
        assert (closed["code"], closed["closed_by"]) == (1012, "server")
        assert HINT.fullmatch(closed["reason"])


async def test_who_asks_again_and_again_is_let_go_between_two_runs(board: Board) -> None:
    """Each answer is followed at once by the next question, so there is no moment in which a look could find it idle."""

    async def app(_scope: Message, receive: Any, send: Send) -> None:
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            for kind in EVENTS:
                await asyncio.sleep(0.03)
                await send({"type": "websocket.send", "text": json.dumps({"type": kind})})
            if message.get("text"):
                there.servers[0].incoming.put_nowait({"type": "websocket.receive", "text": ASK})

    async with crowd(board.url, app) as there:
        there.join(ASK)
        await _until(lambda: bool(there.middleware.book.open))
        board.holds(an_order(30))
        await _until(lambda: there.servers[0].is_closed)
        runs = [line["outcome"] for line in there.lines if line["event"] == "agent_run"]
        assert set(runs) == {"ok"}


async def test_an_order_that_is_withdrawn_is_not_gone_on_with(board: Board) -> None:
    async with crowd(board.url) as there:
        for _ in range(3):
            there.join()
        board.holds(an_order(9))  # the second would go after two seconds
        await _until(lambda: 1012 in there.codes)
        board.holds(None)
        asked = board.asked
        await _until(lambda: board.asked > asked + 2)
        closed = there.codes.count(1012)
        await asyncio.sleep(2.5)
        assert there.codes.count(1012) == closed
        assert all(each.when_idle is None for each in there.middleware.book.open)


async def test_nobody_asks_where_nobody_is_connected_and_seldom_where_users_come(board: Board) -> None:
    every_s = 0.05
    now = [datetime.now(UTC).timestamp()]
    async with crowd(board.url, every_s=every_s, clock=lambda: now[0]) as there:
        there.join().disconnect(1001)
        await _until(lambda: any(line["event"] == "ws_close" for line in there.lines))
        before = board.asked
        await asyncio.sleep(10 * every_s)
        assert board.asked == before
        there.join()  # and as time stands still, it has only just come
        began = time.monotonic()
        await _until(lambda: board.asked >= before + 3)
        assert time.monotonic() - began >= 2 * 8 * every_s
        now[0] += 1
        asked = board.asked
        await _until(lambda: board.asked >= asked + 8)


async def test_an_address_that_is_dead_or_broken_is_told_once_and_harms_nobody(
    board: Board, capfd: pytest.CaptureFixture[str]
) -> None:
    board.status = 500
    async with crowd(board.url) as there:
        server = there.join(ASK)
        await _until(lambda: board.asked >= 4)
        server.disconnect(1000)
        await _until(lambda: any(line["event"] == "ws_close" for line in there.lines))
        assert [line["outcome"] for line in there.lines if line["event"] == "agent_run"] == ["ok"]
    assert capfd.readouterr().err.count("spillway telemetry: OrderUnread: 127.0.0.1") == 1


async def test_without_the_variable_nothing_is_begun() -> None:
    before = threading.active_count()
    async with crowd("") as there:
        there.join(ASK)
        await _until(lambda: len(there.lines) >= 3)
        assert threading.active_count() == before
