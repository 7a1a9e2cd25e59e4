"""What the judge says.  PURE."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct, to_builtins
from msgspec.structs import replace


class Verdict(StrEnum):
    """Worst first."""

    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    PASS = "pass"  # noqa: S105 - a verdict


class CriterionJudgement(Struct, frozen=True):
    """One criterion's share of a verdict.

    Args:
        threshold: at this bet it alone brings all of them together to 1/alpha.
        needed: trials until it is decided, where that is known: to be compared, or clean ones to be certified.
    """

    metric: str
    verdict: Verdict
    candidate_trials: int
    candidate_failures: int
    stable_trials: int
    stable_failures: int
    e_value: float
    threshold: float
    needed: int | None
    detail: str


class Judgement(Struct, frozen=True):
    """A verdict and why. ``blamed``: the metric that a FAIL rests on, which need not have failed alone; empty for probes."""

    verdict: Verdict
    reason: str
    criteria: tuple[CriterionJudgement, ...] = ()
    blamed: str = ""

    @property
    def rounded(self) -> Judgement:
        """With bets as they are written down: to four digits, and none so large that JSON could not hold it."""
        criteria = (replace(c, e_value=float(f"{min(c.e_value, 1e12):.4g}")) for c in self.criteria)
        return replace(self, criteria=tuple(criteria))

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "blamed": self.blamed,
            "criteria": [to_builtins(c) for c in self.rounded.criteria],
        }
