"""Who holds rounds for the engine. What they take, sockets and all, is imported by the first one: a look needs none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from threading import Thread

from pipeline.probe.scenario import ClockNow, ProbeAsk, ProbeReport, TokenSource


class ThreadedProber:
    """Holds rounds in a thread of its own; implements ``ports.Prober``.

    A round stays "busy" until ``poll`` has handed out its report, so that none is lost. Errors of a round (an address
    that may not be probed, a token that cannot be had) are raised by ``poll``.

    Args:
        waits: ``start`` returns when the round has ended: for a process that takes one step, which is to see one.
        patience_s: how long ``close`` waits for a round that it aborted.
    """

    def __init__(
        self,
        clock_now: ClockNow,
        token: TokenSource | None = None,
        *,
        waits: bool = False,
        patience_s: float = 10.0,
    ) -> None:
        self._now = clock_now
        self._token = token
        self._waits = waits
        self._patience_s = patience_s
        self._thread = Thread()
        self._round: Future[ProbeReport] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, ask: ProbeAsk) -> None:
        """Begin one round."""
        from pipeline.probe.round import new_runner, run_round

        assert self._round is None, "a round is under way"
        runner = new_runner()
        self._loop = runner.get_loop()  # made here, so that close() can reach it from the first moment on
        held = self._round = Future[ProbeReport]()
        hold = partial(run_round, ask, self._now, self._token, runner)
        self._thread = Thread(target=_hold, args=(held, hold), name="probe", daemon=True)
        self._thread.start()
        if self._waits:
            wait([self._round])

    def poll(self) -> ProbeReport | None:
        if self._round is None or not self._round.done():
            return None
        ended, self._round = self._round, None
        return ended.result()

    @property
    def is_busy(self) -> bool:
        return self._round is not None

    def close(self) -> None:
        """Abort the round under way, if any, and end its thread. The prober is not used again.

        A class of the user's may hold the thread for ever: it is left behind then, and ends with the process.
        """
        if self._round is not None and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the round ended by itself
                self._loop.call_soon_threadsafe(_cancel_all, self._loop)
        if self._round is not None:
            self._thread.join(self._patience_s)
        self._round = None


def _hold(held: Future[ProbeReport], hold: Callable[[], ProbeReport]) -> None:
    try:
        held.set_result(hold())
    except BaseException as error:  # noqa: BLE001 - whoever asks for the round gets it
        held.set_exception(error)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
