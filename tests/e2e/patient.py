"""A service, run as an image, that has the faults which its environment names, and is good otherwise.

FAILS     rate of users' runs that end with 1011
LOSES     rate of all conversations that break off without a close, as if the network did it
EXITS     the process ends with code 0 after so many runs
LEAKS     the process is killed after so many runs, as one that outgrew its memory
SICK      a path: the first process to make it is sick, and every run in it ends with 1011
TIRES     after so many seconds it fails whoever was there before
PEOPLE    a secret of the probes' requests is no user's: set for faults that only users meet
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from pipeline.telemetry import SpillwayTelemetry

FIVE = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")


def _number(name: str) -> float:
    return float(os.environ.get(name, "0"))


class Lost(Exception):
    """The way to the client broke."""


class Patient:
    """One process of it."""

    def __init__(self) -> None:
        self._runs = 0
        self._began = time.monotonic()
        self._known: set[str] = set()
        self._is_sick = self._falls_sick()

    @staticmethod
    def _falls_sick() -> bool:
        place = os.environ.get("SICK")
        if not place:
            return False
        try:
            Path(place).mkdir()
        except FileExistsError:
            return False
        return True

    async def converse(self, socket: WebSocket) -> None:
        await socket.accept()
        client = socket.headers.get("x-forwarded-for", "")
        is_probe = "x-spillway-probe" in socket.headers
        try:
            while True:
                await socket.receive_json()
                await self._run(socket, client, is_probe=is_probe)
        except WebSocketDisconnect:
            return

    async def _run(self, socket: WebSocket, client: str, *, is_probe: bool) -> None:
        self._runs += 1
        if _number("EXITS") and self._runs > _number("EXITS"):
            os._exit(0)
        if _number("LEAKS") and self._runs > _number("LEAKS"):
            os.kill(os.getpid(), signal.SIGKILL)
        if random.random() < _number("LOSES"):
            raise Lost
        if self._fails(client, is_probe=is_probe):
            await socket.close(1011, "internal error")
            raise WebSocketDisconnect(1011)
        for event in FIVE:
            await socket.send_text(json.dumps({"type": event}))
            await asyncio.sleep(0)
        self._known.add(client)

    def _fails(self, client: str, *, is_probe: bool) -> bool:
        if self._is_sick:
            return True
        if is_probe and os.environ.get("PEOPLE"):
            return False
        tires = _number("TIRES")
        is_tired = tires and time.monotonic() - self._began > tires and client in self._known
        return bool(is_tired) or random.random() < _number("FAILS")


def main() -> None:
    app = Starlette(routes=[WebSocketRoute("/ws", Patient().converse)])
    uvicorn.run(
        SpillwayTelemetry(app), host="127.0.0.1", port=int(os.environ["PORT"]), ws="websockets-sansio",
        log_level="critical", lifespan="off",
    )  # fmt: skip


if __name__ == "__main__":
    main()
