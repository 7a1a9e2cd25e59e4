"""Ten things that may be broken in the night a roll-back is needed, each in several ways; all are done to real things.

A way of the first five is a function that a forked process does to itself before the command begins; the others are done
around it by ``breakages.py``.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

_NEW_USER_NAMESPACE = 0x10000000
_NOBODY = 54_321  # no user database has it

Break = Callable[[], None]


def output_full() -> None:
    _lead(os.open("/dev/full", os.O_WRONLY))


def output_closed() -> None:
    os.close(1)
    os.close(2)


def reader_gone() -> None:
    read_end, write_end = os.pipe()
    _lead(write_end)
    os.close(read_end)


def _lead(to: int) -> None:
    os.dup2(to, 1)
    os.dup2(to, 2)
    os.close(to)


def disk_full() -> None:
    """No file of this process takes a byte any more."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def state_is_a_file() -> None:
    with suppress(OSError):
        Path(".spillway").rename(".spillway-kept")
    Path(".spillway").touch()


def folder_deleted() -> None:
    gone = Path("gone").absolute()
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()


def no_home() -> None:
    for name in ("HOME", "USER", "LOGNAME", "USERNAME"):
        os.environ.pop(name, None)


def wrong_home() -> None:
    os.environ.update(
        HOME="/nowhere", TMPDIR="/nowhere", XDG_CACHE_HOME="/nowhere", XDG_CONFIG_HOME="/dev/null"
    )


def no_passwd_entry() -> None:
    """A uid that nobody knows, by a user name space; where there may be none, a user database that knows nobody."""
    uid = os.getuid()
    if ctypes.CDLL(None).unshare(_NEW_USER_NAMESPACE) == 0:
        Path("/proc/self/uid_map").write_text(f"{_NOBODY} {uid} 1")
        return

    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    pwd.getpwuid = unknown


#: Name -> its ways. A set of breakages takes one of each, in turn.
OF_THE_PROCESS: Mapping[str, tuple[Break, ...]] = {
    "passwd": (no_passwd_entry,),
    "disk": (disk_full, state_is_a_file),
    "cwd": (folder_deleted,),
    "home": (no_home, wrong_home),
    "output": (output_full, output_closed, reader_gone),
}
CONFIGS = ("service: [", "\x00\xff", "a: &a [*a]\n", "service: chat\nhartbeat: 1\n", "")
RECORDS = ("{", '{"v": 999}', '{"v": 1, "epoch": NaN}', "[" * 5000, '"' + "x" * 100_000 + '"')
AROUND = ("other driver", "config", "record", "logs", "probe host")  # a driver must begin while it still can
ALL = (*OF_THE_PROCESS, *AROUND)
