"""One set of figures: whatever a rollout came to, headline, checklist, tables, chart, advice and JSON say the same."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.app import reporting
from pipeline.core import record
from pipeline.core.rollout import Event, Phase, Step
from pipeline.driving.ports import World
from pipeline.driving.restore import REPLACED, Cause, restore
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.terms import Stage, Terms
from pipeline.model import LogLine, Outcome, Readiness, ServiceRef, Split, Target
from pipeline.report import document, render
from pipeline.report.checklist import State
from tests.agreement import agree, every_form_says_the_same, the_checklist_agrees_with_the_headline
from tests.fakes import REF
from tests.reported import Reported, Standing
from tests.reports import a_plan, a_rollout, at
from tests.rollouts import CANDIDATE, STABLE, a_wish, stages
from tests.simulation import Simulation

ADA = Cause("felt wrong", "ada", by_hand=True)


def good(machine: Reported) -> Outcome:
    return machine.roll()


def a_few_failures(machine: Reported) -> Outcome:
    machine.scene.users.failing |= {CANDIDATE: 0.004, STABLE: 0.004}
    return machine.roll()


def users_fail(machine: Reported) -> Outcome:
    machine.scene.users.failing[CANDIDATE] = 0.5
    return machine.roll()


def users_fail_late(machine: Reported) -> Outcome:
    """The last blocks of a stage that was left already convict."""
    users = machine.scene.users
    users.per_second = 40
    machine.scene.clock.at(19, lambda: users.failing.update({CANDIDATE: 1.0}))
    machine.scene.clock.at(20.6, users.failing.clear)
    return machine.roll(a_wish(stages=stages(0, 25, 50, 100)))


def probes_fail(machine: Reported) -> Outcome:
    machine.scene.prober.failing.add("http://candidate")
    return machine.roll()


def probes_fail_at_100(machine: Reported) -> Outcome:
    machine.scene.clock.at(30, partial(machine.scene.prober.failing.add, "http://candidate"))
    return machine.roll()


def never_ready(machine: Reported) -> Outcome:
    machine.scene.deployer.readiness, machine.scene.deployer.message = Readiness.FAILED, "exit 3"
    return machine.roll()


def breaks_later(machine: Reported) -> Outcome:
    def break_it() -> None:
        known = machine.scene.platform.known
        known[CANDIDATE] = replace(known[CANDIDATE], readiness=Readiness.FAILED, message="exit 137")

    machine.scene.clock.at(10, break_it)
    return machine.roll()


def held(machine: Reported) -> Outcome:
    return machine.roll(a_wish(stages=stages(0, 5, 100, hold_at=5)))


def drifted(machine: Reported) -> Outcome:
    edited = Split((Target(STABLE, 60), Target(CANDIDATE, 40)))
    machine.scene.clock.at(10, partial(machine.scene.platform.foreign_write, split=edited))
    return machine.roll()


def under_way(machine: Reported) -> Outcome:
    machine.scene.users.failing |= {CANDIDATE: 0.2, STABLE: 0.2}
    return machine.roll(hours=12 / 3600)


def by_hand(machine: Reported) -> Outcome:
    machine.roll(hours=12 / 3600)
    restore(machine.scene.platform, machine.scene.clock, REF, ADA)
    return machine.roll()


def by_hand_after_a_raise(machine: Reported) -> Outcome:
    """The new stage has counted nothing yet."""
    machine.roll(hours=21.5 / 3600)
    restore(machine.scene.platform, machine.scene.clock, REF, ADA)
    return machine.roll()


def by_hand_after_promotion(machine: Reported) -> Outcome:
    machine.roll()
    machine.scene.clock.sleep(timedelta(minutes=3))
    restore(machine.scene.platform, machine.scene.clock, REF, ADA)
    return machine.roll()


def first(machine: Reported) -> Outcome:
    machine.scene.platform.live = None
    machine.scene.platform.known.clear()
    return machine.roll()


STORIES = {
    good: Outcome.PROMOTED,
    a_few_failures: Outcome.PROMOTED,
    users_fail: Outcome.ROLLED_BACK,
    users_fail_late: Outcome.ROLLED_BACK,
    probes_fail: Outcome.STOPPED_AT_ZERO,
    probes_fail_at_100: Outcome.ROLLED_BACK,
    never_ready: Outcome.STOPPED_AT_ZERO,
    breaks_later: Outcome.ROLLED_BACK,
    held: Outcome.PAUSED,
    drifted: Outcome.PAUSED,
    under_way: Outcome.UNDER_WAY,
    by_hand: Outcome.ROLLED_BACK_BY_HAND,
    by_hand_after_a_raise: Outcome.ROLLED_BACK_BY_HAND,
    by_hand_after_promotion: Outcome.ROLLED_BACK_BY_HAND,
    first: Outcome.FIRST_DEPLOYMENT,
}


@pytest.mark.parametrize("logs", ["read", "unreadable", "gone"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_report_agrees_with_itself(story: Any, logs: str, tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    assert story(machine) is STORIES[story]
    machine.scene.users.unreadable = logs == "unreadable"
    if logs == "gone":
        machine.scene.users.lines = lambda *_, **__: []  # type: ignore[method-assign]
    said = machine.report()
    agree(said)
    if logs == "gone" and machine.scene.rollout.judge.total:
        assert said.missing == (
            "The logs hold less than was judged: a part of them is gone, and what users met is not shown whole.",
        )
    for path in reporting.write_reports(machine.session, machine.scene.world, machine.scene.rollout)[0]:
        assert said.headline.split(":")[0] in path.read_text()


class SimulatedLogs:
    """What a simulation's users wrote, for whoever reads it afterwards."""

    def __init__(self, simulation: Simulation) -> None:
        self._users = simulation.users

    def lines(self, ref: ServiceRef, *, since: datetime, revisions: Iterable[str]) -> Sequence[LogLine]:
        return self._users.lines(since, revisions)

    def pages(
        self, ref: ServiceRef, *, since: datetime, until: datetime, revisions: Iterable[str]
    ) -> Iterator[Sequence[LogLine]]:
        yield [line for line in self.lines(ref, since=since, revisions=revisions) if line.at <= until]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000))
def test_whatever_happens_to_a_rollout_its_report_agrees_with_itself(seed: int) -> None:
    simulation = Simulation(seed).run()
    live = simulation.live
    assert live is not None
    try:
        rollout = record.decode(live.record_text or "")
    except record.RecordUnreadable:
        return  # somebody wiped it: there is nothing to report of
    if any("clock" in line for line in simulation.trace) or rollout.plan.rollout_id == REPLACED:
        return  # hours that two clocks told cannot agree; what a replaced record said is not known
    simulation.users.unreadable = False
    session: Any = Standing(Path("nowhere"))
    nobody: Any = None
    world = World(simulation.platform, nobody, nobody, SimulatedLogs(simulation), simulation.clock)
    agree(reporting.make_report(session, world, rollout))


@pytest.mark.parametrize("seed", range(4))
def test_at_every_step_of_the_way_a_report_agrees_with_itself(seed: int, tmp_path: Path) -> None:
    rng, machine = random.Random(seed), Reported(tmp_path)
    machine.scene.users.seed = seed
    machine.scene.users.failing |= {
        CANDIDATE: rng.choice((0, 0.01, 0.1, 0.4)),
        STABLE: rng.choice((0, 0.01, 0.1)),
    }
    drive = machine.drive()
    assert machine.scene.start(engine=drive.engine) is None
    for n in range(200):
        upcoming = drive.tick()
        if n % 20 == 0 or upcoming.outcome is not None:
            agree(machine.report())
        if upcoming.outcome is not None:
            return
        machine.scene.clock.sleep(timedelta(seconds=1))


def test_green_is_never_said_over_failed_runs(tmp_path: Path) -> None:
    """The probes are well all the while; the users are not."""
    machine = Reported(tmp_path)
    users_fail(machine)
    rows = {item.number: item for item in machine.report().checklist}
    assert [rows[n].state for n in (5, 6, 7)] == [State.FAILED] * 3
    assert all("of 9 user" in rows[n].evidence for n in (5, 6, 7))


def test_failures_that_the_criteria_allow_are_told_and_not_ticked(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    a_few_failures(machine)
    said = machine.report()
    assert said.headline.startswith("Promoted:")
    row = said.checklist[5]
    assert row.state is State.NOT_SHOWN
    assert "user sessions failed: within what the criteria allow, and not none" in row.evidence


def test_the_figures_that_decided_are_shown(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    users_fail_late(machine)
    said = machine.report()
    assert said.reason == "server_error_1011: 11/185 failed against 0/575 on stable"
    assert said.gates[0].candidate == (185, 11)
    assert said.judged_over == "the blocks that decided"


def test_a_stage_that_just_began_is_not_shown_as_nothing(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    by_hand_after_a_raise(machine)
    said = machine.report()
    assert machine.scene.rollout.stage_index == 2
    assert not machine.scene.rollout.judge.stage
    assert said.gates[0].candidate[0] >= 10
    assert said.judged_over == "the stage with 5 %"


def test_a_hand_is_no_failure(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    by_hand(machine)
    said = machine.report()
    assert said.headline == f"Rolled back by hand by ada: {STABLE} has 100 %, read back and seen"
    assert (said.reason, said.tone.value) == ("felt wrong", "waiting")
    assert (said.steps[-2].what, said.steps[-2].by) == ("rolled back by hand", "ada")
    for text in (render.markdown(said), render.html(said), json.dumps(said.to_json())):
        assert "failed by" not in text
        assert not re.search(r"\| failed \||<td>failed</td>|\"what\": \"failed\"", text)


def test_a_share_that_somebody_else_set_is_not_said_to_be_kept(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    drifted(machine)
    said = machine.report()
    assert said.headline == f"Paused: somebody else changed the service; we had given {CANDIDATE} 5 %"
    assert f"{CANDIDATE} 40%" in said.risks[0]


def test_a_pause_is_no_end(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    held(machine)
    assert machine.report().ended is None


@pytest.mark.parametrize("is_well", [True, False])
def test_a_first_deployment_has_one_answer(is_well: bool, tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    if not is_well:
        machine.scene.prober.failing.add("http://main")
    answers = {first(machine), first_again(machine), machine.scene.rollout.outcome}
    said = machine.report()
    agree(said)
    assert answers == {Outcome.FIRST_DEPLOYMENT if is_well else Outcome.FIRST_DEPLOYMENT_UNHEALTHY}
    assert {said.outcome} == {outcome.label for outcome in answers if outcome}
    assert said.headline.startswith("First deployment:" if is_well else "First deployment is unhealthy:")
    assert said.tone.value == ("good" if is_well else "bad")
    assert said.ended is not None
    alone = document.build(machine.scene.rollout, [], None, said.made)  # on another machine
    agree(alone)
    assert alone.headline == said.headline


def first_again(machine: Reported) -> Outcome:
    machine.scene.clock.sleep(timedelta(minutes=1))
    return machine.roll()


@pytest.mark.parametrize("is_bare", [False, True])
def test_a_record_that_had_no_room_still_has_a_report(is_bare: bool) -> None:
    """The judge's state goes first; in the end only what gives traffic back is left."""
    reason = "server_error_1011: 9/31 failed against 0/412 on stable"
    steps = (
        *a_rollout().history,
        Step(at(371), Event.FAILED, 0, reason),
        Step(at(372), Event.RESTORED, 0, reason),
    )
    left = a_rollout(
        Phase.ROLLED_BACK,
        0,
        judge=JudgeState(),
        last=None,
        reason=reason,
        history=steps,
        blamed="server_error_1011",
    )
    if is_bare:
        left = replace(left, plan=a_plan(terms=Terms((Stage(0),)), image=""), stage_index=0, history=())
    said = document.build(left, [], None, at(400))
    the_checklist_agrees_with_the_headline(said)
    every_form_says_the_same(said)
    assert said.gates == ()
    assert said.checklist[4].state is State.FAILED
    assert said.checklist[4].evidence == reason
