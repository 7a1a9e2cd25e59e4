"""A team's own validations of a candidate: commands of its own that must end well before a stage passes.  PURE.

Each belongs to the stages that it names and runs once in each, when the stage's traffic has arrived. What it came to is
bound to that entry into the stage (``split_epoch``), as all evidence is: a stage that is entered anew asks anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pipeline.judging.terms import Verification
from pipeline.probe.command import SAID_CHARS, CommandEnd


class Verified(Struct, frozen=True):
    """What one run of a command came to.

    Args:
        exit_code: never negative; None when the time was over and it was ended.
        said: the last of what it wrote.
    """

    name: str
    split_epoch: int
    exit_code: int | None = None
    seconds: float = 0.0
    said: str = ""

    @property
    def is_ok(self) -> bool:
        return self.exit_code == 0

    @property
    def words(self) -> str:
        """How it went, in one line."""
        if self.is_ok:
            return f"{self.name} passed in {self.seconds:.0f}s"
        how = "was ended after its time" if self.exit_code is None else f"ended with {self.exit_code}"
        said = self.said.splitlines()[-1:]
        return ": ".join([f"{self.name} {how}, {self.seconds:.0f}s", *said])


def asked_at(verifications: Sequence[Verification], percent: int) -> tuple[Verification, ...]:
    """Those that a stage with this share asks for."""
    return tuple(each for each in verifications if percent in each.percents)


def of_split(verified: Sequence[Verified], split_epoch: int) -> tuple[Verified, ...]:
    """Those of this entry into the stage."""
    return tuple(each for each in verified if each.split_epoch == split_epoch)


def missing(asked: Sequence[Verification], verified: Sequence[Verified]) -> tuple[Verification, ...]:
    """Those that have not ended yet, in their order."""
    ended = {each.name for each in verified}
    return tuple(each for each in asked if each.name not in ended)


def failed(verified: Sequence[Verified]) -> str:
    """The first that ended badly, in words; empty when none did."""
    return next((each.words for each in verified if not each.is_ok), "")


def result_of(command: str, split_epoch: int, end: CommandEnd) -> Verified:
    """What the record keeps of a command that ended."""
    return Verified(command, split_epoch, end.exit_code, round(end.seconds, 1), end.said[-SAID_CHARS:])
