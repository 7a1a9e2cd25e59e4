"""An apply of the program without an etag: nobody of ours writes beside it but a roll-back, which stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pipeline.core.rollout import Phase
from pipeline.driving.engine import Engine
from pipeline.driving.restore import Cause, restore
from pipeline.errors import PlatformError, PlatformUnavailable, StaleWrite
from pipeline.model import LiveService, Outcome, ServiceRef
from tests.fakes import REF
from tests.rollouts import CANDIDATE, SECOND, STABLE, Scene

LASTS = timedelta(minutes=2)


class Killed(BaseException):
    """The driver is gone in the middle of its apply."""


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.deployer.lasts = LASTS
    return made


def roll_back(scene: Scene) -> bool:
    return restore(scene.platform, scene.clock, REF, Cause("felt wrong", "ada", by_hand=True)).verified


def kill(scene: Scene, driver: Engine | None = None) -> None:
    """A driver is killed while it applies; the apply has not come to its write."""

    def die() -> None:
        scene.deployer.within = lambda: None
        raise Killed

    scene.deployer.within = die
    with pytest.raises(Killed):
        scene.roll(engine=driver or scene.engine("host/dead"))


def test_the_record_says_until_when_before_the_apply(scene: Scene) -> None:
    seen = []
    scene.deployer.within = lambda: seen.append(scene.rollout.apply_until)
    assert scene.roll() is Outcome.PROMOTED
    assert [until and until - scene.rollout.started for until in seen] == [LASTS]
    assert scene.rollout.apply_until is None


def test_an_apply_that_goes_by_an_etag_costs_no_write() -> None:
    scene = Scene()
    assert scene.roll() is Outcome.PROMOTED
    steps = [write for write in scene.platform.writes if write[0] is None]
    other = Scene()
    other.deployer.lasts = LASTS
    assert other.roll() is Outcome.PROMOTED
    assert len([write for write in other.platform.writes if write[0] is None]) == len(steps) + 1


def test_the_next_run_waits_for_it_though_its_driver_is_dead(scene: Scene) -> None:
    kill(scene)
    until = scene.rollout.apply_until
    assert until is not None
    writes = len(scene.platform.writes)
    scene.begin(engine=scene.engine("host/next"), is_dead=lambda _: True)  # type: ignore[arg-type]
    assert len(scene.platform.writes) == writes
    assert scene.clock.now() >= until
    assert any("may still be applying" in words for words in scene.said)
    assert scene.roll(engine=scene.engine("host/next")) is Outcome.PROMOTED
    assert scene.deployer.deployed == [CANDIDATE]


def test_one_that_ends_with_its_driver_is_not_waited_for_once_that_is_dead(scene: Scene) -> None:
    scene.deployer.outlives = False
    kill(scene)
    begun = scene.clock.now()
    scene.begin(engine=scene.engine("host/next"), is_dead=lambda _: True)  # type: ignore[arg-type]
    assert scene.clock.now() - begun < 5 * SECOND


def test_its_candidate_ends_the_wait(scene: Scene) -> None:
    kill(scene)
    begun = scene.clock.now()

    def land() -> None:
        scene.platform.add(CANDIDATE)
        scene.platform.foreign_write(latest_created=CANDIDATE)

    scene.clock.at(scene.clock.seconds + 15, land)
    scene.begin(engine=scene.engine("host/next"))
    assert scene.clock.now() - begun < timedelta(minutes=1)


def test_another_step_meanwhile_writes_nothing(scene: Scene) -> None:
    stepped = []

    def step() -> None:
        before = len(scene.platform.writes)
        upcoming = scene.engine("host/rival").tick()
        stepped.append((upcoming.at, len(scene.platform.writes) - before))

    scene.deployer.within = step
    assert scene.roll(engine=scene.engine("host/first")) is Outcome.PROMOTED
    assert [(at - scene.rollout.started, writes) for at, writes in stepped] == [(LASTS, 0)]


def test_single_steps_of_processes_that_end_deploy_it(scene: Scene) -> None:
    """A scheduler's: whoever says until when must apply, since the next one would wait for it."""
    scene.start(engine=scene.engine("host/0"))
    for number in range(1, 4):
        scene.engine(f"host/{number}").tick()
        scene.clock.sleep(SECOND)
    assert scene.deployer.deployed == [CANDIDATE]
    assert scene.rollout.phase is Phase.ROLLING


def test_an_apply_that_failed_leaves_nothing_to_wait_for(scene: Scene) -> None:
    def fail() -> None:
        scene.deployer.within = lambda: None
        raise PlatformError("pulumi up failed")

    scene.deployer.within = fail
    with pytest.raises(PlatformError):
        scene.roll(engine=scene.engine("host/1"))
    assert scene.rollout.phase is Phase.DEPLOYING
    assert scene.rollout.apply_until is None
    begun = scene.clock.now()
    assert scene.start(engine=scene.engine("host/2"), is_dead=lambda _: True) is None  # type: ignore[arg-type]
    assert scene.clock.now() - begun < 5 * SECOND


def test_one_that_was_left_behind_at_a_signal_is_waited_for(scene: Scene) -> None:
    engine = scene.engine("host/1")

    def stop() -> None:
        engine.stop = lambda: True
        raise PlatformError("pulumi was told to end, and goes on")

    scene.deployer.within = stop
    with pytest.raises(PlatformError):
        scene.roll(engine=engine)
    assert scene.rollout.apply_until is not None


@pytest.mark.parametrize("lag_s", [0, 5])
def test_a_write_between_its_read_and_its_own_is_drift(scene: Scene, lag_s: int) -> None:
    scene.platform.lag = lag_s * SECOND
    scene.deployer.within = scene.platform.foreign_write
    assert scene.roll() is Outcome.PAUSED
    assert "while the program was applied" in scene.rollout.drift
    assert scene.shares[-1] == 0


def test_an_apply_that_says_so_itself_does_not_hide_it(scene: Scene) -> None:
    """It complains, and a write of ours on top would be the newest: then nobody sees what was below."""
    make = scene.deployer.deploy

    def complains(ref: ServiceRef, *, image: str, revision: str) -> None:
        make(ref, image=image, revision=revision)
        raise StaleWrite("the service was changed while the Pulumi program was applied")

    scene.deployer.within = scene.platform.foreign_write
    scene.deployer.deploy = complains  # type: ignore[method-assign]
    assert scene.roll() is Outcome.PAUSED
    assert "while the program was applied" in scene.rollout.drift
    assert scene.shares[-1] == 0


@pytest.mark.parametrize("lands_after_s", [0.5, 10, 110])
def test_a_roll_back_meanwhile_is_what_stands(scene: Scene, lands_after_s: float) -> None:
    """The apply has read; an operator rolls back; the apply writes what it had read; its driver goes on."""
    driver = scene.engine("host/dead")
    kill(scene, driver)
    read = scene.live

    def land() -> None:
        scene.platform.add(CANDIDATE)
        scene.platform.foreign_write(
            split=read.wanted, annotations=read.annotations, latest_created=CANDIDATE
        )

    scene.clock.at(scene.clock.seconds + lands_after_s, land)
    assert roll_back(scene)
    assert CANDIDATE in scene.platform.known
    assert (scene.rollout.phase, scene.rollout.by_hand) == (Phase.ROLLED_BACK, True)
    outcome = driver.run(until=scene.clock.now() + timedelta(minutes=5))
    assert outcome is Outcome.ROLLED_BACK_BY_HAND
    assert scene.live.wanted.serving == {STABLE: 100}


def test_a_roll_back_that_is_undone_and_not_seen_again_is_not_called_seen(scene: Scene) -> None:
    kill(scene)
    before, read = scene.live, scene.platform.read

    def land() -> None:
        scene.platform.add(CANDIDATE)
        scene.platform.foreign_write(
            split=before.wanted, annotations=before.annotations, latest_created=CANDIDATE
        )
        write = scene.platform.write

        def last_write(*args: Any, **options: Any) -> Any:
            scene.platform.read = unreachable  # type: ignore[method-assign]
            return write(*args, **options)

        scene.platform.write = last_write  # type: ignore[method-assign]

    def unreachable(ref: ServiceRef) -> LiveService:
        raise PlatformUnavailable("read the service: unreachable")

    scene.clock.at(scene.clock.seconds + 10, land)
    assert not roll_back(scene)
    scene.platform.read = read  # type: ignore[method-assign]


def test_a_roll_back_beside_an_apply_that_never_comes_ends(scene: Scene) -> None:
    kill(scene)
    until = scene.rollout.apply_until
    assert roll_back(scene)
    assert until is not None
    assert scene.clock.now() - until < 5 * SECOND


def test_a_roll_back_that_waits_long_leaves_others_their_quota(scene: Scene) -> None:
    kill(scene)
    read, reads = scene.platform.read, []

    def counted(ref: ServiceRef) -> LiveService:
        reads.append(scene.clock.now())
        return read(ref)

    scene.platform.read = counted  # type: ignore[method-assign]
    begun = scene.clock.now()
    assert roll_back(scene)
    minutes = (scene.clock.now() - begun) / timedelta(minutes=1)
    assert minutes > 1
    assert len(reads) / minutes < 45


def test_a_roll_back_without_an_apply_ends_at_once(scene: Scene) -> None:
    scene.reach(5)
    begun = scene.clock.now()
    assert roll_back(scene)
    assert scene.clock.now() - begun < 5 * SECOND
