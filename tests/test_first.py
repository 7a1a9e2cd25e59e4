"""The very first deployment: one answer, however often it is asked for."""

from __future__ import annotations

import pytest

from pipeline.errors import FirstDeploymentFailed, SpillwayError
from pipeline.model import Outcome, Readiness
from tests.rollouts import CANDIDATE, Scene, a_wish


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.platform.live = None
    made.platform.known.clear()
    return made


def test_unhealthy_stays_unhealthy_in_command_and_record(scene: Scene) -> None:
    scene.prober.failing.add("http://main")
    for _ in range(3):
        assert scene.start() is Outcome.FIRST_DEPLOYMENT_UNHEALTHY
    assert Outcome.FIRST_DEPLOYMENT_UNHEALTHY.exit_code == 17
    assert scene.rollout.outcome is Outcome.FIRST_DEPLOYMENT_UNHEALTHY
    assert "12/12 probe conversations failed: closed_early" in scene.rollout.reason
    assert len(scene.prober.rounds) == 1


def test_a_conversation_that_fails_once_makes_nothing_unhealthy(scene: Scene) -> None:
    scene.prober.stumbles["http://main"] = [3]  # the first two warm it up
    assert scene.start() is Outcome.FIRST_DEPLOYMENT
    assert "1/31 probe conversations failed: closed_early" in scene.rollout.reason
    assert [ask.warm_up for ask in scene.prober.rounds] == [True] + [False] * (len(scene.prober.rounds) - 1)


def test_one_conversation_in_two_that_fails_is_unhealthy(scene: Scene) -> None:
    scene.prober.stumbles["http://main"] = list(range(1, 1000, 2))
    assert scene.start() is Outcome.FIRST_DEPLOYMENT_UNHEALTHY


def test_one_whose_conversations_cannot_be_held_is_not_called_unhealthy(scene: Scene) -> None:
    scene.prober.unspoken_after["http://main"] = 3
    with pytest.raises(SpillwayError, match="is not judged: a conversation cannot be held") as told:
        scene.start()
    assert told.value.exit_code == 1
    assert told.value.why == "framing a:B failed in decode: KeyError"
    scene.prober.unspoken_after.clear()
    assert scene.start() is Outcome.FIRST_DEPLOYMENT


def test_it_is_probed_again_when_it_is_retried(scene: Scene) -> None:
    scene.prober.failing.add("http://main")
    scene.start()
    scene.prober.failing.clear()
    assert scene.start(retry=True) is Outcome.FIRST_DEPLOYMENT
    assert (scene.rollout.attempt, scene.rollout.epoch) == (2, 2)
    assert scene.deployer.deployed == [CANDIDATE]


def test_one_that_never_gets_ready_is_the_same_failure_each_time(scene: Scene) -> None:
    scene.deployer.readiness, scene.deployer.message = Readiness.FAILED, "it listens on 8080, not on $PORT"
    for _ in range(2):
        with pytest.raises(FirstDeploymentFailed) as told:
            scene.start()
        assert told.value.exit_code == 17
        assert "8080" in told.value.why
    assert scene.deployer.deployed == [CANDIDATE]


def test_killed_before_its_record_it_begins_again_and_makes_nothing_twice(scene: Scene) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    scene.platform.before_write = die
    with pytest.raises(KeyboardInterrupt):
        scene.start()
    scene.platform.before_write = lambda: None
    assert scene.start() is Outcome.FIRST_DEPLOYMENT
    assert scene.deployer.deployed == [CANDIDATE]


def test_told_to_stop_it_does_not_wait_for_a_revision_that_hangs(scene: Scene) -> None:
    scene.deployer.readiness = Readiness.PENDING
    engine = scene.engine()
    begun = scene.clock.now()
    engine.stop = lambda: (scene.clock.now() - begun).total_seconds() > 5
    assert scene.start(engine=engine) is Outcome.UNDER_WAY
    assert (scene.clock.now() - begun).total_seconds() < 8


def test_the_next_image_is_held_against_it_in_stages(scene: Scene) -> None:
    scene.start()
    assert scene.roll(a_wish("agent-chat-2")) is Outcome.PROMOTED
    assert scene.rollout.plan.stable == CANDIDATE


def test_the_first_deployment_is_ungated_and_probed_at_once() -> None:
    scene = Scene()
    scene.platform.live = None
    scene.platform.known.clear()
    assert scene.start() is Outcome.FIRST_DEPLOYMENT
    assert scene.live.serving.serving == {CANDIDATE: 100}
    assert len(scene.prober.rounds) == 1
    again = scene.start()
    assert again is Outcome.FIRST_DEPLOYMENT
    assert len(scene.prober.rounds) == 1


def test_the_mended_image_is_not_held_back_by_the_bad_one_before_it(scene: Scene) -> None:
    scene.prober.failing |= {"http://main", "http://stable"}
    assert scene.start() is Outcome.FIRST_DEPLOYMENT_UNHEALTHY
    assert scene.roll(a_wish("agent-chat-2")) is Outcome.PROMOTED
    assert scene.live.serving.serving == {"agent-chat-2": 100}
