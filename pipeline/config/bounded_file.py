"""A file that a user named, as text: never a hang on a device or a fifo, never more memory than a configuration needs."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pipeline.errors import ConfigError

MAX_BYTES = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def read(path: Path) -> str:
    """The file's text, without a byte order mark. Raises ConfigError, with the place of what is not text."""
    return _decoded(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file (or what a link leads to) of at most ``MAX_BYTES``. Raises ConfigError."""
    try:
        _check_kind(path, os.stat(path).st_mode)  # noqa: PTH116 - opening alone can set a device going
        handle = os.open(path, _FLAGS)
        with open(handle, "rb", buffering=0) as file:  # noqa: PTH123 - a handle, not a path
            _check_kind(path, os.fstat(handle).st_mode)
            data = _read_most(file.fileno())
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: not there",
            "No command that needs a configuration can go on without it.",
            "Write one: spillway init; or name one with -c FILE, or stand in its folder: -C FOLDER",
        ) from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"{path}: cannot be read", f"{why}.") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"{path}:1:1: too large", f"It has more than {MAX_BYTES:,} bytes, which is the most that is read."
        )
    return data


def _check_kind(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no file")
        raise ConfigError(f"{path}: {kind}, not a file", fix="Name a regular file: -c FILE")


def _read_most(handle: int) -> bytes:
    data = bytearray()
    while len(data) <= MAX_BYTES and (piece := os.read(handle, MAX_BYTES + 1 - len(data))):
        data += piece
    return bytes(data)


def _decoded(path: Path, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{path}:1:1: UTF-16", fix="Save it as UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte 0x{data[error.start]:02x} is not UTF-8"
        raise ConfigError(f"{path}:{_place(data, error.start)}: {found}", fix="Save it as UTF-8.") from error
    if (at := data.find(b"\0")) >= 0:
        raise ConfigError(
            f"{path}:{_place(data, at)}: a NUL byte", "It is not a text file, or was cut short by a crash."
        )
    return text


def _place(data: bytes, at: int) -> str:
    before = data[:at]
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace"))
    return f"{before.count(10) + 1}:{column + 1}"
