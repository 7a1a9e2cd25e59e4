"""What one round of conversations came to: how many failed with the candidate, and beside it with stable.  PURE."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from pipeline.probe.conversation import NOBODYS, Conversation, Kind

_NOT_WRONG = frozenset({Kind.OK, Kind.UNREACHABLE, Kind.TIMED_OUT, *NOBODYS})


def _bad(conversations: Sequence[Conversation]) -> int:
    return sum(c.is_bad for c in conversations)


class Confirming(Struct, frozen=True):
    """As many conversations with the candidate as with stable, at the same moments, after one failed.

    Args:
        control: empty where there is no stable to ask.
    """

    candidate: tuple[Conversation, ...]
    control: tuple[Conversation, ...] = ()

    @property
    def bad(self) -> tuple[int, int]:
        """How many failed with the candidate, and with stable."""
        return _bad(self.candidate), _bad(self.control)

    @property
    def is_worse(self) -> bool:
        """The candidate failed more often."""
        candidate, control = self.bad
        return candidate > control

    @property
    def is_common(self) -> bool:
        """Both fail, stable at least every other time: our network, or an incident that both share."""
        candidate, control = self.bad
        return candidate > 0 and 2 * control >= len(self.control) > 0

    @property
    def words(self) -> str:
        """``5 of 5 against 0 of 5``."""
        candidate, control = self.bad
        beside = f" against {control} of {len(self.control)}" if self.control else ""
        return f"{candidate} of {len(self.candidate)}{beside}"


class ProbeReport(Struct, frozen=True):
    """One finished round (``course.py`` says how it goes).

    Args:
        control: with stable, one conversation of each scenario; empty where it was not asked.
        warm_up: with the candidate, after a cold start; they count neither way.
        confirming: what was held after a failure, in order.
        obstacle: why no conversation is known of at all; empty where some are.
    """

    started: datetime
    seconds: float
    candidate: tuple[Conversation, ...]
    control: tuple[Conversation, ...] = ()
    control_wanted: bool = True
    warm_up: tuple[Conversation, ...] = ()
    confirming: tuple[Confirming, ...] = ()
    obstacle: str = ""

    @property
    def held(self) -> tuple[Conversation, ...]:
        """All conversations with the candidate that count for something."""
        return (*self.candidate, *(c for block in self.confirming for c in block.candidate))

    @property
    def failures(self) -> tuple[Conversation, ...]:
        return tuple(c for c in self.held if not c.is_ok)

    @property
    def is_worse(self) -> bool:
        """The candidate failed more often than stable when both were asked at the same moments."""
        return bool(self.confirming) and self.confirming[-1].is_worse

    @property
    def unspoken(self) -> str:
        """Why a conversation could not be held, whoever it was with; empty when all were. Such a round says nothing."""
        every = (*self.held, *self._stable)
        return self.obstacle or next((c.detail for c in every if c.kind in NOBODYS), "")

    @property
    def is_blind(self) -> bool:
        """Failures that stable shares, or conversations that could not be held: neither good nor bad."""
        return bool(self.unspoken) or (bool(self.confirming) and self.confirming[-1].is_common)

    @property
    def words(self) -> str:
        """``a conversation failed; confirming with 5 on each: 5 of 5 against 0 of 5; again: ...``."""
        bad, lost = _bad(self.candidate), _bad(self.warm_up)
        cold = f" ({lost} of {len(self.warm_up)} before them, while it was cold, failed)" if lost else ""
        if self.obstacle:
            return f"the round says nothing: {self.obstacle}"
        if self.unspoken:
            return "a conversation could not be held, so the round says nothing"
        if not bad:
            return f"{len(self.candidate)} conversations ok{cold}"
        failed = f"{'a conversation' if bad == 1 else f'{bad} of {len(self.candidate)} conversations'} failed"
        return "; ".join(filter(None, (failed + cold, self.confirming_words)))

    @property
    def confirming_words(self) -> str:
        """What followed a failure; empty when nothing did."""
        if not self.confirming:
            return ""
        first = self.confirming[0]
        whom = f"{len(first.candidate)} on each" if first.control else f"{len(first.candidate)} more"
        blocks = "; again: ".join(block.words for block in self.confirming)
        return f"confirming with {whom}: {blocks}{', stable fails too' if self.is_blind else ''}"

    @property
    def stable_fails(self) -> str:
        """How stable failed, in words, whatever the candidate did; empty when it held every conversation."""
        bad = next((c for c in self._stable if not c.is_ok), None)
        return f"{bad.kind}: {bad.detail}".rstrip(": ") if bad else ""

    @property
    def is_stable_bad(self) -> bool:
        """Stable answered wrongly at least every other time, which is more than our network being away.

        Asked at the same moments as the candidate it may have hung, too, as often as that.
        """
        last = self.confirming[-1] if self.confirming else None
        stable = last.control if last else self.control
        may_hang = last is None or last.is_worse
        excused = _NOT_WRONG if may_hang else _NOT_WRONG - {Kind.TIMED_OUT}
        wrong = sum(c.kind not in excused for c in stable)
        return bool(wrong) and (2 * wrong >= len(stable) or not self.confirming)

    @property
    def _stable(self) -> tuple[Conversation, ...]:
        return (*self.control, *(c for block in self.confirming for c in block.control))
