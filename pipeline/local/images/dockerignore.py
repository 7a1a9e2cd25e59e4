"""The patterns of a ``.dockerignore``.  PURE.

A pattern names a path below the folder and all that is under it; ``*`` and ``?`` stay within one part of a path, ``**``
stands for any number of parts, none included, ``!`` brings back, and the last line that says something wins.
Source: moby/patternmatcher, whose translation to a regular expression this follows.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


class BadPattern(ValueError):
    """A line that is no pattern; the text says which and why."""


@dataclass(frozen=True, slots=True)
class _Pattern:
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
    out, rest = "", text
    while rest:
        head, rest = rest[0], rest[1:]
        if head == "*" and rest.startswith("*"):
            rest = rest[1:].removeprefix("/")
            out += "(?:.*/)?" if rest else ".*"
        elif head == "*":
            out += "[^/]*"
        elif head == "?":
            out += "[^/]"
        elif head == "[":
            inside, rest = _class(rest)
            out += inside
        elif head == "\\":
            if not rest:
                raise ValueError("it ends with a backslash")
            out, rest = out + re.escape(rest[0]), rest[1:]
        else:
            out += re.escape(head)
    return out


def _class(rest: str) -> tuple[str, str]:
    """A ``[...]`` as an expression, and what follows it."""
    found = re.match(r"(\^?)((?:\\.|[^\]\\])+)\]", rest, re.DOTALL)
    if found is None:
        raise ValueError("a '[' is not closed")
    negation, inside = found.groups()
    return f"[{negation}{inside.replace('[', chr(92) + '[')}]", rest[found.end() :]


def _may_be_below(text: str, folder: str) -> bool:
    """Whether a pattern can match something under a folder: part by part, until a part may be anything."""
    for part, name in zip(text.split("/"), folder.split("/"), strict=False):
        if "**" in part:
            return True
        if not re.fullmatch(_expression(part), name):
            return False
    return True
