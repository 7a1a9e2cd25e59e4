"""A rollout on the local Cloud Run's own control plane, and three hands that write the service in an apply's last moment.

An apply of the program reads the service and writes it whole, without an etag. The hand acts when everything was read and
the write is about to be sent: later than any check that the program could make.

An apply happens, or can be repeated, at these stages:

    deploying       the rollout's own; there is no other, since every later stage finds the candidate made
    taken over      the same once more, by another driver after the first one was killed in the middle of it
    0, 5, 50        a bare one (``pulumi up`` from a checkout that never refreshed) while the rollout stands there
    rolled back     the same afterwards, when the record says who has the traffic and why
    promoted        the same when the candidate has all of it, and its roll-back target none
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, cast

import grpc
import pytest
from msgspec.structs import replace

from infra.compose import compose
from infra.live import read
from infra.settings import Settings
from pipeline.app.wiring import SystemClock
from pipeline.cloudrun.deploy import Apply, ProgramDeployer
from pipeline.cloudrun.service import CloudRun
from pipeline.cloudrun.stack import InProcess
from pipeline.core import record
from pipeline.core.plan import Wish
from pipeline.core.rollout import ENDED, Phase, Rollout
from pipeline.driving.begin import Start
from pipeline.driving.engine import Engine
from pipeline.driving.observer import Observer
from pipeline.driving.pace import Rhythm
from pipeline.driving.ports import World
from pipeline.driving.promote import promote
from pipeline.driving.restore import Cause, restore
from pipeline.errors import AnotherRunAlive, PlanRefused
from pipeline.events import RolledBack, RolloutEvent
from pipeline.judging.terms import Probing
from pipeline.local.provider.service import LocalProvider
from pipeline.model import STABLE_TAG, LiveService, LogLine, Outcome, ServiceRef, Split, Target
from tests.contract.cloud import Cloud
from tests.fakes import FakeClock, FakeProber
from tests.rollouts import SCENARIO, a_wish, stages

HANDS = ("roll-back", "split", "another run")
BARE = ("0", "5", "50", "rolled back", "promoted")
STAGES = ("deploying", "taken over", *BARE)
SECOND = timedelta(seconds=1)


class Killed(BaseException):
    """A driver is gone in the middle of its apply."""


@dataclass
class Dying:
    """``deploy.Apply`` of a process that is killed before its apply has written anything."""

    lasts: timedelta
    outlives: bool = False

    def apply(self, settings: Settings) -> None:
        raise Killed


@dataclass
class LastMoment(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Of a provider: what happens right before its write is sent. Once."""

    hand: Callable[[], None] | None = None

    def intercept_unary_unary(self, go_on: Any, details: Any, request: Any) -> Any:
        hand, is_write = self.hand, details.method.endswith("/UpdateService")
        if hand and is_write:
            self.hand = None
            hand()
        return go_on(details, request)


class NoLogs:
    """``ports.LogSource`` of a service that says nothing."""

    def lines(self, *_: object, **__: object) -> Sequence[LogLine]:
        return ()

    def pages(self, *_: object, **__: object) -> Iterator[Sequence[LogLine]]:
        yield from ()


@dataclass
class Beside:
    """One service, its rollout, and an apply with a last moment.

    Args:
        settings: of the stable revision, which is there.
        apply_through: what applies the program for these settings, as a rollout does; its provider has this channel.
        bare: a bare ``pulumi up``, likewise; what it complains of.
    """

    cloud: Cloud
    settings: Settings
    apply_through: Callable[[grpc.Channel], Apply]
    bare: Callable[[grpc.Channel, Settings], str]
    moment: LastMoment = field(default_factory=LastMoment)
    clock: SystemClock = field(default_factory=SystemClock)
    shares: list[int] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    acted: str = ""
    has_written: bool = False

    def __post_init__(self) -> None:
        self.platform = CloudRun.over(self.cloud.channel)
        self.stable = self.live.pinned.revisions[0]
        service = self.cloud.services.get_service(name=self.ref.name)
        self.theirs = self.cloud.add_revision(service, "theirs")
        self.next = self.another("2")
        self.candidate = self.name_of(self.next)

    @property
    def ref(self) -> ServiceRef:
        return self.settings.ref

    def another(self, version: str) -> Settings:
        return replace(self.settings, template=replace(self.settings.template, env={"V": version}))

    def name_of(self, settings: Settings) -> str:
        live = read(settings, self.cloud.channel)
        assert live
        return compose(settings, live.stable, live.base).revision

    @property
    def live(self) -> LiveService:
        while (live := self.platform.read(self.ref)).reconciling:
            time.sleep(0.01)
        return live

    @property
    def rollout(self) -> Rollout:
        return record.decode(cast("str", self.live.record_text))

    @property
    def share(self) -> int:
        return self.live.wanted.percent_of(self.candidate)

    @property
    def channel(self) -> grpc.Channel:
        return grpc.intercept_channel(self.cloud.channel, self.moment)

    def engine(self, name: str, program: Apply | None = None) -> Engine:
        """A driver; by default with an apply that nothing happens beside."""
        program = program or InProcess(LocalProvider(self.cloud.channel), self._read)
        deployer = ProgramDeployer(program, self.platform, lambda _: self.next, self._read, self.platform)
        prober = FakeProber(cast("FakeClock", self.clock))
        world = World(self.platform, deployer, prober, cast("Any", NoLogs()), self.clock)
        observer = Observer(self.ref, world, (SCENARIO,))
        return Engine(observer, world, driver=name, rhythm=Rhythm(2 * SECOND, look=SECOND / 50))

    @property
    def _read(self) -> Callable[[Settings], Any]:
        return partial(read, channel=self.cloud.channel)

    def wish(self, **changes: Any) -> Wish:
        probing = Probing(SECOND / 10, 1, 1)
        return a_wish(
            self.candidate, ref=self.ref, image="good", criteria=(), probing=probing,
            stages=stages(0, 5, 50, 100, soak=0), **changes,
        )  # fmt: skip

    def start(self, engine: Engine, **options: Any) -> Outcome | None:
        ended = Start(engine, engine._world, self.wish(), **options)()
        return ended.outcome if ended else None

    # -- how far the rollout is ----------------------------------------------------------------------------------------

    def reach(self, stage: str) -> Engine:
        """Begin it and drive it there; its driver, who may go on."""
        driver = self.engine("host/1")
        assert self.start(driver) is None
        if stage == "promoted":
            assert driver.run() is Outcome.PROMOTED
        else:
            percent = 5 if stage == "rolled back" else int(stage)
            give_up = self.clock.now() + 60 * SECOND
            while self.share < percent or not self.rollout.arrived or self.rollout.phase is Phase.DEPLOYING:
                assert self.clock.now() < give_up
                self._step(driver)
        if stage == "rolled back":
            self._roll_back()
        return driver

    def apply(self, stage: str, hand: str) -> Engine:
        """The stage's apply, with the hand in its last moment; the rollout's driver."""
        if stage in BARE:
            driver = self.reach(stage)
            self._arm(hand)
            told = self.bare(self.channel, self.another("3"))
            assert ("while the Pulumi program was applied" in told) == self.has_written
            return driver
        program = self.apply_through(self.channel)
        driver = self.engine("host/1", program if stage == "deploying" else Dying(program.lasts))
        assert self.start(driver) is None
        if stage == "taken over":
            with pytest.raises(Killed):
                driver.tick()
            driver = self.engine("host/2", program)
            assert self.start(driver, is_dead=lambda _: True) is None
        self._arm(hand)
        while self.acted != hand:
            self._step(driver)
        return driver

    def _step(self, driver: Engine) -> None:
        upcoming = driver.tick()
        self.clock.sleep(max(timedelta(0), min(upcoming.at - self.clock.now(), SECOND / 10)))

    # -- hands ---------------------------------------------------------------------------------------------------------

    def _arm(self, hand: str) -> None:
        def act() -> None:
            self.shares.append(self.share)
            before = self.live.generation
            {"roll-back": self._roll_back_and_stay, "split": self._split, "another run": self._run}[hand]()
            self.shares.append(self.share)
            self.acted, self.has_written = hand, self.live.generation > before

        self.moment.hand = act

    def _roll_back_and_stay(self) -> None:
        """Returns when it was told that traffic is back; the command itself may stay longer."""
        told = threading.Event()

        def hear(event: RolloutEvent) -> None:
            if isinstance(event, RolledBack):
                told.set()

        thread = threading.Thread(target=partial(self._roll_back, hear))
        thread.start()
        self.threads.append(thread)
        assert told.wait(60)

    def _roll_back(self, listen: Callable[[RolloutEvent], None] = lambda _: None) -> None:
        cause = Cause("felt wrong", "ada", by_hand=True)
        assert restore(self.platform, self.clock, self.ref, cause, listen=listen).verified

    def _split(self) -> None:
        live = self.live
        split = Split((Target(self.stable, 70, STABLE_TAG), Target(self.theirs, 30, "theirs")))
        self.platform.write(self.ref, etag=live.etag, annotations=live.annotations, split=split)
        assert self.live.wanted.shares_with(split)

    def _run(self) -> None:
        """Another process: it drives the rollout on, begins one where none is under way, or is told that it may not."""
        rival = self.engine("host/rival")
        current = self.rollout
        if current.phase is Phase.DEPLOYING:
            writes = self.live.generation
            begun = self.clock.now()
            rival.stop = lambda: self.clock.now() - begun > 3 * SECOND
            self.start(rival, is_dead=lambda _: False)
            rival.run()
            assert self.live.generation == writes, "it waits until the apply is over"
        elif current.phase in ENDED:
            self.next = self.another("4")
            again = replace(self.wish(), candidate=self.name_of(self.next), fingerprint="another")
            assert Start(rival, rival._world, again)() is None
        else:
            promote(rival, self.clock, to_percent=self.share + 1, reason="it is fine", by="ada")

    # -- afterwards ----------------------------------------------------------------------------------------------------

    def end(self, driver: Engine) -> Outcome:
        """Everybody who was there goes on until he ends, a while at most."""
        for thread in self.threads:
            thread.join(90)
            assert not thread.is_alive()
        self.shares.append(self.share)
        try:
            outcome = driver.run(until=self.clock.now() + 60 * SECOND)
        except (PlanRefused, AnotherRunAlive):
            outcome = Outcome.UNDER_WAY
        self.shares.append(self.share)
        return outcome


def holds(case: Beside, stage: str, hand: str) -> None:
    """The claim of the whole matrix, for one of its cases."""
    driver = case.apply(stage, hand)
    decided = max(case.shares)  # before the hand, and by it
    outcome = case.end(driver)
    live, current = case.live, case.rollout
    after = case.shares[2:]
    is_undisturbed = stage in ("deploying", "taken over") and hand == "another run"
    assert is_undisturbed or max(after) <= decided, "nobody decided on more"
    if hand == "roll-back":
        assert live.wanted.serving == {case.stable: 100}
        assert (current.phase, current.by_hand) == (Phase.ROLLED_BACK, True)
    elif is_undisturbed:
        assert outcome is Outcome.PROMOTED, "nobody disturbed it"
    elif current.phase not in ENDED:
        assert current.phase is Phase.PAUSED
        assert current.drift
