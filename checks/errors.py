"""The one error of the checks: the question itself is wrong (a path, a base, a setting)."""

from __future__ import annotations


class CheckError(Exception):
    """The question to the checks is wrong; the text says what, why, and what to do next.

    Code under check never raises this: what is wrong with it is a finding, what cannot be read is skipped.
    """

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.why, self.fix) if line)
