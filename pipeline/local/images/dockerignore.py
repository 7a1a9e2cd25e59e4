"""The patterns of a ``.dockerignore``.  PURE.

A pattern names a path below the folder and all that is under it; ``*`` and ``?`` stay within one part of a path, ``**``
stands for any number of parts, none included, ``!`` brings back, and the last line that says something wins.
Source: moby/patternmatcher, whose translation to a regular expression this follows.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

_PARTS = re.compile(
    r"""(?P<any_parts>\*\*/?)
      | (?P<within>[*?])
      | \[(?P<negated>\^?)(?P<letters>(?:\\.|[^\]\\])+)\]
      | \\(?P<escaped>.)
      | .""",
    re.VERBOSE | re.DOTALL,
)
_BROKEN = {"[": "a '[' is not closed", "\\": "it ends with a backslash"}


class BadPattern(ValueError):
    """A line that is no pattern; the text says which and why."""


class _Pattern(Struct, frozen=True):
    text: str
    brings_back: bool
    matches: re.Pattern[str]


class Ignored:
    """Which paths (relative, ``/`` between parts) are left out."""

    def __init__(self, lines: Iterable[str], before: Iterable[str] = ()) -> None:
        """Args: before: patterns that the lines may take back. Raises BadPattern."""
        self._patterns = [*_patterns(before), *_patterns(lines)]

    def __contains__(self, path: str) -> bool:
        left_out = False
        for pattern in self._patterns:
            if pattern.brings_back == left_out and pattern.matches.fullmatch(path):
                left_out = not pattern.brings_back
        return left_out

    def hides(self, folder: str) -> bool:
        """Whether nothing below a folder that is left out can come back, so that nobody need look."""
        return folder in self and not any(
            p.brings_back and _may_be_below(p.text, folder) for p in self._patterns
        )

    def brought_back(self) -> Iterator[str]:
        """Paths below the folder that are brought back by their full name."""
        return (
            p.text for p in self._patterns if p.brings_back and not re.search(r"[*?\[\\]|^\.\.?(/|$)", p.text)
        )


def _patterns(lines: Iterable[str]) -> Iterator[_Pattern]:
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if line.startswith("#") or not text:
            continue
        brings_back = text.startswith("!")
        text = text.removeprefix("!").strip()
        if not text:
            raise BadPattern(f"line {number}: '!' brings nothing back")
        text = posixpath.normpath(text).lstrip("/") or "."
        try:
            yield _Pattern(text, brings_back, re.compile(_expression(text) + "(?:/.*)?", re.DOTALL))
        except (ValueError, re.error) as error:
            raise BadPattern(f"line {number}: {text}: {error}") from error


def _expression(text: str) -> str:
    """Raises ValueError."""

    def translated(part: re.Match[str]) -> str:
        match part.lastgroup:
            case "any_parts":
                return ".*" if part.end() == len(text) else "(?:.*/)?"
            case "within":
                return "[^/]*" if part[0] == "*" else "[^/]"
            case "letters":
                return f"[{part['negated']}{part['letters'].replace('[', chr(92) + '[')}]"
            case "escaped":
                return re.escape(part["escaped"])
        if part[0] in _BROKEN:
            raise ValueError(_BROKEN[part[0]])
        return re.escape(part[0])

    return _PARTS.sub(translated, text)


def _may_be_below(text: str, folder: str) -> bool:
    """Whether a pattern can match something under a folder: part by part, until a part may be anything."""
    for part, name in zip(text.split("/"), folder.split("/"), strict=False):
        if "**" in part:
            return True
        if not re.fullmatch(_expression(part), name):
            return False
    return True
