"""A terminal of a test's own, with a program on it."""

from __future__ import annotations

import os
import pty
import select
import termios
import time
from collections.abc import Mapping
from pathlib import Path


class Terminal:
    """A program in a session of its own on a terminal of its own, in the foreground."""

    def __init__(self, *command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        self.pid, self.master = pty.fork()
        if not self.pid:
            if cwd:
                os.chdir(cwd)
            os.execve(command[0], command, env or dict(os.environ))
        self.text = self.said = ""

    def expect(self, words: str) -> None:
        """Read until it was said; from then on only what comes later counts."""
        give_up = time.monotonic() + 60
        while words not in self.text:
            assert time.monotonic() < give_up, self.text[-3000:]
            if select.select([self.master], [], [], 1)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:  # its other end is closed
                    data = b""
                assert data, self.text[-3000:]
                self.text += data.decode("utf-8", "replace")
                self.said += data.decode("utf-8", "replace")
        self.text = self.text.partition(words)[2]

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)

    def close(self) -> int:
        """Its exit code."""
        while True:
            try:
                if not os.read(self.master, 65536):
                    break
            except OSError:
                break
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.master)
        return code
