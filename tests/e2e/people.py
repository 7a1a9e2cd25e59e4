"""Users of one service, each with an address of his own, who come again and again while a rollout goes on.

Half of them keep one socket for many runs; the others take a new one for each. One run in a hundred breaks off on the
user's side, as a network does it: the connection is gone, without a close.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from types import TracebackType

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.e2e.patient import FIVE

_STAYS = 0.8  # of one with a long-lived socket, that he keeps it after a run


class People:
    """A crowd in a thread of its own, from ``with`` to the end of its block.

    Args:
        pause: seconds between two runs of one user.
        breaks: rate of runs in which the way to the service breaks.
    """

    def __init__(self, url: str, *, number: int = 60, pause: float = 1.2, breaks: float = 0.0) -> None:
        self.came_to: Counter[str] = Counter()
        self._url = url.replace("http", "ws", 1) + "/ws"
        self._number, self._pause, self._breaks = number, pause, breaks
        self._random = random.Random(number)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name="people")
        self._over: asyncio.Event | None = None
        self._is_there = threading.Event()

    def __enter__(self) -> People:
        self._thread.start()
        self._is_there.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._over is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _live(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._all())

    async def _all(self) -> None:
        self._over = asyncio.Event()
        users = [asyncio.create_task(self._come(n)) for n in range(self._number)]
        self._is_there.set()
        await self._over.wait()
        for user in users:
            user.cancel()
        await asyncio.gather(*users, return_exceptions=True)

    async def _come(self, number: int) -> None:
        headers = {"X-Forwarded-For": f"10.7.{number >> 8}.{number & 255}"}
        await asyncio.sleep(self._random.random() * self._pause)
        while True:
            try:
                async with connect(
                    self._url, additional_headers=headers, compression=None, ping_interval=None, proxy=None
                ) as socket:
                    await self._stay(socket, is_long=number % 2 == 0)
            except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError) as error:
                self.came_to[type(error).__name__] += 1
            await asyncio.sleep(self._pause)

    async def _stay(self, socket: ClientConnection, *, is_long: bool) -> None:
        while True:
            await socket.send('{"type": "execute_agent"}')
            if self._random.random() < self._breaks:
                socket.transport.abort()
                return
            async with asyncio.timeout(60):
                while json.loads(await socket.recv())["type"] != FIVE[-1]:
                    pass
            self.came_to["ok"] += 1
            if not is_long or self._random.random() > _STAYS:
                return
            await asyncio.sleep(self._pause)
