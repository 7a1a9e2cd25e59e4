"""Python as text without what is in strings and comments: what brackets, words and line ends are then told by their signs."""

from __future__ import annotations

import keyword
import re
import string

#: a comment, or a string, with three quotes or one; without alternatives for single characters, which are slow
TEXT = re.compile(
    rb"""(#[^\n]*"""
    rb"""|\"\"\"[^"\\]*(?:(?:\\.|"{1,2}(?!"))[^"\\]*)*\"\"\"|'''[^'\\]*(?:(?:\\.|'{1,2}(?!'))[^'\\]*)*'''"""
    rb"""|"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\\\n]*(?:\\.[^'\\\n]*)*')""",
    re.DOTALL,
)
#: for a backslash with the line end behind it, in text without strings: brackets hold together what goes on there
GOING_ON = b"{\n}"
HASH = ord("#")
_NO_BRACKETS = bytes(each for each in range(256) if each not in b"()[]{}")
KEYWORDS = frozenset(word.encode() for word in keyword.kwlist)
_WORD_BYTES = f"_{string.ascii_letters}{string.digits}".encode()


def blanking(but: bytes = b"") -> bytes:
    """For ``bytes.translate``: makes blanks of all that is in no word, except for these signs."""
    return bytes(each if each in _WORD_BYTES + but else 32 for each in range(256))


def without_strings(data: bytes, *, keeps_lines: bool = True) -> bytes:
    """The same, with empty strings and no comments.

    Args:
        keeps_lines: brackets stand for a string of several lines, and hold them together.
    """
    pieces = TEXT.split(data)  # every second one is a string or a comment
    if not keeps_lines:
        pieces[1::2] = [b"" if text[0] == HASH else b"''" for text in pieces[1::2]]
        return b"".join(pieces)
    # What ends in two quotes may have three of them, and so several lines.
    pieces[1::2] = [
        _without(text) if text[0] == HASH or text[-1] == text[-2] else b"''" for text in pieces[1::2]
    ]
    return b"".join(pieces)


def _without(text: bytes) -> bytes:
    if text[0] == HASH:
        return b""
    lines = text.count(b"\n")
    return b"(" + b"\n" * lines + b")" if lines else b"''"


def opening(text: bytes) -> int:
    """How many more brackets are opened than closed."""
    brackets = text.translate(None, _NO_BRACKETS)
    return len(brackets) - 2 * len(brackets.translate(None, b"([{")) if brackets else 0
