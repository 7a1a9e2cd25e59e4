"""What other tools would do on the same streams, by the example settings of their documentation.

A look is a second: one candidate trial beside 19 of stable. Each rule is given the looks with a failure, and the numbers
of the look at which it rolls back, or None by the end.

- Argo Rollouts, as documented: a measurement each 5 minutes, success rate of the candidate >= 95 %, failureLimit 3.
  Strict: any failure in the 5 minutes, failureLimit 0 (the default).
- Flagger: a check each minute, success rate >= 99 %, rolled back at 10 failed checks (``threshold``), or at 1.
- cloud-run-release-manager: each minute, error rate over the last 30 minutes above 1 %.
- Kayenta: each 30 minutes over all of it, Mann-Whitney on rates by the minute, 98 %, effect above a quarter of stable's
  mean: one metric marked High fails the analysis.
- A pooled z test at 0.001, looked at with each candidate trial.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from math import sqrt

from bench.judge_streams import BESIDE, HORIZON, Look

Rule = Callable[[Sequence[Look]], int | None]
_MINUTE = 60


def _limit(seconds: int, most: float, limit: int) -> Rule:
    """Rolled back at the ``limit``-th window in which more than ``most`` of the candidate's trials fail."""

    def rule(looks: Sequence[Look]) -> int | None:
        failed: dict[int, int] = {}
        for look in looks:
            failed[(look.number - 1) // seconds] = (
                failed.get((look.number - 1) // seconds, 0) + look.candidate
            )
        bad = sorted(w for w, n in failed.items() if n > most * seconds and (w + 1) * seconds <= HORIZON)
        return (bad[limit - 1] + 1) * seconds if len(bad) >= limit else None

    return rule


def _release_manager(looks: Sequence[Look]) -> int | None:
    at = [look.number for look in looks if look.candidate]
    for now in range(_MINUTE, HORIZON + 1, _MINUTE):
        begin = max(0, now - 30 * _MINUTE)
        failed = bisect_left(at, now + 1) - bisect_left(at, begin + 1)
        if failed > 0.01 * (now - begin):
            return now
    return None


def _kayenta(looks: Sequence[Look]) -> int | None:
    for end in range(30 * _MINUTE, HORIZON + 1, 30 * _MINUTE):
        minutes = end // _MINUTE
        candidate, stable = [0.0] * minutes, [0.0] * minutes
        for look in looks:
            if look.number <= end:
                minute = (look.number - 1) // _MINUTE
                candidate[minute] += look.candidate / _MINUTE
                stable[minute] += look.stable / (_MINUTE * BESIDE)
        differences = sorted(c - s for c in candidate for s in stable)
        spread = 2.326 * sqrt(minutes * minutes * (2 * minutes + 1) / 12)
        lowest = differences[max(0, int(minutes * minutes / 2 - spread))]
        if lowest > 0.25 * sum(stable) / minutes:
            return end
    return None


def _z_peeked(looks: Sequence[Look]) -> int | None:
    x_c = x_b = 0
    for look in looks:
        x_c, x_b, n = x_c + look.candidate, x_b + look.stable, look.number
        pooled = (x_c + x_b) / (n * (1 + BESIDE))
        spread = sqrt(pooled * (1 - pooled) * (1 / n + 1 / (n * BESIDE)))
        if spread and (x_c / n - x_b / (n * BESIDE)) / spread > 3.09:
            return n
    return None


RULES: Mapping[str, Rule] = {
    "Argo, as documented": _limit(5 * _MINUTE, 0.05, 4),
    "Argo, strict": _limit(5 * _MINUTE, 0.0, 1),
    "Flagger, threshold 10": _limit(_MINUTE, 0.01, 10),
    "Flagger, threshold 1": _limit(_MINUTE, 0.01, 1),
    "cloud-run-release-manager": _release_manager,
    "Kayenta": _kayenta,
    "z test, peeked": _z_peeked,
}
