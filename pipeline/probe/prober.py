"""Who holds rounds for the engine. What they take, sockets and all, is imported by the first one: a look needs none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Protocol

from pipeline.probe.ask import ClockNow, ProbeAsk, TokenSource
from pipeline.probe.probe_report import ProbeReport

_HEARS_S = 0.2  # between two looks whether anybody still waits


class Round(Protocol):
    """One round, to be held once."""

    def hold(self) -> ProbeReport:
        """Wait for its end."""

    def abort(self) -> None:
        """From another thread: ``hold`` ends soon, however. Before it began, too."""


class BackgroundProber:
    """Holds rounds in a thread of its own; implements ``ports.Prober``.

    A round stays "busy" until ``poll`` has handed out its report, so that none is lost. Errors of a round (an address
    that may not be probed, a token that cannot be had) are raised by ``poll``.

    Args:
        begin: makes what holds one round.
        waits: ``start`` returns when the round has ended: for a process that takes one step, which is to see one.
        is_stopped: nobody waits any more.
        patience_s: how long ``close`` waits for a round that it aborted.
    """

    def __init__(
        self,
        begin: Callable[[ProbeAsk], Round],
        *,
        waits: bool = False,
        is_stopped: Callable[[], bool] = lambda: False,
        patience_s: float = 30.0,
    ) -> None:
        self._begin = begin
        self._waits = waits
        self._is_stopped = is_stopped
        self._patience_s = patience_s
        self._thread = Thread()
        self._held: Round | None = None
        self._round: Future[ProbeReport] | None = None

    def start(self, ask: ProbeAsk) -> None:
        """Begin one round."""
        assert self._round is None, "a round is under way"
        self._held = self._begin(ask)
        self._round = Future[ProbeReport]()
        self._thread = Thread(target=_hold, args=(self._round, self._held), name="probe", daemon=True)
        self._thread.start()
        while self._waits and not self._is_stopped() and not wait([self._round], timeout=_HEARS_S).done:
            pass

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
        if self._round is not None and self._held is not None:
            self._held.abort()
            self._thread.join(self._patience_s)
        self._round = None


def _hold(ended: Future[ProbeReport], held: Round) -> None:
    try:
        ended.set_result(held.hold())
    except BaseException as error:  # noqa: BLE001 - whoever asks for the round gets it
        ended.set_exception(error)


class ThreadedProber(BackgroundProber):
    """Holds them in this process."""

    def __init__(
        self,
        clock_now: ClockNow,
        token: TokenSource | None = None,
        *,
        waits: bool = False,
        is_stopped: Callable[[], bool] = lambda: False,
        patience_s: float = 30.0,
    ) -> None:
        super().__init__(
            partial(_Here, clock_now, token), waits=waits, is_stopped=is_stopped, patience_s=patience_s
        )


class _Here:
    """A round over sockets of this process."""

    def __init__(self, now: ClockNow, token: TokenSource | None, ask: ProbeAsk) -> None:
        from pipeline.probe.round import new_runner

        self._ask, self._now, self._token = ask, now, token
        self._runner = new_runner()
        self._loop = (
            self._runner.get_loop()
        )  # made here, so that abort() can reach it from the first moment on

    def hold(self) -> ProbeReport:
        from pipeline.probe.round import run_round

        return run_round(self._ask, self._now, self._token, self._runner)

    def abort(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: the round ended by itself
            self._loop.call_soon_threadsafe(_cancel_all, self._loop)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
