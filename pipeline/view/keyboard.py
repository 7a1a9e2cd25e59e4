"""Single keys from the terminal on stdin, while a rollout is drawn.

The terminal hands keys over one by one and echoes none; Ctrl-C and Ctrl-Z stay signals. It is given back as it was at
every end and before every stop (SIGTSTP), and is touched only while this process has it: in the background the
terminal is the shell's, and reading from it would stop a rollout for nothing.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_LOOKS_EVERY_S = 0.1


def has_keyboard() -> bool:
    """Whether a person may be at the keys: stdin is a terminal."""
    try:
        return os.isatty(0) and sys.stdin is not None
    except OSError:
        return False


class Keyboard:
    """Calls ``press`` for each key, on a thread of its own. A context: its end gives the terminal back.

    Args:
        stopping, going_on: told right before the process is stopped, and when it goes on: what is drawn needs to know.
    """

    def __init__(
        self,
        press: Callable[[str], None],
        *,
        descriptor: int = 0,
        stopping: Callable[[], None] = lambda: None,
        going_on: Callable[[], None] = lambda: None,
    ) -> None:
        self._press = press
        self._descriptor = descriptor
        self._stopping, self._going_on = stopping, going_on
        self._before: list[Any] | None = None  # how the terminal was, while it is ours
        self._lock = threading.RLock()  # a signal handler may come in the middle
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._read, name="keys", daemon=True)
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Keyboard:
        with suppress(ValueError):  # only the main thread may
            self._handlers[signal.SIGTTIN] = signal.signal(signal.SIGTTIN, signal.SIG_IGN)
            self._handlers[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._stop)
        self._take()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._give_back()
        self._thread.join(timeout=2)
        self._give_back()  # it may have taken the terminal in that moment
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _has_terminal(self) -> bool:
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            return False

    def _take(self) -> None:
        with self._lock, suppress(termios.error, OSError):
            if self._before is None and not self._done.is_set() and self._has_terminal():
                self._before = termios.tcgetattr(self._descriptor)
                tty.setcbreak(self._descriptor, termios.TCSANOW)

    def _give_back(self) -> None:
        with self._lock, suppress(termios.error, OSError):
            before, self._before = self._before, None
            if before is not None and self._has_terminal():
                termios.tcsetattr(self._descriptor, termios.TCSANOW, before)

    def _stop(self, number: int, _frame: object) -> None:
        """Ctrl-Z: the shell gets the terminal as it was; brought to the front again it is ours again."""
        self._stopping()
        self._give_back()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, self._stop)  # here it goes on
        self._take()
        self._going_on()

    def _read(self) -> None:
        while not self._done.is_set():
            try:
                self._take()  # a job that was brought to the front
                if self._before is None or not self._has_terminal():
                    self._before = None
                    self._done.wait(_LOOKS_EVERY_S)
                elif select.select([self._descriptor], [], [], _LOOKS_EVERY_S)[0]:
                    self._hear(os.read(self._descriptor, 64))
            except OSError:
                self._done.wait(_LOOKS_EVERY_S)

    def _hear(self, data: bytes) -> None:
        if not data:  # the terminal is gone
            self._done.wait(_LOOKS_EVERY_S)
        if data.startswith(b"\x1b"):  # an arrow or a function key is no letter
            return
        for key in data.decode("ascii", "ignore"):
            self._press(key)
