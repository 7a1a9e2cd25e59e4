"""Whole rollouts of candidates that are like stable, judged by the shipping code: every roll-back is a false one.

Users are played by ``judge_world``. Their runs come to the judge as trials, through the evidence's own rules of whom to
count (``cohorts``), or for some seeds a second time as log lines through all of the evidence: with the same verdicts.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from multiprocessing.pool import Pool as Workers
from random import Random

from bench.judge_world import Fleet, Kind, Life, Run, World, drawn
from pipeline.judging import evidence, judge
from pipeline.judging.clients import Memory
from pipeline.judging.cohorts import Cohort, Side
from pipeline.judging.counts import Block, Counts
from pipeline.judging.instances import LOOKBACK, Instance
from pipeline.judging.judgement import Verdict
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.metrics import Unit
from pipeline.judging.probes import Round
from pipeline.judging.reading import Arm, Complaint
from pipeline.judging.spans import Span, Windows
from pipeline.judging.terms import Criterion, Plan, Sampling, Stage, Terms
from pipeline.judging.trials import Trial
from pipeline.model import SYSTEM_LOG, LogLine, ServiceRef

START = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SAMPLING = Sampling(min_trials=20)
CRITERIA = (
    Criterion("agent_completed", limit=0.01, certify=0.01),
    Criterion("server_error_1011", limit=0.01),
    Criterion("log_serialisation_errors"),
    Criterion("container_exits", weight=0.25),
    Criterion("abandoned", weight=0.25),
)
STAGES = tuple(
    Stage(p, m * timedelta(minutes=1), (m + 10) * timedelta(minutes=1))
    for p, m in ((0, 0), (5, 5), (25, 8), (50, 8), (100, 12))
)
PLAN = Plan(
    "bench", ServiceRef("p", "l", "svc"), "svc-old", "1", "svc-new", "svc@sha256:0", Terms(STAGES, CRITERIA)
)
ARMS = (Arm("svc-new", "new"), Arm("svc-old", "old"))
_BLOCK_S, _WITHIN_S = SAMPLING.block.total_seconds(), SAMPLING.within.total_seconds()
_CLOSED_S = _WITHIN_S + SAMPLING.lateness.total_seconds()  # after its end a block is closed
_MOVES_S = 3.0  # from a shift to its traffic being served
_ROUNDS, _SESSIONS = 3, 5  # of probes in a block, and conversations in a round
_COMPLAINTS = 20  # lines that one run writes
_EXIT = "Container called exit(1)"
_ERROR = "Object of type Reply is not JSON serializable"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a rollout ended: "promoted", "held" or what was blamed; ``trace`` is the judge's state at its end."""

    seed: int
    kind: str
    outcome: str
    percent: int
    trace: JudgeState


@dataclass
class Rollout:
    """One rollout on virtual time. ``as_lines``: through log lines."""

    seed: int
    as_lines: bool = False
    kind: Kind = field(init=False)
    state: JudgeState = field(init=False)
    _now: float = 0.0
    _borders: list[float] = field(default_factory=list)
    _runs: list[Run] = field(default_factory=list)
    _lines: list[LogLine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.kind, self.state = drawn(self.seed), judge.begin(PLAN)
        self._world, self._fleet = World(self.kind, self.seed), Fleet(self.kind, self.seed)
        self._rng = Random(f"probes/{self.seed}")
        self._told = 0  # lines of runs up to this one

    def play(self) -> Ended:
        """To its end. A stage that is held for a human is gone on from, as one would: the judge goes on, too."""
        self._live(0.0)
        held = ""
        for epoch, stage in enumerate(STAGES[1:], 1):
            outcome = self._stage(epoch, stage)
            if outcome == "held":
                held = outcome
            elif outcome:
                return Ended(self.seed, self.kind.name, outcome, stage.percent, self.state)
        return Ended(self.seed, self.kind.name, held or "promoted", 100, self.state)

    def _stage(self, epoch: int, stage: Stage) -> str:
        """Play one. Returns how the rollout ended in it; empty when it goes on."""
        since, arrived = self._now, self._now + _MOVES_S
        self._world.share = stage.percent / 100
        self._borders += [since, arrived]
        span = Span(_at(since), None, epoch, stage.percent, _at(arrived))
        self.state = judge.new_stage(self.state)
        for index in range(10_000):
            end = since + (index + 1) * _BLOCK_S
            self._live(end + _CLOSED_S)
            self._take_in(span, index, arrived)
            self._probe()
            said = judge.judge_stage(self.state, PLAN, epoch)
            if said.verdict is Verdict.FAIL:
                return self.state.blamed or "probes"
            is_soaked = end >= arrived + stage.soak.total_seconds()
            passed = is_soaked and said.verdict is Verdict.PASS and self._is_enough(stage)
            if passed:
                break
            if end >= arrived + stage.deadline.total_seconds():
                break
        cut = Span(_at(since), _at(self._now), epoch, stage.percent, _at(arrived))
        self.state = judge.new_stage(self.state)
        for late in range(index + 1, cut.last_block(SAMPLING.block) + 1):
            self._live(self._now)
            self._take_in(cut, late, float("inf"))
        if self.state.failed:
            return self.state.blamed or "probes"
        return "" if passed else "held"

    def _is_enough(self, stage: Stage) -> bool:
        return stage.percent < 100 or judge.certify(self.state, PLAN).verdict is Verdict.PASS

    def _live(self, until: float) -> None:
        self._fleet.live(self._now, until, self._world.share)
        self._runs += self._world.runs_until(until)
        self._now = until

    def _probe(self) -> None:
        """The rounds of one block; one with a failure is confirmed at once."""
        flake, n = self.kind.flake, _SESSIONS
        for _ in range(_ROUNDS):
            bad, held, blocks = sum(self._rng.random() < flake for _ in range(n)), n, ()
            if bad:
                bad_c, bad_b = (sum(self._rng.random() < flake for _ in range(n)) for _ in (0, 1))
                bad, held, blocks = bad + bad_c, held + n, (Counts(n, bad_c, n, bad_b),)
            self.state = judge.observe_probes(self.state, PLAN, Round(held - bad, bad, blocks))

    def _take_in(self, span: Span, index: int, arrived: float) -> None:
        block = self._by_lines(span, index) if self.as_lines else self._by_trials(span, index)
        in_stage = (block.start - START).total_seconds() >= arrived
        self.state = judge.observe(self.state, PLAN, block, in_stage=in_stage)

    @property
    def _windows(self) -> Windows:
        return Windows.between(_at(border) for border in self._borders)

    def _by_trials(self, span: Span, index: int) -> Block:
        start = span.since + index * SAMPLING.block
        end = min(start + SAMPLING.block, span.until or start + SAMPLING.block)
        begin_s, end_s = (start - START).total_seconds(), (end - START).total_seconds()
        runs = [run for run in self._runs if begin_s - _BLOCK_S <= run.at < end_s + 1]
        sides = tuple(
            _side(runs, self._fleet.lives, begin_s, end_s, is_candidate=arm) for arm in (True, False)
        )
        is_alone = span.percent == 100
        memory = Memory(self.state.clients, span.split_epoch, is_alone=is_alone)
        warm = span.warm_from(SAMPLING.warm_up).timestamp()
        begun, ended = start.timestamp(), end.timestamp()
        cohort = Cohort((sides[0], sides[1]), begun, ended, warm, self._windows, memory, is_alone)
        tallies = {c.metric: cohort.tally(c) for c in CRITERIA}
        new, came = cohort.new_clients, cohort.came
        cohort.remember()
        self._runs = [run for run in self._runs if run.at >= begin_s - _BLOCK_S]
        return Block(
            index, start, end, span.split_epoch, span.percent, {m: t.strata for m, t in tallies.items()},
            {m: t.fresh for m, t in tallies.items()}, new, 0, memory.kept(), came,
        )  # fmt: skip

    def _by_lines(self, span: Span, index: int) -> Block:
        start = span.since + index * SAMPLING.block
        since = (start - LOOKBACK - START).total_seconds()
        self._runs = [run for run in self._runs if run.at >= since - 60]
        lines = [line for run in self._runs for line in _lines_of(run)]
        lines += _lines_of_instances(self._fleet.lives, since, self._now)
        lines = sorted((line for line in lines if line.at >= _at(since)), key=lambda line: line.at)
        found = evidence.closed_blocks(
            lines, span, ARMS, SAMPLING, CRITERIA, _at(max(self._now, (index + 1) * _BLOCK_S + (span.since - START).total_seconds() + _CLOSED_S)), after=index - 1, clients=self.state.clients,
            windows=self._windows,
        )  # fmt: skip
        return found[0]


def _side(runs: list[Run], lives: list[Life], begin: float, end: float, *, is_candidate: bool) -> Side:
    own = [run for run in runs if run.is_candidate is is_candidate]
    here = [run for run in own if begin <= run.at < end]
    trials = {Unit.RUN: [_trial(run) for run in here if not run.is_left], Unit.ASKED: list(map(_asked, here))}
    since = begin - LOOKBACK.total_seconds()
    instances = [_instance(life, since, end) for life in lives if life.is_candidate is is_candidate]
    complaints = [
        Complaint(_s(run.at + 0.05 * n)) for run in own if run.complains for n in range(_COMPLAINTS)
    ]
    told = own if complaints else []  # what a complaint may be of
    began = sorted({(_s(at), run.session) for run in told for at in (run.at, run.accepted)})
    ordered = sorted(complaints, key=lambda c: c.at)
    return Side(trials, sorted(instances, key=lambda i: i.name), ordered, {"": began}, _WITHIN_S)


def _instance(life: Life, since: float, end: float) -> Instance:
    exits = [] if life.exited is None else [(_s(life.exited), _EXIT)]
    return Instance(life.name, seen=[_s(t) for t in life.beats(since, end)], ends=exits)


def _trial(run: Run) -> Trial:
    failed = {"agent_completed"} if run.is_bad else set()
    failed |= {"server_error_1011"} if run.closes else set()
    return Trial(run.client, run.session, _s(run.at), frozenset(failed), 0.05, _s(run.accepted), is_told=True)


def _asked(run: Run) -> Trial:
    failed = frozenset({"abandoned"} if run.is_left else ())
    return Trial(run.client, run.session, _s(run.at), failed, 0.05, _s(run.accepted), is_told=True)


def _lines_of(run: Run) -> Iterator[LogLine]:
    """As the middleware writes them."""
    ended = run.at + (_WITHIN_S if run.is_bad and not run.closes else 0.3)
    outcome = ("closed" if run.closes else "timeout") if run.is_bad else "closed" if run.is_left else "ok"
    yield _line(run, run.accepted, "ws_accept")
    yield _line(run, run.at, "agent_start", run=_number(run))
    yield _line(
        run, ended, "agent_run", run=_number(run), started=_s(run.at), outcome=outcome, first_event_ms=50.0
    )
    if run.closes:
        yield _line(run, ended, "ws_close", code=1011, reason="", closed_by="server")
    if run.is_left:
        yield _line(run, ended, "ws_close", code=1001, reason="", closed_by="client")
    if run.complains:
        for n in range(_COMPLAINTS):
            yield _text(run.at + 0.05 * n, run.is_candidate, "", _ERROR)


def _number(run: Run) -> int:
    return 1 + int(run.at * 1000)  # any, as long as no two of a socket are alike


def _line(of: Run, at: float, event: str, **values: object) -> LogLine:
    arm = ARMS[0] if of.is_candidate else ARMS[1]
    payload = {
        "spillway": 2, "event": event, "session": of.session, "client": of.client, "nonce": arm.nonce, "at": _s(at),
        "accepted": _s(of.accepted), **values,
    }  # fmt: skip
    key = f"{of.session}/{event}/{values.get('run', 0)}"
    return LogLine(key, _at(at), arm.revision, payload=payload)


def _text(at: float, is_candidate: bool, instance: str, said: str, log: str = "") -> LogLine:
    revision = ARMS[0 if is_candidate else 1].revision
    return LogLine(f"{instance}/{at}", _at(at), revision, text=said, instance=instance, log=log)


def _lines_of_instances(lives: list[Life], begin: float, end: float) -> Iterator[LogLine]:
    for life in lives:
        for at in life.beats(begin, end):
            yield _text(at, life.is_candidate, life.name, "tick")
        if life.exited is not None and begin <= life.exited < end:
            yield _text(life.exited, life.is_candidate, life.name, _EXIT, SYSTEM_LOG)


@lru_cache(maxsize=16_384)
def _s(at: float) -> float:
    return _at(at).timestamp()


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def play(seed: int) -> Ended:
    """One rollout by trials."""
    return Rollout(seed).play()


def differs(seed: int) -> bool:
    """Whether the same rollout through log lines ends otherwise, or in another state of the judge."""
    return Rollout(seed).play() != Rollout(seed, as_lines=True).play()


GOOD = ("promoted", "held")  # ends of a candidate that is like stable; any other is a false roll-back
_TOLD_EVERY = 200


def play_all(seeds: int, pool: Workers) -> Counter[tuple[str, str]]:
    """How many of each kind ended how; what is known so far goes to standard error."""
    ended: Counter[tuple[str, str]] = Counter()
    for number, each in enumerate(pool.imap_unordered(play, range(seeds), chunksize=20), 1):
        ended[each.kind, each.outcome] += 1
        if each.outcome not in GOOD:
            _tell(f"  seed {each.seed}, {each.kind}: sent back at {each.percent} % for {each.outcome}")
        if number % _TOLD_EVERY == 0 or number == seeds:
            false = sum(n for (_, outcome), n in ended.items() if outcome not in GOOD)
            _tell(f"  {number} rollouts, {false} of them false")
    return ended


def differing(seeds: int, pool: Workers) -> int:
    """How many of the first seeds differ through log lines."""
    other = 0
    for number, (seed, is_other) in enumerate(pool.imap_unordered(_compared, range(seeds), chunksize=5), 1):
        other += is_other
        if is_other:
            _tell(f"  seed {seed} differs through log lines")
        if number % _TOLD_EVERY == 0 or number == seeds:
            _tell(f"  {number} through log lines, {other} of them differ")
    return other


def _compared(seed: int) -> tuple[int, bool]:
    return seed, differs(seed)


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
