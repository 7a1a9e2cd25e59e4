"""A rollout's world on virtual time: real engine, fakes with behaviour around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import cast

from pipeline.core import record
from pipeline.core.intent import Ended
from pipeline.core.plan import Wish
from pipeline.core.rollout import Rollout
from pipeline.driving.begin import Start
from pipeline.driving.engine import Engine
from pipeline.driving.observer import Observer
from pipeline.driving.pace import Rhythm
from pipeline.driving.ports import World
from pipeline.events import RolloutEvent
from pipeline.judging.terms import Criterion, Probing, Sampling, Stage, Terms
from pipeline.model import LiveService, Outcome
from pipeline.probe.matching import Expectation
from pipeline.probe.scenario import Scenario
from tests.fakes import REF, FakeClock, FakeDeployer, FakePlatform, FakeProber, FakeUsers, FakeVerifier

STABLE, CANDIDATE = "agent-chat-stable", "agent-chat-new"
SCENARIO = Scenario.short(
    "agent-run", "/ws", ({"type": "execute_agent"},), ((Expectation({"type": "agent_completed"}),),)
)
SECOND = timedelta(seconds=1)


def stages(*percents: int, soak: float = 20.0, hold_at: int | None = None) -> tuple[Stage, ...]:
    deadline = timedelta(minutes=5)
    return tuple(Stage(p, SECOND * soak if p else timedelta(0), deadline, p == hold_at) for p in percents)


def a_wish(candidate: str = CANDIDATE, **changes: object) -> Wish:
    terms = {
        "stages": stages(0, 5, 25, 100),
        "criteria": (Criterion("server_error_1011", limit=0.01, certify=0.05), Criterion("agent_completed", limit=0.01)),
        "scenarios": ("agent-run",), "sampling": Sampling(SECOND, SECOND, SECOND, timedelta(0), 10),
        "probing": Probing(SECOND * 5, 2, 2),
    }  # fmt: skip
    terms |= {name: changes.pop(name) for name in Terms.__struct_fields__ if name in changes}
    wish = {
        "ref": REF, "image": f"{candidate}@sha256:0", "candidate": candidate, "fingerprint": "f",
        "terms": Terms(**terms), "longest_scenario": SECOND * 10,
    }  # fmt: skip
    return Wish(**{**wish, **changes})  # type: ignore[arg-type]


@dataclass
class Scene:
    """One service under virtual time, and engines that come and go."""

    clock: FakeClock = field(default_factory=FakeClock)
    platform: FakePlatform = field(init=False)
    deployer: FakeDeployer = field(init=False)
    prober: FakeProber = field(init=False)
    users: FakeUsers = field(init=False)
    verifier: FakeVerifier = field(init=False)
    told: list[RolloutEvent] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.platform = FakePlatform(self.clock).with_stable(STABLE)
        self.deployer = FakeDeployer(self.platform)
        self.prober = FakeProber(self.clock)
        self.users = FakeUsers(self.clock, self.platform)
        self.verifier = FakeVerifier(self.clock)

    @cached_property
    def driver(self) -> Engine:
        """The engine of a test that needs one only."""
        return self.engine()

    @property
    def world(self) -> World:
        return World(self.platform, self.deployer, self.prober, self.users, self.clock, self.verifier)

    def engine(self, driver: str = "host/1") -> Engine:
        observer = Observer(REF, self.world, (SCENARIO,), listen=self.told.append)
        return Engine(
            observer, self.world, driver=driver, listen=self.told.append, rhythm=Rhythm(look=SECOND)
        )

    def start(
        self, wish: Wish | None = None, engine: Engine | None = None, **options: bool
    ) -> Outcome | None:
        ended = self.begin(wish, engine, **options)
        return ended.outcome if ended else None

    def begin(self, wish: Wish | None = None, engine: Engine | None = None, **options: bool) -> Ended | None:
        return Start(engine or self.engine(), self.world, wish or a_wish(), say=self.said.append, **options)()  # type: ignore[arg-type]

    def roll(self, wish: Wish | None = None, engine: Engine | None = None, **options: bool) -> Outcome:
        """Start and drive to the end, as ``spillway rollout`` does; a watchdog of virtual time ends a hang."""
        engine = engine or self.engine()
        outcome = self.start(wish, engine, **options)
        return outcome or engine.run(until=self.clock.now() + timedelta(hours=2))

    def reach(self, percent: int, engine: Engine | None = None, wish: Wish | None = None) -> None:
        """Start it, unless it is under way, and drive until the candidate is served this share."""
        engine = engine or self.driver
        if self.live.record_text is None:
            self.start(wish, engine)
        while self.live.wanted.percent_of(CANDIDATE) < percent or (percent and not self.rollout.arrived):
            self.clock.sleep(max(engine.tick().at - self.clock.now(), SECOND))

    @property
    def live(self) -> LiveService:
        assert self.platform.live is not None
        return self.platform.live

    @property
    def rollout(self) -> Rollout:
        return record.decode(cast("str", self.live.record_text))

    @property
    def shares(self) -> list[int]:
        """The candidate's share after each traffic write."""
        return [split.percent_of(CANDIDATE) for _, split in self.platform.history]
