"""Records with a wrong hour or a wrong figure, drivers that look slowly, answers that are not read back."""

from __future__ import annotations

import json
import signal
from datetime import timedelta

import pytest

from pipeline.core import record
from pipeline.driving import restore
from pipeline.driving.pace import Rhythm
from pipeline.driving.promote import promote
from pipeline.errors import AnotherRunAlive, PlanRefused, RecordUnreadable, SpillwayError
from pipeline.model import RECORD_ANNOTATION, Outcome, Split
from tests.fakes import REF
from tests.rollouts import CANDIDATE, SECOND, STABLE, Scene


def _edited(scene: Scene, *path: object, to: object) -> Scene:
    """The record with one value replaced, in a service as otherwise."""
    body = json.loads(scene.live.record_text or "")
    at = body
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    scene.platform.foreign_write(annotations={**scene.live.annotations, RECORD_ANNOTATION: json.dumps(body)})
    return scene


def test_promoted_is_answered_only_when_read_back() -> None:
    scene = Scene()
    assert scene.roll() is Outcome.PROMOTED
    back = Split.between(STABLE, CANDIDATE, 0, scene.live.wanted.targets)
    scene.platform.foreign_write(split=back)
    scene.clock.sleep(timedelta(minutes=10))
    scene.platform.lag = timedelta(minutes=2)
    scene.platform.foreign_write(split=Split.between(CANDIDATE, None, 0, scene.live.wanted.targets))
    assert scene.platform.served().serving == {STABLE: 100}
    try:
        ended = scene.begin()
    except SpillwayError:
        return
    assert (
        ended is None or ended.outcome.exit_code != 0 or scene.platform.served().serving == {CANDIDATE: 100}
    )


def test_a_tick_does_not_say_promoted_of_what_has_lost_its_traffic() -> None:
    scene = Scene()
    scene.roll()
    scene.platform.foreign_write(split=Split.between(STABLE, CANDIDATE, 0, scene.live.wanted.targets))
    try:
        upcoming = scene.engine("tick/1").tick()
    except SpillwayError:
        return
    assert upcoming.outcome is not Outcome.PROMOTED


@pytest.mark.parametrize("offset", [0.05, 0.1, 0.3])
def test_a_driver_that_beats_is_never_taken_for_dead(offset: float) -> None:
    """Looks of 0.7 s, as in a cloud: beats come a heartbeat and a look apart."""
    scene = Scene()
    driver = scene.driver
    driver.rhythm = Rhythm(heartbeat=SECOND * 20, look=SECOND)
    scene.reach(5, driver)
    scene.users.unreadable = True  # held where it is; the driver lives and beats
    epoch = scene.rollout.epoch
    while True:  # up to right after a beat
        driver.tick()
        if scene.rollout.epoch >= epoch + 2:
            break
        scene.clock.sleep(SECOND * 0.7)
    for beat in range(1, 100):
        scene.clock.at(scene.clock.seconds + offset + beat * 0.7, driver.tick)
    other = scene.engine("other/2")
    other.rhythm = driver.rhythm
    with pytest.raises(AnotherRunAlive):
        scene.begin(engine=other)


@pytest.mark.parametrize(
    ("path", "value"),
    [(("plan", "terms", "criteria", 0, "metric"), "no-such"), (("plan", "terms", "criteria", 0, "limit"), 2),
     (("plan", "terms", "criteria", 0, "limit"), 10**30)],
)  # fmt: skip
def test_a_record_that_cannot_be_judged_by_is_unreadable(path: tuple[object, ...], value: object) -> None:
    scene = Scene()
    scene.reach(25)
    _edited(scene, *path, to=value)
    with pytest.raises(RecordUnreadable):
        scene.engine("fresh/1").tick()


def test_a_stage_that_began_long_ago_hangs_nobody() -> None:
    scene = Scene()
    scene.reach(25)
    _edited(scene, "since", to="1970-01-01T00:00:00+00:00")
    scene.clock.sleep(SECOND)

    def late(*_: object) -> None:
        pytest.fail("still looking after 10 s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    try:
        scene.engine("fresh/1").tick()
    except SpillwayError:
        pass
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_a_weekend_without_a_driver_costs_seconds() -> None:
    """A runner died on Friday at 25 %; who looks on Monday gets an answer."""
    scene = Scene()
    scene.reach(25)
    scene.users.per_second = 0.05
    scene.clock.sleep(timedelta(days=3))

    def late(*_: object) -> None:
        pytest.fail("still looking after 20 s")

    before = signal.signal(signal.SIGALRM, late)
    scene.users.lines(
        REF, since=scene.clock.now(), revisions=()
    )  # their conversations are not what is measured
    signal.alarm(20)
    try:
        scene.engine("fresh/1").observer.look(probe=False)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_promote_with_a_reason_goes_on_where_stable_fails_its_probe() -> None:
    """What the refusal without a reason tells the operator to do."""
    scene = Scene()
    scene.reach(5)
    scene.prober.failing = {"http://stable"}
    for _ in range(60):
        scene.driver.tick()
        scene.clock.sleep(SECOND)
    assert scene.live.wanted.percent_of(CANDIDATE) == 5
    with pytest.raises(PlanRefused) as told:
        promote(scene.driver, scene.clock, to_percent=None, reason="", by="me")
    assert "spillway promote --to-percent 25 --reason TEXT" in told.value.fix
    promote(scene.driver, scene.clock, to_percent=25, reason="I know", by="me")
    assert scene.live.wanted.percent_of(CANDIDATE) > 5


def test_what_holds_a_stage_is_told() -> None:
    """Not only "next: when the gates pass" over gates that have passed."""
    scene = Scene()
    scene.reach(5)
    scene.prober.failing = {"http://stable"}
    for _ in range(60):
        upcoming = scene.driver.tick()
        scene.clock.sleep(SECOND)
    assert "stable" in upcoming.why or "probe" in upcoming.why
    told = " ".join([p.text for p in scene.told[-30:]] + [str(scene.rollout.last), scene.rollout.reason])
    assert "nothing to go back to" in told


def test_a_roll_back_leaves_a_record_that_can_be_read() -> None:
    scene = Scene()
    scene.reach(25)
    _edited(scene, "judge", "compared", "agent_completed", 7, to="NaN")
    done = restore.restore(scene.platform, scene.clock, REF, restore.Cause("x", "me", True))
    assert done.verified
    record.of(scene.live)
