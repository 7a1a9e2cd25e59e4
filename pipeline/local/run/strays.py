"""Processes that were started for an instance, wherever they went since: found by a token in their environment.

A process group holds who stays in it, and the supervisor of an instance (``child.py``) ends who left it. This is for
when the supervisor itself was killed, and for the instances of a server that was. Each instance has a token of its own
that begins with its state folder's, and what it starts inherits it. Never by number alone: a process is held by a file
descriptor while its token is read, so that a number that was given to somebody else is nobody's end.

Linux alone has ``/proc/PID/environ`` and pidfds; elsewhere nothing is found here.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

VARIABLE = "SPILLWAY_INSTANCE"
_PROC = Path("/proc")
_PATIENCE_S = 2.0
_POLL_S = 0.02


def folder_token(folder: Path) -> str:
    """What the tokens of all instances of a state folder begin with."""
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:24] + "."


def fresh_token(folder: Path) -> str:
    """A token for one more instance."""
    return folder_token(folder) + secrets.token_hex(12)


def end(token: str) -> int:
    """SIGKILL to every process whose token begins so, until there is none. Returns how many processes there were."""
    seen: set[int] = set()
    give_up = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up and (found := set(_kill_all(token))):
        seen |= found
        time.sleep(_POLL_S)  # one may have forked just before: look again
    return len(seen)


def pids(token: str) -> Iterator[int]:
    """The processes whose token begins so."""
    wanted = f"{VARIABLE}={token}".encode()
    numbers = (
        [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()] if _PROC.is_dir() else []
    )
    yield from (pid for pid in numbers if pid != os.getpid() and _has(pid, wanted))


def _kill_all(token: str) -> Iterator[int]:
    wanted = f"{VARIABLE}={token}".encode()
    for pid in list(pids(token)):
        with suppress(ProcessLookupError, PermissionError), os.fdopen(os.pidfd_open(pid), "rb") as process:
            if _has(pid, wanted):
                signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)
                yield pid


def _has(pid: int, wanted: bytes) -> bool:
    """Whether it was started with the variable; one that ended and is not buried has none."""
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return any(entry.startswith(wanted) for entry in environment.split(b"\0"))
