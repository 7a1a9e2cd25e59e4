"""Trials counted per block, candidate and stable side by side.  PURE.

Theory of operation. A *span* is the time during which one split was live (its ``split_epoch``). It is cut into blocks
of equal length (a new split cuts the last one); a block holds the trials that *started* in it, and is closed, for both
arms alike, at its end + D + lateness: only then is every one of its trials decided. Counting sockets when they end
instead would see the short and broken ones first. A block is the unit that the judge takes in, once.

Of one client only the first trial in a block, over both arms together, is judged: one broken client that reconnects
twenty times must not send a healthy candidate back. A client that makes up more than a fifth of a well-filled block is
an office behind one address and exempt.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pipeline.judging.terms import Criterion, Sampling
from pipeline.judging.trials import (
    ERROR_CLOSES,
    Socket,
    Trial,
    is_abandoned,
    is_silent,
    read_lines,
    trials_of,
)
from pipeline.model import LogLine

ERROR_PATTERNS = ("is not JSON serializable",)
METRICS: Mapping[str, str] = {
    "agent_completed": "an agent run whose expected events did not all come in time",
    "server_error_1011": "a run whose socket the server closed with 1011 (keepalive time-outs apart)",
    "abnormal_1006": "a run whose socket the server dropped without a close frame",
    "first_event": "a run whose first event came later than slower-than",
    "log_serialisation_errors": "a log line that says a value was not JSON serialisable",
}
LATENCY_NEEDS_PERCENT = 25
LONGEST_LATE = 5  # times the lateness that is configured: that a block waits for lines beyond it
LONGEST_MOVE = timedelta(minutes=1)  # from a write to the split being served
MOST_BLOCKS = 5_000  # taken in by one look: some 40 hours at half a minute each
_OFFICE_SHARE = 0.2
_OFFICE_NEEDS = (
    100  # trials in the block: below that, a fifth is a handful, and a handful can be one broken client
)


@dataclass(frozen=True, slots=True)
class Arm:
    """One revision, and the nonce that its telemetry lines carry."""

    revision: str
    nonce: str


@dataclass(frozen=True, slots=True)
class Span:
    """The time during which one split was live. ``percent`` is the candidate's share; ``until`` None: it still is.

    Args:
        since: when the split was asked for. Faults count from here on, where there is no warm-up.
        arrived: when it was seen to be served; the warm-up begins here.
    """

    since: datetime
    until: datetime | None
    split_epoch: int
    percent: int
    arrived: datetime | None = None

    def last_block(self, block: timedelta) -> int:
        """Index of its last block, once it has ended; rounded up, for what the end cuts off is a block too."""
        assert self.until is not None
        return -((self.since - self.until) // block) - 1

    def warm_from(self, warm_up: timedelta) -> datetime:
        """From when on trials are judged.

        A split that nobody has seen yet is taken to be served after a while: users must not fail for as long as a
        status takes. (A block that is closed before the arrival is seen lies before it, so that any process comes to
        the same, whenever it looks.)
        """
        if not warm_up:
            return self.since
        latest = self.since + LONGEST_MOVE
        return min(self.arrived or latest, latest) + warm_up


@dataclass(frozen=True, slots=True)
class Counts:
    """Judged trials and failures of one metric in one block."""

    candidate_trials: int = 0
    candidate_failures: int = 0
    stable_trials: int = 0
    stable_failures: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.candidate_trials + other.candidate_trials,
            self.candidate_failures + other.candidate_failures,
            self.stable_trials + other.stable_trials,
            self.stable_failures + other.stable_failures,
        )


@dataclass(frozen=True, slots=True)
class Block:
    """One closed block.

    Args:
        counts: by metric, one table for each stratum of sockets that may be compared with one another.
        fresh: by metric, of clients that were not counted before in this split's epoch: what certification counts.
        clients: of the candidate, those that were not seen before in this epoch.
        shown: candidate trials that were seen and not judged (warm-up, repeats).
    """

    index: int
    start: datetime
    end: datetime
    split_epoch: int
    percent: int
    counts: Mapping[str, tuple[Counts, ...]]
    fresh: Mapping[str, Counts] = field(default_factory=dict)
    clients: int = 0
    shown: int = 0

    def whole(self, metric: str) -> Counts:
        """Over all strata."""
        return sum(self.counts.get(metric, ()), Counts())


@dataclass(frozen=True, slots=True)
class Exposure:
    """What users met on one revision. All counts are of the same sessions: those that began while it was looked at.

    Args:
        sessions: sockets that were accepted, and handshakes that the service could not answer (``refused``).
        closes: by class; 1011 and 1006 are the server's alone, what a client or its network did is "by_client" or "lost".
        affected: distinct sockets with a failed trial.
        errors: log lines that match an error pattern.
        silent: accepts after which nothing was written though something was due: missing log lines.
        unasked: sockets on which nobody asked for a run while nobody ever had, by the words that would have asked.
    """

    sessions: int = 0
    refused: int = 0
    affected: int = 0
    open_sockets: int = 0
    runs: int = 0
    closes: Mapping[str, int] = field(default_factory=dict)
    abandoned: int = 0
    forged: int = 0
    last_line_at: datetime | None = None
    first_bad_at: datetime | None = None
    last_close_at: datetime | None = None
    errors: int = 0
    silent: int = 0
    unasked: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the logs reach that have arrived.

    Theory of operation. Log lines arrive in about the order in which they were written, some time after it. A line that
    is there speaks for those before it; after the newest one nothing is known, and a block without its lines would look
    like a block without errors. So a block waits for lines beyond it, of either revision. Not for ever: users who were
    all driven away write no more lines. After ``LONGEST_LATE`` times the lateness it is closed with what there is, and
    nothing passes.

    Args:
        until: the moment as of which blocks are closed and counted.
        late: why nothing can be concluded from silence; empty while blocks close with the lines beyond them.
    """

    until: datetime
    late: str = ""

    @classmethod
    def of(
        cls, lines: Sequence[LogLine], span: Span, sampling: Sampling, now: datetime, after: int = -1
    ) -> Reach:
        """Args: lines: oldest first. ``after``: the last block that was taken in."""
        newest = lines[-1].at if lines else span.since - sampling.lateness
        seen, waited = min(now, newest + sampling.lateness), now - LONGEST_LATE * sampling.lateness
        due = last_closed(span, sampling, waited)
        if due <= max(after, -1) or last_closed(span, sampling, seen) >= due:
            return cls(max(seen, waited))
        age = f"the newest log line is {(now - newest).total_seconds():.0f}s old" if lines else "none is new"
        return cls(waited, f"no data yet in the logs: {age}")


def last_closed(span: Span, sampling: Sampling, now: datetime) -> int:
    """Index of the last closed block, -1 when none is. The end of a span cuts its last block and closes it."""
    decided = now - sampling.within - sampling.lateness  # everything that started before it is
    if span.until is not None and decided >= span.until:
        return span.last_block(sampling.block)
    return (decided - span.since) // sampling.block - 1


def closed_blocks(
    lines: Sequence[LogLine],
    span: Span,
    arms: tuple[Arm, Arm | None],
    sampling: Sampling,
    criteria: Iterable[Criterion],
    now: datetime,
    *,
    after: int = -1,
) -> tuple[Block, ...]:
    """Closed blocks with index > ``after``, oldest first; empty ones too, because silence is told as silence.

    At most ``MOST_BLOCKS``, so that a look ends though nobody looked for days: the next one goes on where it ended.

    Args:
        arms: candidate, and stable if it is there.
    """
    last = min(last_closed(span, sampling, now), max(after, -1) + MOST_BLOCKS)
    if last <= after:
        return ()
    candidate, stable = (_Side.of(lines, arm, sampling, now) if arm else _Side() for arm in arms)
    wanted = tuple(criteria)
    return tuple(
        _block(index, span, sampling, wanted, candidate=candidate, stable=stable)
        for index in range(max(after, -1) + 1, last + 1)
    )


@dataclass(slots=True)
class _Side:
    """One arm's trials in order of start, and its error lines."""

    trials: list[Trial] = field(default_factory=list)
    errors_at: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, lines: Sequence[LogLine], arm: Arm, sampling: Sampling, now: datetime) -> _Side:
        reading = read_lines(lines, arm.revision, arm.nonce, ERROR_PATTERNS)
        trials = [
            t
            for socket in reading.sockets.values()
            for t in trials_of(socket, sampling.within, now.timestamp(), sampling.lateness)
        ]
        trials.sort(key=lambda t: (t.start, t.session))
        return cls(trials, sorted(reading.errors_at))

    def between(self, start: float, end: float) -> _Side:
        trials, errors_at = self.trials, self.errors_at
        first, last = (bisect_left(trials, at, key=lambda t: t.start) for at in (start, end))
        return _Side(
            trials[first:last], errors_at[bisect_left(errors_at, start) : bisect_left(errors_at, end)]
        )


def _block(
    index: int,
    span: Span,
    sampling: Sampling,
    criteria: Iterable[Criterion],
    *,
    candidate: _Side,
    stable: _Side,
) -> Block:
    start = span.since + index * sampling.block
    end = min(start + sampling.block, span.until or datetime.max.replace(tzinfo=UTC))
    c = candidate.between(start.timestamp(), end.timestamp())
    s = stable.between(start.timestamp(), end.timestamp())
    judged_c, judged_s = _judged(c, s, span.warm_from(sampling.warm_up).timestamp())
    counts = {
        criterion.metric: (
            Counts(
                len(judged_c.trials),
                _failures(criterion, judged_c),
                len(judged_s.trials),
                _failures(criterion, judged_s),
            ),
        )
        for criterion in criteria
        if criterion.metric != "first_event" or span.percent >= LATENCY_NEEDS_PERCENT
    }
    shown = len(c.trials) - len(judged_c.trials)
    return Block(index, start, end, span.split_epoch, span.percent, counts, shown=shown)


def _judged(candidate: _Side, stable: _Side, warm: float) -> tuple[_Side, _Side]:
    """Without warm-up, and each client's first trial over both arms only."""
    both = [t for t in (*candidate.trials, *stable.trials) if t.start >= warm]
    # Over both arms: a client that connects again lands on either, and would be judged once in each.
    by_client = Counter(t.client for t in both)
    office = {c for c, n in by_client.items() if len(both) >= _OFFICE_NEEDS and n > _OFFICE_SHARE * len(both)}
    first: dict[str, Trial] = {}
    for trial in sorted(both, key=lambda t: (t.start, t.session)):
        first.setdefault(trial.client, trial)

    def keep(trial: Trial) -> bool:
        return trial.start >= warm and (trial.client in office or first[trial.client] is trial)

    return (
        _Side([t for t in candidate.trials if keep(t)], [at for at in candidate.errors_at if at >= warm]),
        _Side([t for t in stable.trials if keep(t)], [at for at in stable.errors_at if at >= warm]),
    )


def _failures(criterion: Criterion, side: _Side) -> int:
    if criterion.metric == "log_serialisation_errors":
        # A line of text names no run. Each is held against one, and no more runs can have failed than there were.
        return min(len(side.trials), len(side.errors_at))
    if criterion.slower_than is not None:
        bound = criterion.slower_than.total_seconds()  # what never came is later than any bound
        return sum(t.first_event_s is None or t.first_event_s > bound for t in side.trials)
    return sum(criterion.metric in t.failed for t in side.trials)


def exposure(lines: Iterable[LogLine], arm: Arm, sampling: Sampling, now: datetime) -> Exposure:
    """What users met on one revision, from all its lines.

    A session whose beginning is not among them began before: it is nobody's figure here, neither its close nor its runs.
    """
    reading = read_lines(lines, arm.revision, arm.nonce, ERROR_PATTERNS)
    moment = now.timestamp()
    # All counts are of these, so that no part is larger than the whole.
    sockets = [s for s in reading.sockets.values() if s.accepted is not None or s.refused is not None]
    bad = [
        t
        for socket in sockets
        for t in trials_of(socket, sampling.within, moment, sampling.lateness)
        if t.failed
    ]
    closes = Counter(close_word(s) for s in sockets if s.closed is not None and s.accepted is not None)
    broken_at = [s.closed for s in sockets if s.closed is not None and s.is_broken]
    first_bad = min([t.start for t in bad] + broken_at, default=None)
    affected = {t.session for t in bad} | {s.session for s in sockets if s.is_broken}
    return Exposure(
        sessions=len(sockets),
        refused=sum(s.accepted is None for s in sockets),
        affected=len(affected),
        open_sockets=sum(s.accepted is not None and s.closed is None for s in sockets),
        runs=sum(len(s.runs) for s in sockets),
        closes=dict(closes),
        abandoned=sum(is_abandoned(s, run) for s in sockets for run in s.runs),
        forged=reading.forged,
        last_line_at=_moment(reading.last_line_at),
        first_bad_at=_moment(first_bad),
        last_close_at=_moment(max((s.closed for s in sockets if s.closed is not None), default=None)),
        errors=len(reading.errors_at),
        silent=sum(is_silent(s, sampling.within, moment) for s in sockets),
        unasked=dict(reading.unasked),
    )


def close_word(socket: Socket) -> str:
    """How it ended, in a report's words: what is counted as the server's 1011 or 1006 is what ``is_broken`` counts."""
    if socket.close_class in ERROR_CLOSES and not socket.is_broken:
        return "lost" if socket.closed_by == "lost" else "by_client"
    return socket.close_class.value


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def horizon(soaks: Iterable[timedelta], sampling: Sampling) -> int:
    """Blocks that a rollout is expected to take: what late faults' bets are spread over."""
    return max(1, sum(soaks, timedelta(0)) // sampling.block)
