"""Signals that ask a command to end, and how soon it does."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.app.session import Session
from pipeline.errors import INTERRUPTED, TERMINATED
from pipeline.output import streams

_GRACE_S = 2.0  # for what is under way: a call that hangs, a round of probes, a program that is applied


@contextmanager
def interrupts(session: Session) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks to stop after the write in flight; a second one stops at once.

    A command that only reads ends with the first. One that leaves nothing behind is not waited for: two seconds after the first signal it is stopped wherever it is.
    The service keeps the state, as it does of a process that is killed. A terminal that goes away (SIGHUP) is as
    SIGTERM, unless somebody wished it ignored (nohup).
    """
    before: dict[int, Any] = {}

    def handle(number: int, _frame: object) -> None:
        streams.hurry()
        if session.stopped.is_set():
            raise KeyboardInterrupt
        session.signal = INTERRUPTED if number == signal.SIGINT else TERMINATED
        session.stopped.set()
        session.woken.set()
        if session.ends_now:
            raise KeyboardInterrupt
        before[signal.SIGALRM] = signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, _GRACE_S, _GRACE_S)
        session.output.say("stopping after this step; the service keeps the state (once more: stop at once)")

    def end(_number: int, _frame: object) -> None:
        """Asked again and again: a command may say only after the signal that it leaves nothing behind."""
        if session.leaves_at_once or session.ends_now:
            raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        if signal.SIGALRM in before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for caught, handler in before.items():
            signal.signal(caught, handler)
