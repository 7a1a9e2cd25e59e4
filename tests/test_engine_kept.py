"""The engine: what is kept from one write to the next, and what is not taken over."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

from msgspec.structs import replace

from pipeline.core import record
from pipeline.driving.pace import Rhythm
from pipeline.driving.promote import promote
from pipeline.model import RECORD_ANNOTATION, Outcome, Split, Target
from pipeline.probe.probe_report import ProbeReport
from tests.fakes import REF, FakeProber
from tests.rollouts import CANDIDATE, STABLE, Scene, a_wish, stages

METRIC = "server_error_1011"


def runs_between(scene: Scene, begin: datetime, end: datetime) -> int:
    """Agent runs of users that began on the candidate."""
    lines = scene.users.lines(REF, since=begin, revisions=(CANDIDATE,))
    started = [line.payload["started"] for line in lines if line.payload.get("event") == "agent_run"]
    return sum(begin.timestamp() <= at < end.timestamp() for at in started)  # type: ignore[operator]


def test_every_users_run_on_the_candidate_is_judged_once() -> None:
    scene = Scene()
    assert scene.roll() is Outcome.PROMOTED
    state, plan = scene.rollout.judge, scene.rollout.plan
    begin = next(step.at for step in scene.rollout.history if step.percent == 5)
    assert state.seen[0] == scene.rollout.split_epoch
    end = scene.rollout.since + (state.seen[1] + 1) * plan.terms.sampling.block
    assert state.total[METRIC].candidate_trials == runs_between(scene, begin, end)
    whole = (
        scene.rollout.since + plan.terms.sampling.block
    )  # the block in which it arrived counts for the rollout alone
    assert state.stage[METRIC].candidate_trials == runs_between(scene, whole, end)


def test_a_heartbeat_keeps_what_was_seen_since_the_last_one() -> None:
    scene = Scene()
    scene.reach(5)
    while METRIC not in scene.rollout.judge.stage:
        scene.driver.tick()
        scene.clock.sleep(timedelta(seconds=1))
    assert scene.live.wanted.percent_of(CANDIDATE) == 5, "it was a heartbeat that wrote it"
    kept = scene.rollout.judge
    assert kept.probes.ok > 0
    assert kept.stage[METRIC].candidate_trials > 0
    scene.users.unreadable = True  # another process has the record alone
    assert scene.engine("host/2").observer.look(probe=False).judge == kept


def test_between_two_heartbeats_there_is_room_for_a_slow_look() -> None:
    """Another run watches for one whole period before it takes over."""
    scene = Scene()
    scene.users.per_second = 0.01  # nothing moves it on
    assert scene.roll() is Outcome.PAUSED
    beats = [p.at for p in scene.told if p.kind == "wrote"]
    longest = max(later - earlier for earlier, later in itertools.pairwise(beats))
    assert longest <= Rhythm().heartbeat / 2 + timedelta(seconds=2)


class _HangingProber(FakeProber):
    """From some moment on no round ends."""

    hangs = False

    @property
    def is_busy(self) -> bool:
        return self.hangs and self._done is not None

    def poll(self) -> ProbeReport | None:
        return None if self.hangs else super().poll()


def test_a_round_that_never_ends_keeps_no_driver_silent() -> None:
    scene = Scene()
    scene.prober = prober = _HangingProber(scene.clock)
    scene.reach(5)
    scene.driver.tick()
    prober.hangs = True
    begun = scene.clock.now()
    while scene.clock.now() - begun < timedelta(minutes=3):
        scene.driver.tick()
        scene.clock.sleep(timedelta(seconds=1))
        assert scene.clock.now() - scene.rollout.heartbeat < Rhythm().heartbeat + timedelta(seconds=5)


def test_a_pause_keeps_what_was_seen() -> None:
    scene = Scene()
    assert scene.roll(a_wish(stages=stages(0, 5, 100, hold_at=5))) is Outcome.PAUSED
    kept, sampling = scene.rollout.judge, scene.rollout.plan.terms.sampling
    assert kept.probes.ok > 0
    assert kept.stage[METRIC].candidate_trials >= 10
    decided = scene.rollout.heartbeat - sampling.within - sampling.lateness - scene.rollout.since
    assert kept.seen == (scene.rollout.split_epoch, decided // sampling.block - 1)


def test_a_candidate_that_was_made_again_inherits_no_evidence() -> None:
    scene = Scene()
    scene.reach(25)
    assert scene.rollout.judge.total[METRIC].candidate_trials > 0
    scene.platform.known[CANDIDATE] = replace(scene.platform.known[CANDIDATE], uid="another")
    assert scene.driver.run() is Outcome.PAUSED
    promote(scene.driver, scene.clock, to_percent=None, reason="the new one is what we want", by="ada")
    assert scene.rollout.candidate_uid == "another"
    assert scene.rollout.judge.total == {}
    assert scene.rollout.spans == ()


def test_a_heartbeat_from_the_future_keeps_no_driver_silent() -> None:
    scene = Scene()
    scene.reach(5)
    later = record.utc(scene.clock.now() + timedelta(hours=3))
    text = record.encode(replace(scene.rollout, heartbeat=later))
    scene.platform.live = replace(scene.live, annotations={RECORD_ANNOTATION: text})
    for _ in range(3):
        scene.driver.tick()
        scene.clock.sleep(timedelta(seconds=1))
    assert scene.rollout.heartbeat <= scene.clock.now()


def test_a_roll_back_keeps_other_peoples_tags() -> None:
    scene = Scene()
    scene.platform.foreign_write(split=Split((Target(STABLE, 100), Target(STABLE, 0, "green"))))
    scene.users.failing[CANDIDATE] = 0.5
    assert scene.roll() is Outcome.ROLLED_BACK
    assert scene.live.wanted.tagged("green") == STABLE
    assert scene.live.wanted.tagged("candidate") == CANDIDATE  # so that it can be looked at
