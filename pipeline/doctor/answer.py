"""What was asked and what came of it, as values.  PURE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from msgspec import Struct, to_builtins


class Verdict(StrEnum):
    """``NOTE``: a rollout goes on, and something is worth knowing. ``UNASKED``: it could not be asked, or need not be."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"
    UNASKED = "not asked"


class Answer(Struct, frozen=True):
    """One line.

    Args:
        fix: the command or edit that mends it; empty where nothing is to be mended.
        is_access: it is about who we are and what we may.
    """

    name: str
    verdict: Verdict
    said: str
    fix: str = ""
    is_access: bool = False

    def to_json(self) -> dict[str, object]:
        made: dict[str, object] = to_builtins(self)
        return made


#: One question; it may have several answers. Raises SpillwayError where that is the answer.
Check = Callable[[], Sequence[Answer]]


def ok(name: str, said: str, *, is_access: bool = False) -> Answer:
    return Answer(name, Verdict.OK, said, is_access=is_access)


def note(name: str, said: str, fix: str = "") -> Answer:
    return Answer(name, Verdict.NOTE, said, fix)


def wrong(name: str, said: str, fix: str, *, is_access: bool = False) -> Answer:
    return Answer(name, Verdict.WRONG, said, fix, is_access)


def unasked(name: str, said: str) -> Answer:
    return Answer(name, Verdict.UNASKED, said)
