"""A file that somebody named, as bytes: never a hang on a device or a fifo, never more memory than was asked for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


class NotAFile(ValueError):
    """What is there is something else: "a pipe, not a file"."""


def read(path: Path, most: int) -> bytes:
    """The bytes of a regular file (or what a link leads to); of one that has more than ``most``, one more than that.

    Raises: OSError; NotAFile; ValueError for what is no path.
    """
    _check_kind(os.stat(path).st_mode)  # noqa: PTH116 - opening alone can set a device going
    handle = os.open(path, _FLAGS)
    with open(handle, "rb", buffering=0) as file:  # noqa: PTH123 - a handle, not a path
        _check_kind(os.fstat(handle).st_mode)
        return _read_most(file.fileno(), most + 1)


def _check_kind(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no file")
        raise NotAFile(f"{kind}, not a file")


def _read_most(handle: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (piece := os.read(handle, size - len(data))):
        data += piece
    return bytes(data)
