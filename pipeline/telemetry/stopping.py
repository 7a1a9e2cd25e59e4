"""A server that is told to stop closes its sockets over some seconds, not all at once.

Theory of operation. Cloud Run sends SIGTERM and gives ten seconds. A server such as uvicorn closes every socket with
1012 as soon as its handler has run, and all its users connect again in the same tenth of a second, to the instances
that are left. So the handler that the server installed is put off: ours comes first, closes the sockets that are idle
one after the other, then those whose runs have ended meanwhile, then the rest, and only then lets the server's handler
do what it does. A second signal goes straight to the server.

There is nothing to put off, and all stays as it is, where the signal has no handler of Python's (the process dies), where
the event loop itself takes it (``add_signal_handler``), or where the app does not run in the main thread.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType

from pipeline.telemetry.book import Book, say

_TICK_S = 0.05
_MOST_APART_S = 0.1  # between two closes: ten users a second who connect again are no crowd
_LAST_CLOSES_S = 0.5

Handler = Callable[[int, FrameType | None], object]


class Stopping:
    """Args: over_s: how long closing may take; 0 leaves the signal to the server alone."""

    def __init__(self, book: Book, over_s: float) -> None:
        self._book = book
        self._over_s = over_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._servers: Handler | None = None
        self._is_under_way = False

    def install(self) -> None:
        """Once for each event loop, when its server has installed its own handler: with the first thing it asks."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        self._loop = loop
        if not self._over_s or threading.current_thread() is not threading.main_thread():
            return
        there = signal.getsignal(signal.SIGTERM)
        if not callable(there) or getattr(there, "__module__", "").startswith(("asyncio", "uvloop")):
            return
        self._servers = there
        signal.signal(signal.SIGTERM, self._told)

    def _told(self, number: int, frame: FrameType | None) -> None:
        """In a signal's handler: between any two instructions of the main thread."""
        loop = self._loop
        if self._is_under_way or loop is None or loop.is_closed():
            self._stop_server(number, frame)
            return
        self._is_under_way = True
        loop.call_soon_threadsafe(lambda: self._book.spawn(self._close_all()))

    def _stop_server(self, number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        servers, self._servers = self._servers, None
        if servers is not None:
            servers(number, frame)

    async def _close_all(self) -> None:
        try:
            await self._spread()
            for socket in tuple(self._book.open):
                self._book.spawn(socket.stop())
            own = asyncio.current_task()
            if rest := [task for task in self._book.tasks if task is not own]:
                await asyncio.wait(rest, timeout=_LAST_CLOSES_S)
        except Exception as error:  # noqa: BLE001 - whatever happens in here, the server stops
            self._book.complain(error)
        finally:
            self._stop_server()

    async def _spread(self) -> None:
        """Idle sockets evenly; it is over when none is left, or the time is."""
        now = asyncio.get_running_loop().time
        began, count = now(), len(self._book.open)
        over_s = min(self._over_s, count * _MOST_APART_S)
        closed = 0
        while self._book.open and (passed := now() - began) < self._over_s:
            due = count if passed >= over_s else 1 + int((count - 1) * passed / over_s)
            idle = [socket for socket in self._book.open if not socket.is_busy]
            for socket in idle[: max(0, due - closed)]:
                self._book.spawn(socket.stop())
                closed += 1
            await asyncio.sleep(_TICK_S)
        if self._book.open:
            say(f"{len(self._book.open)} sockets were still busy {self._over_s:g}s after SIGTERM")
