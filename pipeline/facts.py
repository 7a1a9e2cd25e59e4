"""The figures of a report: shares over time, gates, writes, the first failing conversation, the two clocks.  PURE.

Journal lines come from a file that anybody may have edited: whatever has not the expected shape is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pipeline import judge, repeat
from pipeline.evidence import METRICS, Exposure
from pipeline.judge import CriterionJudgement, Verdict
from pipeline.model import Criterion
from pipeline.rollout import Event, Rollout
from pipeline.units import format_duration, format_rate

Line = Mapping[str, object]

MAX_WRITES = 200


@dataclass(frozen=True, slots=True)
class Share:
    """From ``at`` on the candidate had ``percent`` of new connections. ``event``: what changed it."""

    at: datetime
    percent: int
    event: str


@dataclass(frozen=True, slots=True)
class Gate:
    """One criterion as it was last judged. ``trials``, ``failures``: of the candidate, then of stable beside it."""

    metric: str
    meaning: str
    limit: str
    candidate: tuple[int, int]
    stable: tuple[int, int]
    verdict: str
    detail: str
    e_value: float
    threshold: float

    @property
    def evidence(self) -> float:
        """How much of the evidence that a decision needs is there: 1 decides."""
        return min(1.0, self.e_value / self.threshold)


@dataclass(frozen=True, slots=True)
class Message:
    at_s: float
    sent: bool
    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The first conversation that failed. ``left_out``: messages of the transcript's middle that were not kept."""

    at: datetime | None
    scenario: str
    outcome: str
    detail: str
    close_code: int | None
    close_reason: str
    transcript: tuple[Message, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Write:
    """One write that set traffic. ``etag`` None: not known without the journal."""

    at: datetime
    traffic: Mapping[str, int]
    epoch: int | None = None
    etag: str | None = None
    repeat: str = ""
    undo: str = ""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The two clocks of a roll-back: new connections safe, and the last socket off the candidate.

    Args:
        first_bad: start of the first user session that failed on the candidate.
        decided: the roll-back write was accepted. ``safe``: traffic was read back.
        left: sockets still open on the candidate when the report was made; None: not known.
        drained: when the last of them closed; None while some are open, or when it is not known.
    """

    first_bad: datetime | None = None
    decided: datetime | None = None
    safe: datetime | None = None
    left: int | None = None
    drained: datetime | None = None

    @property
    def to_safe(self) -> timedelta | None:
        """From the first bad session until new connections were safe."""
        start = self.first_bad or self.decided
        return self.safe - start if start and self.safe and self.safe >= start else None


def shares_of(rollout: Rollout, until: datetime) -> tuple[Share, ...]:
    """Every change of the candidate's share; the last one is repeated at ``until``, so that a line has an end."""
    shares = [Share(rollout.started, 0, "started")]
    shares += [Share(step.at, step.percent, step.event.value) for step in rollout.history]
    return (*shares, Share(max(until, shares[-1].at), shares[-1].percent, ""))


def clocks_of(rollout: Rollout, candidate: Exposure | None) -> Clocks:
    """What the history and the logs say; all None for a rollout that never went back."""
    decided = next((s.at for s in reversed(rollout.history) if s.event is Event.FAILED), None)
    if decided is None:
        return Clocks(first_bad=candidate.first_bad_at if candidate else None)
    safe = next((s.at for s in rollout.history if s.event is Event.RESTORED and s.at >= decided), None)
    left = candidate.open_sockets if candidate else None
    drained = candidate.last_close_at if candidate and not candidate.open_sockets else None
    return Clocks(candidate.first_bad_at if candidate else None, decided, safe, left, drained)


def gates_of(rollout: Rollout) -> tuple[Gate, ...]:
    """Every criterion as the judge's state in the record has it; in the order of the configuration."""
    judgement = judge.judge_stage(rollout.judge, rollout.plan, rollout.stage)
    return tuple(_gate(rollout, judged) for judged in judgement.criteria)


def certified_of(rollout: Rollout) -> tuple[Gate, ...]:
    """What was asked to be certified, over all the rollout's trials; empty before any user met the candidate."""
    if not rollout.reached:
        return ()
    return tuple(_gate(rollout, c, certify=True) for c in judge.certify(rollout.judge, rollout.plan).criteria)


def _gate(rollout: Rollout, judged: CriterionJudgement, *, certify: bool = False) -> Gate:
    criterion = next(
        (c for c in rollout.plan.criteria if c.metric == judged.metric), Criterion(judged.metric)
    )
    return Gate(
        metric=judged.metric,
        meaning=METRICS.get(judged.metric, ""),
        limit=_limit(criterion, certify=certify),
        candidate=(judged.candidate_trials, judged.candidate_failures),
        stable=(judged.stable_trials, judged.stable_failures),
        verdict="undecided" if judged.verdict is Verdict.INCONCLUSIVE else judged.verdict.value,
        detail=judged.detail,
        e_value=judged.e_value,
        threshold=judged.threshold,
    )


def _limit(criterion: Criterion, *, certify: bool) -> str:
    if certify:
        return f"below {format_rate(criterion.certify)}" if criterion.certify is not None else "-"
    words = (
        "not worse than stable" if criterion.limit is None else f"{format_rate(criterion.limit)} or stable's"
    )
    slower = f", slower than {format_duration(criterion.slower_than)}" if criterion.slower_than else ""
    return words + slower


def failure_of(journal: Sequence[Line]) -> Failure | None:
    """The first failed conversation with a transcript, else the first failed one at all."""
    failures = [(line, f) for line in journal for f in _mappings(line.get("failures"))]
    line, first = next(
        ((line, f) for line, f in failures if f.get("transcript")), failures[0] if failures else (None, None)
    )
    if line is None or first is None:
        return None
    code = first.get("close_code")
    return Failure(
        at=moment(line.get("started")) or moment(line.get("at")),
        scenario=str(first.get("scenario", "")),
        outcome=str(first.get("outcome", "")),
        detail=str(first.get("detail", "")),
        close_code=code if isinstance(code, int) else None,
        close_reason=str(first.get("close_reason", "")),
        transcript=tuple(
            Message(number(m.get("at_s")), bool(m.get("sent")), str(m.get("text", "")))
            for m in _mappings(first.get("transcript"))
        ),
        left_out=int(number(first.get("left_out"))),
    )


def writes_of(rollout: Rollout, journal: Sequence[Line]) -> tuple[tuple[Write, ...], int]:
    """The writes that set traffic, oldest first, and how many others there were (heartbeats, records alone)."""
    wrote = [line for line in journal if line.get("kind") == "wrote"]
    writes = tuple(write for line in wrote if (write := _write_of(line)))
    if not writes:
        return _with_commands(rollout, _writes_of_history(rollout)), len(wrote)
    return _with_commands(rollout, writes)[-MAX_WRITES:], len(wrote) - len(writes)


def _write_of(line: Line) -> Write | None:
    at, epoch, traffic = moment(line.get("at")), line.get("epoch"), _shares(line.get("traffic"))
    if at is None or not traffic:
        return None
    return Write(at, traffic, epoch if isinstance(epoch, int) else None, str(line.get("etag", "")))


def _writes_of_history(rollout: Rollout) -> tuple[Write, ...]:
    """Without the journal: every step of the history that changed the share, without its etag."""
    plan = rollout.plan
    writes: list[Write] = []
    before: Mapping[str, int] = {plan.stable: 100}
    for step in rollout.history:
        shares = {plan.stable: 100 - step.percent, plan.candidate: step.percent}
        traffic = {name: percent for name, percent in shares.items() if percent}
        if traffic != before:
            writes.append(Write(step.at, traffic))
        before = traffic
    return tuple(writes)


def _with_commands(rollout: Rollout, writes: Sequence[Write]) -> tuple[Write, ...]:
    """Each with the command that does it again, and the one that sets what was before it."""
    ref = rollout.plan.ref
    before = [{}, *(write.traffic for write in writes)]
    return tuple(
        replace(
            write,
            repeat=repeat.set_traffic(ref, write.traffic),
            undo=repeat.set_traffic(ref, earlier) if earlier else "",
        )
        for write, earlier in zip(writes, before, strict=False)
    )


def moment(value: object) -> datetime | None:
    """An aware time, or None."""
    try:
        made = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return made if made.tzinfo else None


def number(value: object) -> float:
    """A finite number, or 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e12 else 0.0  # type: ignore[arg-type]


def _mappings(value: object) -> Sequence[Mapping[str, object]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list | tuple) else ()


def _shares(value: object) -> Mapping[str, int]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): percent for name, percent in value.items() if isinstance(percent, int)}


@dataclass(frozen=True, slots=True)
class Probed:
    """All probe rounds of the attempt, added up: scenario to (ok, all)."""

    scenarios: Mapping[str, tuple[int, int]]

    @property
    def conversations(self) -> int:
        return sum(every for _, every in self.scenarios.values())

    @property
    def failed(self) -> int:
        return sum(every - ok for ok, every in self.scenarios.values())


def probed_of(journal: Sequence[Line]) -> Probed:
    counts: dict[str, tuple[int, int]] = {}
    for line in journal:
        scenarios = line.get("scenarios")
        for name, pair in scenarios.items() if isinstance(scenarios, Mapping) else ():
            if isinstance(pair, list) and len(pair) == 2:
                ok, every = counts.get(str(name), (0, 0))
                counts[str(name)] = (ok + int(number(pair[0])), every + int(number(pair[1])))
    return Probed(counts)
