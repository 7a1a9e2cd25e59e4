"""Signals that ask a command to end, and how soon it does."""

from __future__ import annotations

import signal
from typing import Any, NoReturn

from pipeline.app.session import Session
from pipeline.output import streams

INTERRUPTED = 130
TERMINATED = 143
_GRACE_S = 2.0  # for what is under way: a call that hangs, a round of probes, a program that is applied


class Interrupts:
    """The first Ctrl-C or SIGTERM asks to stop after the write in flight; a second one stops at once.

    A command that leaves nothing behind is not waited for: two seconds after the first signal it is stopped wherever it
    is. The service keeps the state, as it does of a process that is killed. A terminal that goes away (SIGHUP) is as
    SIGTERM, unless somebody wished it ignored (nohup).
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._handle)

    def __exit__(self, *_: object) -> None:
        if signal.SIGALRM in self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: object) -> None:
        session = self._session
        streams.hurry()
        if session.stopped.is_set():
            raise KeyboardInterrupt
        session.signal = INTERRUPTED if number == signal.SIGINT else TERMINATED
        session.stopped.set()
        if session.leaves_at_once:
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._end)
            signal.setitimer(signal.ITIMER_REAL, _GRACE_S, _GRACE_S)
        session.output.say("stopping after this step; the service keeps the state (once more: stop at once)")

    def _end(self, _number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt
