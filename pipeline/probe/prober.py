"""Who holds rounds for the engine. What they take, sockets and all, is imported by the first one: a look needs none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime

from pipeline.probe.idtoken import TokenSource
from pipeline.probe.scenario import ProbeAsk, ProbeReport

ClockNow = Callable[[], datetime]


class ThreadedProber:
    """Holds rounds in a thread of its own; implements ``ports.Prober``.

    A round stays "busy" until ``poll`` has handed out its report, so that none is lost. Errors of a round (a token
    that cannot be had) are raised by ``poll``.
    """

    def __init__(self, clock_now: ClockNow, token: TokenSource | None = None) -> None:
        self._now = clock_now
        self._token = token
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="probe")
        self._round: Future[ProbeReport] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, ask: ProbeAsk) -> None:
        """Begin one round. Raises: UserError for an ask that may not be held."""
        from pipeline.probe.ask import check_ask
        from pipeline.probe.round import new_runner, run_round

        assert self._round is None, "a round is under way"
        check_ask(ask)
        runner = new_runner()
        self._loop = runner.get_loop()  # made here, so that close() can reach it from the first moment on
        self._round = self._thread.submit(run_round, ask, self._now, self._token, runner)

    def poll(self) -> ProbeReport | None:
        if self._round is None or not self._round.done():
            return None
        ended, self._round = self._round, None
        return ended.result()

    @property
    def is_busy(self) -> bool:
        return self._round is not None

    def close(self) -> None:
        """Abort the round under way, if any, and end the thread. The prober is not used again."""
        if self._round is not None and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the round ended by itself
                self._loop.call_soon_threadsafe(_cancel_all, self._loop)
        self._thread.shutdown(wait=True)
        if self._round is not None:
            with suppress(asyncio.CancelledError):
                self._round.result()
        self._round = None


class InlineProber:
    """Holds each round within ``start``, so that a process that takes one step sees one; implements ``ports.Prober``."""

    def __init__(self, clock_now: ClockNow, token: TokenSource | None = None) -> None:
        self._now = clock_now
        self._token = token
        self._report: ProbeReport | None = None

    def start(self, ask: ProbeAsk) -> None:
        """Hold one round to its end. Raises: what ``run_round`` raises."""
        from pipeline.probe.round import run_round

        assert self._report is None, "a round was not taken"
        self._report = run_round(ask, self._now, self._token)

    def poll(self) -> ProbeReport | None:
        report, self._report = self._report, None
        return report

    @property
    def is_busy(self) -> bool:
        return self._report is not None

    def close(self) -> None:
        """Nothing is under way between two calls."""


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
