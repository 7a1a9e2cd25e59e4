"""One process of ours, and the world as it reaches it: its own clock, memory, prober and output; calls that may fail."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import TYPE_CHECKING, TypeVar

from pipeline.app.listeners import Listeners
from pipeline.driving.engine import Engine
from pipeline.driving.observer import Observer
from pipeline.driving.pace import Rhythm
from pipeline.driving.ports import World
from pipeline.errors import StaleWrite
from pipeline.events import RolloutEvent
from pipeline.model import LiveService, LogLine, Readiness, Revision, ServiceRef, Split
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.course import course
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.scenario import Scenario
from tests.fakes import REF, followed
from tests.rollouts import SCENARIO
from tests.simulation.world import SECOND, OwnClock

if TYPE_CHECKING:
    from tests.simulation.rollout import Simulation


T = TypeVar("T")


class Killed(BaseException):
    """The process is gone: nothing of it runs any more, no handler, no retry."""


class Process:
    """Implements the ports ``Platform``, ``Deployer`` and ``LogSource`` for itself; each call has two boundaries."""

    def __init__(
        self, sim: Simulation, name: str, *, off: timedelta = timedelta(0), inline: bool = False
    ) -> None:
        self.sim, self.name = sim, name
        self.clock = OwnClock(sim.clock, off)
        self.etag = ""  # of its last read
        self.seen: LiveService | None = None  # by its last read
        self.read_at = sim.clock.now()
        self.drives_since = sim.now
        self.last_read = 0.0  # seconds from the beginning
        self.ready: frozenset[str] = frozenset()  # revisions that it last saw ready
        self.prober = SlowProber(self, inline=inline)
        self.until = inf  # when it is told to end
        self.heard = Listeners([self._watch, *sim.listeners], self.say)
        self.world = World(self, self, self.prober, self, self.clock)
        observer = Observer(REF, self.world, (SCENARIO,), listen=self.heard)
        self.engine = Engine(
            observer,
            self.world,
            driver=name,
            listen=self.heard,
            rhythm=Rhythm(look=SECOND),
            stop=self._is_told_to_end,
        )

    def say(self, text: str) -> None:
        self.sim.say(text)

    def _is_told_to_end(self) -> bool:
        return self.sim.now >= self.until

    def _watch(self, event: RolloutEvent) -> None:
        self.sim.oracle.heard(self, event)

    def _call(self, name: str, act: Callable[[], T]) -> T:
        self.sim.boundary(self, f"before {name}")
        answer = act()
        self.sim.boundary(self, f"after {name}")
        return answer

    def read(self, ref: ServiceRef) -> LiveService:
        def act() -> LiveService:
            self.seen = live = self.sim.platform.read(ref)
            self.read_at = self.sim.clock.now()
            self.etag, self.last_read = live.etag, self.sim.now
            return live

        return self._call("read", act)

    def revisions(self, ref: ServiceRef) -> Sequence[Revision]:
        def act() -> Sequence[Revision]:
            found = self.sim.platform.revisions(ref)
            self.ready = frozenset(r.name for r in found if r.is_ready)
            return found

        return self._call("revisions", act)

    def revision(self, ref: ServiceRef, name: str) -> Revision:
        return self._call("revision", lambda: self.sim.platform.revision(ref, name))

    def write(
        self, ref: ServiceRef, *, etag: str, annotations: Mapping[str, str], split: Split | None = None
    ) -> None:
        def act() -> None:
            before, platform = self.sim.platform.shown(), self.sim.platform
            self.sim.oracle.about_to_be_written()
            try:
                platform.write(ref, etag=etag, annotations=annotations, split=split)
            except StaleWrite:
                self.sim.oracle.came_between()
                raise
            self.sim.oracle.written(self, before, etag, annotations, split)

        self._call("write", act)

    def write_put_back(
        self,
        ref: ServiceRef,
        *,
        etag: str,
        annotations: Mapping[str, str],
        split: Split,
        template_of: str,
        name: str,
    ) -> None:
        raise AssertionError("nothing is deleted in the simulation")

    def delete_revision(self, ref: ServiceRef, name: str) -> None:
        self._call("delete", lambda: self.sim.platform.delete_revision(ref, name))

    @property
    def lasts(self) -> timedelta:
        return self.sim.outlives

    @property
    def outlives(self) -> bool:
        return True

    def deploy(self, ref: ServiceRef, *, image: str, revision: str) -> None:
        self._call("deploy", lambda: self._apply(ref, image, revision))

    def _apply(self, ref: ServiceRef, image: str, revision: str) -> None:
        """Where an apply goes by no etag, there is time between its read and its write; it outlives who began it."""
        if not self.lasts:
            return self.sim.deploy(ref, image=image, revision=revision)
        read = self.sim.platform.shown()
        try:
            self.sim.boundary(self, "within deploy")
        except Killed:
            self.sim.leave_behind(read, revision)
            raise
        return self.sim.deploy(ref, image=image, revision=revision, read=read)

    def lines(self, ref: ServiceRef, *, since: datetime, revisions: Iterable[str]) -> Sequence[LogLine]:
        return self._call("logs", lambda: self.sim.users.lines(since, revisions))


@dataclass
class Rounds:
    """What the finished probe rounds of all processes met: the truth, for the oracle."""

    chance: random.Random  # of losing a conversation on the way
    green_at: dict[str, datetime] = field(
        default_factory=dict
    )  # uid to the start of the last round in which it held a conversation
    held: list[tuple[datetime, int]] = field(
        default_factory=list
    )  # with the candidate: start, conversations that held


class SlowProber:
    """Holds one round at a time, each taking ``sim.round_takes``; inline: within ``start``, as a single step does."""

    def __init__(self, process: Process, *, inline: bool) -> None:
        self._process, self._inline = process, inline
        self._round: ProbeReport | None = None
        self._due = 0.0
        self._green: list[str] = []  # uids that held every conversation of the round under way
        self._begun: datetime | None = None
        self._is_blind = self.was_blind = False  # the round under way; the last one that was handed out

    @property
    def is_busy(self) -> bool:
        return self._round is not None

    def start(self, ask: ProbeAsk) -> None:
        assert self._round is None, "a round is under way"
        sim = self._process.sim
        sim.boundary(self._process, "before probe")
        takes = 30.0 if self._inline and sim.round_takes > 30 else sim.round_takes
        begun = self._process.clock.now()
        self._begun, self._green = sim.clock.now(), []
        self._round = followed(course(ask, begun), self._talk, takes)
        self._is_blind = sim.blind_probes
        self._due = self._process.sim.now + takes
        if self._inline:
            sim.clock.sleep(takes * SECOND)

    def poll(self) -> ProbeReport | None:
        if self._round is None or self._process.sim.now < self._due:
            return None
        report, self._round, self.was_blind = self._round, None, self._is_blind
        rounds = self._process.sim.rounds
        assert self._begun is not None
        for uid in self._green:  # a round of another process may have begun later and ended before
            rounds.green_at[uid] = max(self._begun, rounds.green_at.get(uid, self._begun))
        rounds.held.append((self._begun, sum(c.is_ok for c in report.candidate)))
        return report

    def _talk(self, scenario: Scenario, address: Address) -> Conversation:
        sim = self._process.sim
        revision = sim.behind(address.base_url)
        kind = Kind.OK
        if sim.blind_probes or revision is None:
            kind = Kind.UNREACHABLE
        elif revision.name in sim.health.hangs_probes:
            kind = Kind.TIMED_OUT
        elif revision.name in sim.health.fails_probes or revision.readiness is not Readiness.READY:
            kind = Kind.CLOSED_EARLY
        elif sim.health.stumbles and sim.rounds.chance.random() < sim.health.stumbles:
            kind = Kind.UNREACHABLE
        if kind is Kind.OK:
            assert revision is not None
            self._green.append(revision.uid)
        return Conversation(scenario.name, kind, 0.1, close_code=1011 if kind is Kind.CLOSED_EARLY else 1000)
