"""When a rollout can be promoted at the earliest: what is told beforehand is what virtual time then takes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.app import who_counts
from pipeline.core import plan
from pipeline.core.earliest import Leg, legs
from pipeline.judging.terms import Criterion, Sampling
from pipeline.model import Outcome
from tests.rollouts import SECOND, Scene, a_wish, stages

SAMPLING = Sampling(
    block=30 * SECOND, within=10 * SECOND, lateness=10 * SECOND, warm_up=30 * SECOND, min_trials=50
)


def made(rate: float | None, certification: dict[str, int] | None = None, **terms: object) -> tuple[Leg, ...]:
    wish = a_wish(**{"sampling": SAMPLING, "stages": stages(0, 5, 50, 100, soak=60), **terms})
    return legs(plan.first(wish), rate, certification or {})


def test_without_a_rate_a_stage_takes_its_soak_or_one_block() -> None:
    assert made(None) == (
        Leg(0, 0 * SECOND),
        Leg(5, 80 * SECOND, 50),
        Leg(50, 80 * SECOND, 50),
        Leg(100, 80 * SECOND, 50),
    )
    assert made(None, stages=stages(0, 5, 100, soak=600))[1] == Leg(5, 600 * SECOND)


def test_a_small_share_takes_as_many_blocks_as_its_runs_need() -> None:
    # 1 run a second, 5 % of it on the candidate: 50 runs in 1000 s, 34 blocks of 30 s
    assert made(1.0)[1] == Leg(5, timedelta(seconds=30 + 34 * 30 + 20), 50)
    assert made(100.0)[1] == Leg(5, 80 * SECOND, 50)


def test_the_last_stage_waits_for_what_is_still_to_be_certified() -> None:
    short, long = made(1.0, {"agent_completed": 0})[-1], made(1.0, {"agent_completed": 3000})[-1]
    assert short.takes < long.takes
    before = sum((leg.takes - 50 * SECOND).total_seconds() * leg.percent / 100 for leg in made(1.0)[1:-1])
    assert long.runs == 3000 - int(before)


def test_where_nobody_counts_users_it_is_the_soak() -> None:
    only = made(1.0, criteria=(Criterion("container_exits"),))
    assert [leg.takes for leg in only] == [0 * SECOND, 60 * SECOND, 60 * SECOND, 60 * SECOND]


@pytest.mark.parametrize("per_second", [2.0, 10.0])
def test_what_is_told_is_what_it_takes(per_second: float) -> None:
    """By the runs that stable had before, as ``plan`` counts them; the probes and the writes come on top."""
    scene, wish = Scene(), a_wish()
    scene.users.per_second = per_second
    scene.clock.sleep(who_counts.LOOKS_BACK)
    proposal = plan.make(wish, scene.live, scene.platform.revisions(wish.ref), None)
    met = who_counts.look(scene.world, wish, proposal)
    assert met.rate == pytest.approx(per_second, rel=0.1)
    told = sum(
        leg.takes.total_seconds() for leg in legs(proposal.plan, met.rate, proposal.certification_trials())
    )
    began = scene.clock.now()
    assert scene.roll(wish) is Outcome.PROMOTED
    took = (scene.clock.now() - began).total_seconds()
    assert 0.8 * told <= took <= 2.0 * told + 60, (told, took)
