"""Output cut into lines, as it comes in pieces of any size.  PURE."""

from __future__ import annotations

from collections.abc import Iterator


class LineCutter:
    """One stream. A line longer than ``limit`` bytes is cut off there and its rest is dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rest = b""
        self._is_cut = False  # the beginning of this line was handed out already

    def feed(self, piece: bytes) -> Iterator[str]:
        """The lines that end in this piece, without their ends; and the beginning of one that is too long."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        for line in whole:
            if not self._is_cut:
                yield self._text(line)
            self._is_cut = False
        if len(self._rest) > self._limit and not self._is_cut:
            yield self._text(self._rest)
            self._is_cut = True
        if self._is_cut:
            self._rest = b""

    def end(self) -> Iterator[str]:
        """What stands after the last line's end."""
        if self._rest:
            yield self._text(self._rest)
        self._rest = b""

    def _text(self, line: bytes) -> str:
        return line[: self._limit].decode("utf-8", "replace").removesuffix("\r")
