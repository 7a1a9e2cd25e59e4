"""Whoever is refused because another rollout is under way reads which key makes it another one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipeline.core import plan
from pipeline.core.differs import differences
from pipeline.core.plan import Wish
from pipeline.errors import PlanRefused
from pipeline.judging.terms import Criterion, Probing, Terms, Verification
from tests.rollouts import Scene, a_wish, stages

WISH = a_wish()
THEIRS = plan.first(WISH)
FIRST = WISH.terms.criteria[0]


def changed(**terms: object) -> Wish:
    return replace(WISH, terms=replace(WISH.terms, **terms))


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (replace(WISH, image="other@sha256:1"), f"Its image is {WISH.image}; yours is other@sha256:1."),
        (changed(stages=stages(0, 5, 50, 100)), "its stages.2.percent is 25, yours is 50"),
        (changed(stages=stages(0, 5, 25, 100, soak=60)), "its stages.1.soak is 20s, yours is 1m"),
        (changed(stages=stages(0, 100)), "its stages.2 is 25%, yours is not there"),
        (changed(criteria=(replace(FIRST, limit=0.05), *WISH.terms.criteria[1:])), "criteria.server_error_1011.limit is 1%, yours is 5%"),
        (changed(criteria=(*WISH.terms.criteria, Criterion("first_event"))), "criteria.first_event is not there, yours is there"),
        (changed(verify=(Verification("load"),)), "its verify.load is not there, yours is there"),
        (changed(scenarios=("agent-run", "realtime")), "its scenarios is agent-run, yours is agent-run, realtime"),
        (changed(probing=Probing(timedelta(seconds=7), 2, 2)), "its probes.every is 5s, yours is 7s"),
        (changed(sampling=replace(WISH.terms.sampling, min_trials=99)), "its evidence.min-trials is 10, yours is 99"),
        (changed(alpha=0.01), "its false-rollbacks is 1 in 1000, yours is 1 in 100"),
        (replace(WISH, fingerprint="g"), "in what the record does not keep"),
    ],
)  # fmt: skip
def test_the_key_that_differs_is_named(wish: Wish, told: str) -> None:
    assert told in differences(wish, THEIRS)


def test_a_command_is_told_by_its_name_wherever_it_stands() -> None:
    smoke, load = Verification("smoke"), Verification("load")
    theirs = plan.first(changed(verify=(smoke, load)))
    ours = changed(verify=(replace(load, within=timedelta(minutes=9)),))
    said = differences(ours, theirs)
    assert "its verify.smoke is there, yours is not there" in said
    assert "its verify.load.within is 5m, yours is 9m" in said


def test_many_are_counted() -> None:
    every = replace(WISH, terms=Terms(stages(0, 1, 2, 3, 4, 5, 6), (), ("x",)))
    assert "more keys differ" in differences(every, THEIRS)


def test_the_refusal_says_it() -> None:
    scene = Scene()
    scene.reach(5)
    with pytest.raises(PlanRefused) as refused:
        scene.start(replace(changed(stages=stages(0, 5, 50, 100)), fingerprint="g"))
    assert "its stages.2.percent is 25, yours is 50" in refused.value.why
