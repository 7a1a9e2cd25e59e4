"""A revision that lost its traffic is asked to let its sockets go, and they go by and by.

Theory of operation. Nobody can address one instance of Cloud Run from outside, so the instances ask. A thread of its own
reads the address that ``SPILLWAY_DRAIN_URL`` names (``order_reader.py``), so that nothing of that touches the loop that
serves users; without the variable there is no thread. It reads every 15 seconds while there are sockets and nobody new
came for so long: a revision with traffic need not ask, and does so every two minutes only. (Two hundred instances that
asked always would use up the Admin API's reads of a whole project.)

An order is spread over its window. As time goes on fewer and fewer sockets may stay; those without a run under way are
closed first, each of the others as soon as its run is decided, and at the end of the window what is left. All get 1012,
and a reason that says when to come again. An order that is withdrawn is not gone on with.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from pipeline.telemetry.book import Book, OpenSocket, say
from pipeline.telemetry.order import Order
from pipeline.telemetry.order_reader import OrderReader

VARIABLE = "SPILLWAY_DRAIN_URL"
EVERY_S = 15.0
_BUSY_EVERY = 8  # so many times longer, while users still come
_LONGEST_S = 120.0  # between two readings of an address that cannot be read
_MOST_FAILURES = 20  # that are counted
_LEAST_WINDOW_S = 2.0  # for who read the order late
_SPREAD = 2 / 3  # of the window; the rest is for the last runs
_TICK_S = 0.1
_RETRY_S = (1, 5)


class Draining:
    """Args: every_s: from one reading to the next."""

    def __init__(self, book: Book, every_s: float = EVERY_S) -> None:
        self._book = book
        self._every_s = every_s
        self._url = book.environ.get(VARIABLE, "")
        self._revision = book.environ.get("K_REVISION", "")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._order: Order | None = None
        self._task: asyncio.Task[None] | None = None
        self._cut = 0

    def install(self) -> None:
        """Once for each event loop."""
        if not self._url or not self._revision:
            return
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        self._loop = loop
        threading.Thread(target=self._watch, args=(loop,), name="spillway drain order", daemon=True).start()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own, for as long as the loop is there."""
        reader, failures, asked = OrderReader(self._url, self._book.environ), 0, time.monotonic()
        while True:
            time.sleep(min(self._every_s * 2**failures, max(_LONGEST_S, self._every_s)))
            if loop.is_closed():
                return
            if not self._is_due(time.monotonic() - asked):
                continue
            asked = time.monotonic()
            try:
                order = reader.read()
            except Exception as error:  # noqa: BLE001 - whatever it is, the service goes on
                self._book.complain(error)
                failures = min(failures + 1, _MOST_FAILURES)
                continue
            failures = 0
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(self._book.guarded, self._take, order)

    def _is_due(self, since_s: float) -> bool:
        if not self._book.open:
            return False
        is_quiet = self._book.clock() - self._book.newest >= self._every_s
        return is_quiet or self._order is not None or since_s >= _BUSY_EVERY * self._every_s

    def _take(self, order: Order | None) -> None:
        """What was read; on the loop."""
        ours = order if order is not None and order.revision == self._revision else None
        if ours == self._order:
            return
        if ours is not None and not ours.is_fresh(datetime.fromtimestamp(self._book.clock(), UTC)):
            ours = None
        self._order = ours
        if self._task is not None:
            self._task.cancel()
            for stays in self._book.open:
                stays.when_idle = None
        self._task = None if ours is None else asyncio.get_running_loop().create_task(self._drain(ours))

    async def _drain(self, order: Order) -> None:
        now = asyncio.get_running_loop().time
        begun, count = now(), len(self._book.open)
        window_s = max(_LEAST_WINDOW_S, order.until.timestamp() - self._book.clock())
        say(f"asked to drain: {count} sockets within {window_s:.0f}s")
        try:
            while self._book.open and (passed := now() - begun) < window_s:
                self._let_stay(int(count * (1 - passed / (_SPREAD * window_s))))
                await asyncio.sleep(_TICK_S)
            for left in tuple(self._book.open):
                self._close(left)
            say(f"drained: {self._cut} sockets were closed in the middle of a run")
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the service
            self._book.complain(error)

    def _let_stay(self, most: int) -> None:
        """Of those that were not told to go yet, the idle ones go first."""
        staying = [each for each in self._book.open if each.when_idle is None]
        too_many = len(staying) - max(0, most)
        for each in sorted(staying, key=lambda socket: socket.is_busy)[: max(0, too_many)]:
            each.when_idle = partial(self._close, each)
            if not each.is_busy:
                self._close(each)

    def _close(self, socket: OpenSocket) -> None:
        self._cut += socket.is_busy
        hint = f"retry-after={random.randint(*_RETRY_S)}"  # not all at once
        self._book.spawn(socket.stop(hint))
