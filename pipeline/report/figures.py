"""Every figure of a report, computed once.  PURE.

Theory of operation. Banner, tiles, checklist, gates, risks, chart and JSON say the same things in other words; they agree
because each reads them here and counts nothing itself. Users' figures come from the logs (``Exposure``) and from what
was judged (the record); they count different things (sessions that began; one run of a client and block), so both are
named for what they are, and ``failing`` says of each whether something failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.core.rollout import Phase, Rollout
from pipeline.judging.evidence import Exposure
from pipeline.model import Outcome
from pipeline.report import facts, gates
from pipeline.report.facts import Clocks, Hand
from pipeline.report.gates import Combined, Gate
from pipeline.report.journal_lines import Line
from pipeline.report.probed import Probed, probed_of
from pipeline.report.timeline import Closes

BROKEN = ("server_error_1011", "abnormal_1006")  # closes that are the server's doing
HEALTHY = (Outcome.PROMOTED, Outcome.FIRST_DEPLOYMENT)


@dataclass(frozen=True, slots=True)
class Figures:
    """Values only; see the module.

    Args:
        share: the candidate's share of new connections as last written. ``reached``: the largest it ever had.
        ended: None while it goes on, or may go on. ``took``: until then, or until now.
        drift: what somebody else changed; then ``share`` is ours, and may not be what is served.
        hand: who rolled back by hand; None when nobody did.
        met: what users met, by revision; None: the logs could not be read.
        probes, probes_failed: conversations of all rounds.
        blamed: the metric for which the judge sent it back, if it was the judge.
        judged: by metric, (runs, failed runs) of the candidate over all stages.
        judged_over: what the counts of ``gates`` are of, in words.
        closes: over the axis of the chart; ``later``: abnormal closes of the candidate that came after it.
    """

    outcome: Outcome
    phase: Phase
    candidate: str
    stable: str
    started: datetime
    ended: datetime | None
    took: timedelta
    share: int
    reached: int
    drift: str
    hand: Hand | None
    met: Mapping[str, Exposure] | None
    probed: Probed
    probes: int
    probes_failed: int
    blamed: str
    judged: Mapping[str, tuple[int, int]]
    clocks: Clocks
    gates: tuple[Gate, ...]
    combined: Combined
    certified: tuple[Gate, ...]
    judged_over: str
    closes: tuple[Closes, ...]
    later: int

    @property
    def users(self) -> Exposure | None:
        """What users met on the candidate."""
        return self.met.get(self.candidate, Exposure()) if self.met is not None else None

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
        return self.outcome in HEALTHY

    def convicted(self, *metrics: str) -> list[Gate]:
        """Those of these criteria that said the candidate is worse."""
        return [gate for gate in self.gates if gate.metric in metrics and gate.verdict == "fail"]

    def failed_runs(self, *metrics: str) -> tuple[int, int]:
        """(judged runs, failed ones) of the worst of these criteria, over all stages."""
        return max(
            (self.judged[m] for m in metrics if m in self.judged), key=lambda pair: pair[1], default=(0, 0)
        )


def figures_of(
    rollout: Rollout,
    journal: Sequence[Line],
    met: Mapping[str, Exposure] | None,
    now: datetime,
    closes: Sequence[Closes] = (),
) -> Figures:
    """All of them, from the record, the attempt's journal and the logs as they were read."""
    plan, state = rollout.plan, rollout.judge
    ended, axis = facts.end_of(rollout), facts.end_of_axis(rollout, now)
    users = met.get(plan.candidate, Exposure()) if met is not None else None
    judgements, combined = gates.gates_of(rollout)
    probed = probed_of(journal)
    failed = max(probed.failed, state.probes_bad)
    return Figures(
        outcome=rollout.outcome or Outcome.UNDER_WAY,
        phase=rollout.phase,
        candidate=plan.candidate,
        stable=plan.stable,
        started=rollout.started,
        ended=ended,
        took=(ended or now) - rollout.started,
        share=rollout.split.percent_of(plan.candidate),
        reached=rollout.reached,
        drift=rollout.drift,
        hand=facts.hand_of(rollout),
        met=met,
        probed=probed,
        probes=max(probed.conversations, state.probes_ok + state.probes_bad, failed),
        probes_failed=failed,
        blamed=rollout.blamed,
        judged={m: (c.candidate_trials, c.candidate_failures) for m, c in state.total.items()},
        clocks=facts.clocks_of(rollout, users),
        gates=judgements,
        combined=combined,
        certified=gates.certified_of(rollout),
        judged_over=gates.judged_over(rollout),
        closes=tuple(closes),
        later=sum(c.abnormal for c in closes if c.revision == plan.candidate and c.start >= axis),
    )
