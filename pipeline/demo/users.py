"""The crowd of users, from outside: starts its process, asks it what it felt, lets it go."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType

from pipeline.demo.felt import Felt
from pipeline.errors import SpillwayError

_LAST_ONES_S = 20.0


class Users:
    """A crowd in a process of its own, from ``with`` to the end of its block.

    Args:
        url: the service's main address.
        rate: conversations begun each second.
    """

    def __init__(self, url: str, rate: float = 100.0) -> None:
        command = [sys.executable, "-m", "pipeline.demo.crowd", url, "--rate", str(rate)]
        # Not in our process group: a Ctrl-C at the terminal is ours to handle, and they leave when stdin ends.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    def __enter__(self) -> Users:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nobody new comes; those who are there finish."""
        try:
            self._process.communicate(timeout=_LAST_ONES_S)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._process.kill()
            self._process.wait()

    def felt(self) -> Felt:
        """What they felt so far. Raises SpillwayError when they are gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise SpillwayError(f"the crowd of users ended early, with exit code {self._process.wait()}")
        return Felt.from_json(line)
