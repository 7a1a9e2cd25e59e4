"""One rollout under faults drawn from a seed: the real engine, probes and judge on a fake platform and virtual time.

At every call, and between a read and the write that is decided on it, something may happen: the platform does not
answer, or answers and the answer is lost; the process is killed; somebody edits the split, replays an old apply, wipes
the record, remakes or deletes a revision; logs or probes go blind; a second driver runs beside the first; an operator
promotes or rolls back. After ``FAULTS_END`` nothing happens any more, and the rollout must come to an end.

Same seed, same rollout: ``Simulation(seed).run().trace`` says what happened.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pipeline.engine import Engine
from pipeline.errors import PlatformUnavailable, SpillwayError
from pipeline.model import (
    STABLE_TAG,
    Criterion,
    LiveService,
    Outcome,
    Probing,
    Readiness,
    Revision,
    Sampling,
    Split,
    Target,
)
from pipeline.plan import Wish
from pipeline.probe.scenario import Conversation, Kind, ProbeAsk, ProbeReport
from pipeline.promotion import promote
from pipeline.restore import Cause, restore
from tests.fakes import REF, START, FakeClock, FakePlatform, FakeProber
from tests.oracle import FOREIGN_TAG, Oracle, Truth
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish, stages

SECOND = timedelta(seconds=1)
FAULTS_END = START + 60 * SECOND
GIVE_UP = START + 900 * SECOND
MOST_CALLS = 10_000  # a rollout takes a few hundred
CANDIDATES = (
    "good",
    "good",
    "good",
    "fails users",
    "fails probes",
    "never ready",
    "slow to start",
    "both fail",
)
BETWEEN_CALLS = (
    "unavailable", "unavailable", "lost", "kill", "kill", "stall", "edit", "touch", "replay", "wipe", "remake", "delete stable",
    "break candidate", "blind logs", "blind probes",
)  # fmt: skip


class Killed(BaseException):
    """The process is gone: nothing of it runs any more, no handler, no retry."""


def the_wish() -> Wish:
    return a_wish(
        stages=tuple(replace(stage, deadline=60 * SECOND) for stage in stages(0, 20, 100, soak=6)),
        criteria=(Criterion("server_error_1011", limit=0.05, certify=0.1), Criterion("agent_completed", limit=0.05)),
        sampling=Sampling(2 * SECOND, SECOND, SECOND, timedelta(0), 5), probing=Probing(4 * SECOND, 2, 2),
    )  # fmt: skip


@dataclass
class SimPlatform(FakePlatform):
    """Tells the oracle of each read."""

    oracle: Oracle | None = None

    def read(self, ref: object) -> LiveService:
        live = super().read(ref)  # type: ignore[arg-type]
        if self.oracle:
            self.oracle.read(live)
        return live

    def revisions(self, ref: object) -> Sequence[Revision]:
        found = super().revisions(ref)  # type: ignore[arg-type]
        if self.oracle:
            self.oracle.listed({r.name for r in found if r.is_ready})
        return found


@dataclass
class SimProber(FakeProber):
    """Its network may be away: then nobody answers, stable neither."""

    blind: bool = False
    was_blind: bool = False
    green_at: datetime | None = None

    def start(self, ask: ProbeAsk) -> None:
        super().start(ask)
        assert self._done is not None
        self.was_blind = self.blind
        if self.blind:
            lost = tuple(Conversation(c.scenario, Kind.UNREACHABLE, 0.1) for c in self._done.candidate)
            self._done = ProbeReport(self.clock.now(), 0.1, lost, lost)
        elif not self._done.failures:
            self.green_at = self.clock.now()


@dataclass
class Simulation:
    """One seed's world. ``odds``: that something happens at one boundary of a call."""

    seed: int
    odds: float = 0.02
    trace: list[str] = field(default_factory=list)
    hands: int = 3  # times that an operator steps in
    calls: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.kind = self.rng.choice(CANDIDATES)
        self.wish = the_wish()
        self.clock = FakeClock()
        self.scene = Scene(self.clock)
        self.platform = SimPlatform(self.clock).with_stable(STABLE)
        self.platform.foreign_write(split=Split((Target(STABLE, 100), Target(STABLE, 0, FOREIGN_TAG))))
        self.platform.lag = self.rng.choice((0, 1, 3)) * SECOND
        self.prober = SimProber(self.clock)
        self.scene.platform = self.scene.deployer.platform = self.scene.users.platform = self.platform
        self.scene.prober = self.prober
        self.scene.users.per_second, self.scene.users.seed = 5.0, self.seed
        self.was_broken = False
        self.applies: list[LiveService] = []
        self.drivers = 0
        self._set_up()
        truth = Truth(
            lambda: self.was_broken,
            self._runs_between,
            lambda: self.prober.green_at,
            lambda: self.prober.was_blind,
        )
        self.oracle = self.platform.oracle = Oracle(self.platform, self.wish, truth)
        self.platform.at_boundary, self.platform.on_write = self._boundary, self.oracle.written

    @property
    def live(self) -> LiveService | None:
        return self.platform.live

    def _set_up(self) -> None:
        self.was_broken = self.kind in ("fails users", "fails probes", "never ready", "both fail")
        match self.kind:
            case "fails users":
                self.scene.users.failing[CANDIDATE] = 0.7
            case "both fail":
                self.scene.users.failing |= {CANDIDATE: 0.5, STABLE: 0.5}
            case "fails probes":
                self.prober.failing.add("http://candidate")
            case "never ready":
                self.scene.deployer.readiness = Readiness.FAILED
            case "slow to start":
                self.scene.deployer.readiness = Readiness.PENDING
                self.clock.at(25, self._get_ready)

    def _get_ready(self) -> None:
        self.scene.deployer.readiness = Readiness.READY
        if CANDIDATE in self.platform.known:
            self.platform.known[CANDIDATE] = replace(
                self.platform.known[CANDIDATE], readiness=Readiness.READY
            )

    def _runs_between(self, begin: datetime, end: datetime) -> int:
        return sum(
            begin <= line.at < end and line.revision == CANDIDATE and line.payload["event"] == "ws_accept"
            for line in self.scene.users._lines
        )

    # -- the way of one rollout ----------------------------------------------------------------------------------------

    def run(self) -> Simulation:
        """To the end of the rollout, or of patience."""
        engines: dict[int, Engine] = {}
        self.outcome: Outcome | None = None
        self.refusal = ""
        while self.clock.now() < GIVE_UP and not (self.outcome or self.refusal):
            who = self.rng.choice((0, 0, 0, 1)) if self.clock.now() < FAULTS_END else 0
            try:
                self.outcome = self._drive(engines, who)
            except Killed:
                engines.pop(who, None)
                self._note(f"driver {who} was killed")
                self.clock.sleep(self.rng.choice((1, 25)) * SECOND)
            except SpillwayError as error:
                engines.pop(who, None)
                self._note(f"driver {who} ended: {type(error).__name__}: {error.what}")
                self.clock.sleep(self.rng.choice((1, 5)) * SECOND)
                is_handled = self._call_a_human() or self.clock.now() < FAULTS_END
                if not is_handled and not isinstance(error, PlatformUnavailable):
                    self.refusal = str(error)
            if self.outcome is Outcome.PAUSED and self._call_a_human():
                self.outcome = None
        self._check_the_end()
        return self

    def _check_the_end(self) -> None:
        """It ended, as it should; and whatever state it left, a roll-back by hand works with eyes and ears shut."""
        self.oracle.must("L4", self.outcome or self.refusal, "it never ended")
        self.oracle.must(
            "S9", len(self.scene.deployer.deployed) <= 1, f"deployed {self.scene.deployer.deployed}"
        )
        is_promoted = self.outcome is Outcome.PROMOTED
        self.oracle.must(
            "S3", not is_promoted or self.kind in ("good", "slow to start"), f"promoted one that {self.kind}"
        )
        self.scene.users.unreadable = self.prober.blind = True
        self.platform.at_boundary = lambda _: None
        live = self.platform.live
        assert live is not None
        knows_stable = live.record_text is not None or live.wanted.tagged(STABLE_TAG)
        if knows_stable and self.platform.known[STABLE].is_ready:
            with self._hand("restore"):
                done = restore(self.platform, self.clock, REF, Cause("the last word", "ada", by_hand=True))
            self.oracle.must("S8", done.verified and done.target == STABLE, f"restored {done}")
            self.oracle.must(
                "S8", self.platform.served().serving == {STABLE: 100}, f"serving {self.platform.served()}"
            )

    def _drive(self, engines: dict[int, Engine], who: int) -> Outcome | None:
        """A while of one driver; a new one begins with the command, as a CI job does."""
        if who not in engines:
            self.drivers += 1
            engine = self.scene.engine(f"host/{self.drivers}")
            outcome = self.scene.start(self.wish, engine)
            if outcome is not None:
                return outcome
            engines[who] = engine
        ended = engines[who].run(until=self.clock.now() + self.rng.randint(1, 10) * SECOND)
        return None if ended is Outcome.UNDER_WAY else ended

    def _call_a_human(self) -> bool:
        """Looks at it, and promotes, rolls back, or leaves it. Whether anything was done."""
        if not self.hands:
            return False
        self.hands -= 1
        match self.rng.choice(("promote", "roll back", "leave")):
            case "promote":
                return self._by_hand(
                    "promote",
                    lambda: promote(
                        self.scene.engine("operator"), self.clock, to_percent=None, reason="", by="ada"
                    ),
                )
            case "roll back":
                cause = Cause("felt wrong", "ada", by_hand=True)
                return self._by_hand("restore", lambda: restore(self.platform, self.clock, REF, cause))
        return False

    def _by_hand(self, what: str, act: Callable[[], object]) -> bool:
        with self._hand(what):
            try:
                act()
            except Killed:
                self._note(f"{what} was killed")
            except SpillwayError as error:
                self._note(f"{what}: {type(error).__name__}: {error.what}")
                return False
        self._note(f"an operator did: {what}")
        return True

    @contextmanager
    def _hand(self, what: str) -> Iterator[None]:
        self.oracle.hand = what
        yield
        self.oracle.hand = ""

    # -- what may happen -----------------------------------------------------------------------------------------------

    def _boundary(self, name: str) -> None:
        self.calls += 1
        assert self.calls < MOST_CALLS, "it runs in circles"
        if self.clock.now() >= FAULTS_END:
            self.prober.blind = self.scene.users.unreadable = False
            return
        if self.rng.random() < self.odds:
            self._happen(self.rng.choice(BETWEEN_CALLS), name)

    def _happen(self, fault: str, name: str) -> None:
        self._note(f"{fault} at {name}")
        match fault:
            case "unavailable":
                if name.startswith("before"):
                    raise PlatformUnavailable("503", retry_after_s=1.0)
            case "lost":
                if name.startswith("after"):
                    raise PlatformUnavailable("the answer was lost", retry_after_s=1.0)
            case "kill":
                raise Killed
            case "stall":
                self.clock.sleep(self.rng.choice((2, 30)) * SECOND)
            case "blind logs":
                self.scene.users.unreadable = not self.scene.users.unreadable
            case "blind probes":
                self.prober.blind = not self.prober.blind
            case "delete stable" | "break candidate" | "remake":
                self._meddle_with_revisions(fault)
            case _:
                self._edit(fault)

    def _meddle_with_revisions(self, fault: str) -> None:
        known = self.platform.known
        if fault == "delete stable":
            if self.platform.live and not self.platform.live.wanted.percent_of(STABLE):
                known[STABLE] = replace(known[STABLE], readiness=Readiness.FAILED)
        elif CANDIDATE not in known:
            return
        elif fault == "break candidate":
            known[CANDIDATE] = replace(known[CANDIDATE], readiness=Readiness.FAILED)
            self.was_broken = True
        else:
            known[CANDIDATE] = replace(known[CANDIDATE], uid=f"again-{self.rng.random()}")
            self.platform.foreign_write()  # no revision is made without a write of the service
            self.oracle.remade()

    def _edit(self, fault: str) -> None:
        live = self.platform.live
        assert live is not None
        self.applies.append(live)
        if fault == "edit":
            share = self.rng.choice((0, 10, 50, 100)) if self._candidate_is_ready() else 0
            targets = [t for t in live.wanted.targets if t.tag == FOREIGN_TAG]
            self.platform.foreign_write(
                split=Split(
                    (Target(STABLE, 100 - share), Target(CANDIDATE, share), *targets)
                    if share
                    else (Target(STABLE, 100), *targets)
                )
            )
        elif fault == "touch":
            self.platform.foreign_write()
        elif fault == "wipe":
            self.platform.foreign_write(annotations={})
        else:
            old = self.rng.choice(self.applies)
            if all(
                name in self.platform.known and self.platform.known[name].is_ready
                for name in old.wanted.serving
            ):
                self.platform.foreign_write(split=old.wanted, annotations=old.annotations)
        after = self.platform.live
        assert after is not None
        self.oracle.foreign(live, after)

    def _candidate_is_ready(self) -> bool:
        known = self.platform.known.get(CANDIDATE)
        return known is not None and known.is_ready

    def _note(self, words: str) -> None:
        share = self.platform.live.wanted.percent_of(CANDIDATE) if self.platform.live else None
        self.trace.append(f"{(self.clock.now() - START).total_seconds():7.1f}s {share}% {words}")
