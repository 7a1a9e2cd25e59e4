"""Every figure of a report, computed once.  PURE.

Theory of operation. Banner, tiles, checklist, gates, risks, chart and JSON say the same things in other words; they agree
because each reads them here and counts nothing itself. Users' figures come from the logs (``Exposure``) and from what
was judged (the record); they count different things (sessions that began; one run of a client and block), so both are
named for what they are, and ``failing`` says of each whether something failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from pipeline.core.rollout import Rollout, Step
from pipeline.judging.exposure import Exposure
from pipeline.model import Outcome
from pipeline.report import facts, journal_lines
from pipeline.report.gates import Combined, Gate, certified_of, gates_of, judged_over

BROKEN = ("server_error_1011", "abnormal_1006")  # closes that are the server's doing


class Figures(Struct, frozen=True):
    """Values only; see the module.

    Args:
        outcome: UNDER_WAY while there is none.
        took: from the start until the end, or until now.
        hand: how somebody rolled back by hand; None when nobody did.
        met: what users met, by revision; None: the logs could not be read.
        scenarios: to (ok, all) probe conversations, as far as the journal has them.
        probes, probes_failed: conversations of all rounds.
        judged: by metric, (runs, failed runs) of the candidate over all stages.
        judged_over: what the counts of ``gates`` are of, in words.
    """

    rollout: Rollout
    outcome: Outcome
    took: timedelta
    hand: Step | None
    met: Mapping[str, Exposure] | None
    scenarios: Mapping[str, tuple[int, int]]
    probes: int
    probes_failed: int
    judged: Mapping[str, tuple[int, int]]
    clocks: facts.Clocks
    gates: tuple[Gate, ...]
    combined: Combined
    certified: tuple[Gate, ...]
    judged_over: str

    @property
    def users(self) -> Exposure | None:
        """What users met on the candidate."""
        return self.met.get(self.rollout.plan.candidate, Exposure()) if self.met is not None else None

    @property
    def broken(self) -> int:
        """User sockets that the candidate closed with 1011, or dropped."""
        return sum(self.users.closes.get(kind, 0) for kind in BROKEN) if self.users else 0

    @property
    def is_whole(self) -> bool:
        """Whether the logs hold at least the runs that were judged: they are kept for a month, or less."""
        most = max((runs for runs, _ in self.judged.values()), default=0)
        return self.users is None or self.users.runs + self.users.silent + self.users.sessions >= most

    @property
    def is_healthy(self) -> bool:
        """It ended well: what failed was within what the criteria allow, and the rest of the report must not deny it."""
        return not self.outcome.exit_code

    def failed_runs(self, *metrics: str) -> tuple[int, int]:
        """(judged runs, failed ones) of the worst of these criteria, over all stages."""
        return max(
            (self.judged[m] for m in metrics if m in self.judged), key=lambda pair: pair[1], default=(0, 0)
        )


def figures_of(
    rollout: Rollout,
    journal: Sequence[journal_lines.Line],
    met: Mapping[str, Exposure] | None,
    now: datetime,
) -> Figures:
    """All of them, from the record, the attempt's journal and the logs as they were read."""
    candidate, state = rollout.plan.candidate, rollout.judge
    gates, combined = gates_of(rollout)
    scenarios = journal_lines.scenarios_of(journal)
    held = sum(every for _, every in scenarios.values())
    # Journal and record each may have lost some rounds (another machine, a new stage): the larger count is the truer one.
    seen = state.probes
    failed = max(held - sum(ok for ok, _ in scenarios.values()), seen.bad, seen.confirming.candidate_failures)
    return Figures(
        rollout=rollout,
        outcome=rollout.outcome or Outcome.UNDER_WAY,
        took=(facts.end_of(rollout) or now) - rollout.started,
        hand=facts.by_hand(rollout),
        met=met,
        scenarios=scenarios,
        probes=max(held, seen.ok + seen.bad, seen.confirming.candidate_trials),
        probes_failed=failed,
        judged={m: (c.candidate_trials, c.candidate_failures) for m, c in state.total.items()},
        clocks=facts.clocks_of(rollout, met.get(candidate, Exposure()) if met is not None else None),
        gates=gates,
        combined=combined,
        certified=certified_of(rollout),
        judged_over=judged_over(rollout),
    )
