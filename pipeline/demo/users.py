"""The crowd of users, from outside: starts its process, asks it what it felt, lets it go."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter

from msgspec import Struct, field

from pipeline.errors import SpillwayError

_LAST_ONES_S = 20.0


class Felt(Struct):
    """Counts since the crowd came, by the users themselves: the demo's ground truth.

    Args:
        failures: what went wrong ("closed 1011", "no answer") to how often.
        by_revision: conversations by the revision that took them ("?" for those that nobody took).
        first_failed_at: revision to the moment of its first bad conversation, seconds since the epoch.
    """

    conversations: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    by_revision: Counter[str] = field(default_factory=Counter)
    first_failed_at: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    def count(self, revision: str, failure: str) -> None:
        """One more conversation. ``failure``: empty for a whole one."""
        self.conversations += 1
        self.by_revision[revision] += 1
        if failure:
            self.failures[failure] += 1
            self.first_failed_at.setdefault(revision, time.time())

    def since(self, earlier: Felt) -> Felt:
        """What was felt after an earlier count."""
        return Felt(
            self.conversations - earlier.conversations,
            Counter(self.failures) - Counter(earlier.failures),
            Counter(self.by_revision) - Counter(earlier.by_revision),
            {r: at for r, at in self.first_failed_at.items() if r not in earlier.first_failed_at},
        )


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

    def __exit__(self, *_: object) -> None:
        """Nobody new comes; those who are there finish."""
        try:
            self._process.communicate(timeout=_LAST_ONES_S)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self._process.kill()
            self._process.wait()

    def felt(self) -> Felt:
        """What they felt so far. Raises SpillwayError when they are gone."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise SpillwayError(f"the crowd of users ended early, with exit code {self._process.wait()}")
        return Felt(**json.loads(line))
