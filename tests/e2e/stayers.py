"""Users who are on one revision and stay: each has a run under way, and another after it until the socket is closed."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

FIVE = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")


@dataclass
class Stayer:
    """One user. ``cut``: of a run that had begun the events that came; empty where none was under way at the close."""

    seconds: float
    done: int = 0
    cut: tuple[str, ...] = ()
    code: int | None = None
    reason: str = ""
    closed_at: float = 0.0
    begun: asyncio.Event = field(default_factory=asyncio.Event)


class Stayers:
    """A crowd in a thread of its own, from ``with`` to the end of its block.

    Args:
        seconds: how long a run takes; each user has one of these.
    """

    def __init__(self, url: str, number: int, seconds: tuple[float, ...]) -> None:
        chance = random.Random(number)
        self.each = [Stayer(chance.choice(seconds)) for _ in range(number)]
        self._url = url.replace("http", "ws", 1) + "/ws"
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), name="stayers")
        self._are_there = threading.Event()
        self._over: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Stayers:
        self._thread.start()
        assert self._are_there.wait(120)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._over is not None
        with suppress(RuntimeError):  # all have gone
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def left(self, within_s: float) -> int:
        """How many sockets are still open once all are closed, or this time is over."""
        give_up = time.monotonic() + within_s
        while (count := sum(each.code is None for each in self.each)) and time.monotonic() < give_up:
            time.sleep(0.05)
        return count

    async def _all(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        staying = [asyncio.create_task(self._stay(each)) for each in self.each]
        for each in self.each:
            await each.begun.wait()
        self._are_there.set()
        await asyncio.wait([asyncio.create_task(self._over.wait()), asyncio.create_task(_gone(staying))],
                           return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        for task in staying:
            task.cancel()
        await asyncio.gather(*staying, return_exceptions=True)

    async def _stay(self, user: Stayer) -> None:
        async with connect(self._url, ping_interval=None, open_timeout=60, compression=None) as socket:
            try:
                while True:
                    await self._run(socket, user)
            except ConnectionClosed:
                user.code, user.reason, user.closed_at = (
                    socket.close_code,
                    socket.close_reason or "",
                    time.time(),
                )

    async def _run(self, socket: ClientConnection, user: Stayer) -> None:
        user.cut = ()
        await socket.send(json.dumps({"type": "execute_agent", "seconds": user.seconds}))
        for expected in FIVE:
            assert json.loads(await socket.recv())["type"] == expected
            user.cut = (*user.cut, expected)
            user.begun.set()
        user.done, user.cut = user.done + 1, ()
        with suppress(TimeoutError):  # a close is noticed while he thinks, too
            await asyncio.wait_for(socket.wait_closed(), user.seconds / 2)


async def _gone(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)
