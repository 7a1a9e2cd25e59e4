"""The copy of the log on disk, for the next server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from pipeline import private
from pipeline.local.entries.entry import Entry

MAX_FILE = 16 * 1024 * 1024  # bytes; two of these are kept, and read at a restart
_DROPPED = "dropped_until_ns"  # the first line of a file: what had arrived by then is in neither file


class LogFile:
    """Two files, the older of which is dropped when the newer is full.

    Args:
        dropped_until: when the last entry arrived of those that were dropped, in ns; 0 if none was.
    """

    def __init__(self, folder: Path) -> None:
        self._file, self._older = folder / "logs.jsonl", folder / "logs.older.jsonl"
        self.dropped_until = 0
        self._older_until = self._until = 0  # arrival of the last entry in the older file, and in any
        self._out: IO[bytes] | None = None

    def entries(self) -> Iterator[tuple[Entry, int]]:
        """What was kept, with its size, in order of arrival; reads ``dropped_until`` as well."""
        for file in (self._older, self._file):
            self._older_until = self._until
            for line in file.read_bytes().splitlines() if file.exists() else ():
                with suppress(ValueError, TypeError):  # cut off by a kill
                    fields = json.loads(line)
                    self.dropped_until = max(self.dropped_until, int(fields.pop(_DROPPED, 0)))
                    entry = Entry(**fields)
                    self._until = max(self._until, entry.received_ns)
                    yield entry, len(line)

    def write(self, line: bytes, received_ns: int) -> None:
        with suppress(OSError):  # a full disk costs the copy, not the service
            out = self._opened()
            # the line end comes first: what a kill cut off must not take the next entry with it
            out.write(b"\n" + line)
            self._until = max(self._until, received_ns)
            if out.tell() > MAX_FILE:
                self.close()
                self._rotate()

    def close(self) -> None:
        if self._out:
            self._out.close()
            self._out = None

    def _opened(self) -> IO[bytes]:
        self._out = self._out or private.open_append(self._file)
        return self._out

    def _rotate(self) -> None:
        self._file.replace(self._older)
        self.dropped_until, self._older_until = max(self.dropped_until, self._older_until), self._until
        if self.dropped_until:
            self._opened().write(msgspec.json.encode({_DROPPED: self.dropped_until}))
