"""The middleware behind a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from pipeline.judging.reading import read_lines
from pipeline.judging.trials import trials_of
from pipeline.model import LogLine
from pipeline.telemetry import SpillwayTelemetry
from tests.test_telemetry import ENVIRON, EVENTS, Lines, told


async def _chat(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            message = await socket.receive_json()
            match message.get("do"):
                case "raise":
                    json.dumps({"state": socket.client_state})
                case "1011":
                    await socket.close(1011, "boom")
                    return
                case "return":
                    return
                case "slow":
                    for _ in range(400):
                        await socket.send_json({"type": "agent_thinking"})
                        await asyncio.sleep(0.005)
                case _:
                    for kind in EVENTS:
                        await socket.send_json({"type": kind})
    except WebSocketDisconnect:
        return


async def _refuse(_socket: WebSocket) -> None:
    raise ValueError("before the accept")


@asynccontextmanager
async def _served(lines: Lines) -> AsyncIterator[str]:
    app = SpillwayTelemetry(
        Starlette(routes=[WebSocketRoute("/ws", _chat), WebSocketRoute("/refuse", _refuse)]),
        expects=EVENTS, within_s=5.0, environ=ENVIRON, write=lambda text: lines.append(json.loads(text)),
    )  # fmt: skip
    config = uvicorn.Config(app, "127.0.0.1", 0, ws="websockets-sansio", log_config=None, lifespan="off")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"ws://127.0.0.1:{port}"
    server.should_exit = True
    await serving


async def _until(lines: Lines, event: str) -> None:
    async with asyncio.timeout(60):
        while not any(entry["event"] == event for entry in lines):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("do", "expected", "by"),
    [
        ("run", [("agent_run", "ok"), ("ws_close", 1000)], "client"),
        ("raise", [("agent_run", "closed"), ("ws_close", 1006)], "server"),
        ("1011", [("agent_run", "closed"), ("ws_close", 1011)], "server"),
        ("return", [("agent_run", "closed"), ("ws_close", 1006)], "server"),
    ],
)
async def test_behind_uvicorn(do: str, expected: list[tuple[object, ...]], by: str) -> None:
    lines: Lines = []
    async with _served(lines) as url, connect(f"{url}/ws", proxy=None) as socket:
        await socket.send(json.dumps({"type": "execute_agent", "do": do}))
        try:
            for _ in EVENTS:
                await socket.recv()
            await socket.close()
        except ConnectionClosed:
            pass
        await _until(lines, "ws_close")
    assert told(lines)[1:] == expected
    assert lines[-1]["closed_by"] == by


async def test_behind_uvicorn_a_user_who_leaves_mid_run_is_no_failed_run() -> None:
    lines: Lines = []
    async with _served(lines) as url:
        async with connect(f"{url}/ws", proxy=None) as socket:
            await socket.send(json.dumps({"type": "execute_agent", "do": "slow"}))
            await socket.recv()
            socket.transport.abort()
        await _until(lines, "ws_close")
    assert lines[-1]["closed_by"] != "server"
    moment = datetime.now(UTC)
    entries = [LogLine(str(n), moment, "svc-1", payload=entry) for n, entry in enumerate(lines)]
    (socket_seen,) = read_lines(entries, "svc-1", "n1", ()).sockets.values()
    assert list(trials_of(socket_seen, timedelta(seconds=5), moment.timestamp() + 60)) == []


async def test_behind_uvicorn_a_handshake_that_breaks_is_told() -> None:
    lines: Lines = []
    async with _served(lines) as url:
        with pytest.raises(Exception, match="HTTP 500"):
            await connect(f"{url}/refuse", proxy=None)
        await _until(lines, "ws_refused")
    assert told(lines) == [("ws_refused", 500)]
