"""Locks of files that processes hold as long as they live, and waiting for what another process does."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from typing import IO, TypeVar

_POLL_S = 0.02
T = TypeVar("T")


def take(file: IO[bytes] | int, how: int = fcntl.LOCK_EX) -> bool:
    """Take the lock if it can be had at once, until the file is closed; whether it could."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait(look: Callable[[], T], timeout_s: float) -> T:
    """What is seen: as soon as it is true, or when time is up."""
    give_up = time.monotonic() + timeout_s
    while not (seen := look()) and time.monotonic() < give_up:
        time.sleep(_POLL_S)
    return seen
