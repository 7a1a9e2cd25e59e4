"""Whole rollouts in which the platform's words, or the lack of lines, decide: nothing bad is promoted."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pipeline.judging.terms import Criterion
from pipeline.model import LogLine, Outcome
from tests.rollouts import CANDIDATE, SECOND, STABLE, Scene, a_wish

EXITS = Criterion("container_exits")
COMPLETED = Criterion("agent_completed", limit=0.05)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("every", [3.0, 7.0])
def test_a_crash_loop_between_the_conversations_is_not_promoted(scene: Scene, every: float) -> None:
    """Each container ends with 0, and none of the runs fails: what nobody met is in the platform's words alone."""
    scene.users.exits_every[CANDIDATE] = every
    outcome = scene.roll(a_wish(criteria=(COMPLETED, EXITS)))
    assert outcome in (Outcome.ROLLED_BACK, Outcome.STOPPED_AT_ZERO, Outcome.PAUSED)
    assert "exit" in scene.rollout.reason


def test_a_crash_loop_is_not_promoted_where_there_are_only_probes(scene: Scene) -> None:
    scene.users.per_second = 0
    scene.users.exits_every[CANDIDATE] = 3.0
    assert scene.roll(a_wish(criteria=(EXITS,), evidence="probes")) is Outcome.PAUSED
    assert "exited unasked" in scene.rollout.reason
    assert scene.rollout.split.percent_of(CANDIDATE) < 100


def test_a_healthy_candidate_is_promoted_where_there_are_only_probes(scene: Scene) -> None:
    scene.users.per_second = 0
    assert scene.roll(a_wish(criteria=(EXITS,), evidence="probes")) is Outcome.PROMOTED


def test_a_candidate_whose_runs_all_fail_is_not_promoted_because_stables_lines_stay_away(
    scene: Scene,
) -> None:
    scene.users.failing[CANDIDATE] = 1.0
    scene.users.silent.add(STABLE)
    made = a_wish(criteria=(Criterion("agent_completed"),))
    assert scene.roll(made) is Outcome.PAUSED
    assert scene.rollout.split.percent_of(CANDIDATE) < 100


def test_logs_are_searched_once_a_look_for_all_splits_and_both_arms(scene: Scene) -> None:
    scene.reach(25)
    searches: list[set[str]] = []
    ask = scene.users.lines

    class Counting:
        def lines(self, ref: object, *, since: object, revisions: object) -> list[LogLine]:
            searches.append(set(revisions))  # type: ignore[call-overload]
            return list(ask(ref, since=since, revisions=revisions))  # type: ignore[arg-type]

    observer = scene.engine().observer
    observer._world = replace(scene.world, logs=Counting())  # type: ignore[arg-type]
    for looks in range(1, 8):
        scene.clock.sleep(SECOND)
        observer.look(probe=False)
        assert len(searches) <= looks
    assert {frozenset(each) for each in searches} == {frozenset({CANDIDATE, STABLE})}
