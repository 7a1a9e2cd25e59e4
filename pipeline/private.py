"""Files and folders for their owner alone: tokens, records, transcripts and reports are nobody else's to read.

Folders are made 0700 and files 0600, whatever the umask. What an earlier version made wider is narrowed when it is next
written to; a folder of somebody else's choice, outside ``.spillway``, keeps the mode that it has.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO

_OURS = ".spillway"
_FOLDER, _FILE = 0o700, 0o600


def make_folder(folder: Path) -> None:
    """Make it, with what is missing above it. Raises OSError."""
    ways = (folder, *folder.parents)
    for missing in reversed([each for each in ways if not os.path.exists(each)]):
        missing.mkdir(mode=_FOLDER, exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    for each in ways:
        if _OURS in each.parts:
            _narrow(each, _FOLDER)


def write(path: Path, content: str | bytes) -> None:
    """Put this file in the place of what is there, whole or not at all. Raises OSError."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        with open(draft, "xb", opener=_opened) as file:
            file.write(data)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def open_append(path: Path, mode: str = "ab") -> IO[bytes]:
    """The file, open without a buffer: each write goes to its end. Raises OSError."""
    file: IO[bytes] = open(path, mode, buffering=0, opener=_opened)  # noqa: SIM115 - the caller closes it
    _narrow(path, _FILE)
    return file


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags, _FILE)


def _narrow(path: Path, mode: int) -> None:
    """Take the others' rights away; not of what a link leads to, and not where we may not."""
    with suppress(OSError):
        found = path.lstat().st_mode
        if found & 0o077 and (stat.S_ISREG(found) or stat.S_ISDIR(found)):
            path.chmod(mode)
