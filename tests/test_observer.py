"""What a look sees: each round and each line once, of one attempt, one revision and one split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from pipeline.driving.due import lines_needed
from pipeline.driving.observer import Observer
from pipeline.errors import RecordLost
from pipeline.judging.judgement import Verdict
from pipeline.model import LogLine, Outcome, ServiceRef, Split, Target
from pipeline.telemetry.asgi import probe_key
from tests.fakes import REF
from tests.rollouts import CANDIDATE, SCENARIO, STABLE, Scene, a_wish, stages

METRIC = "agent_completed"
SECOND = timedelta(seconds=1)


@dataclass
class Lines:
    """A log that holds just these lines, and finds what was written since."""

    held: list[LogLine]

    def lines(self, ref: ServiceRef, *, since: datetime, revisions: Iterable[str]) -> Sequence[LogLine]:
        return [line for line in self.held if line.at >= since and line.revision in set(revisions)]


def an_accept(at: datetime) -> LogLine:
    payload = {"spillway": 1, "nonce": f"n-{CANDIDATE}", "session": "s", "client": "c", "event": "ws_accept"}
    return LogLine("i", at, CANDIDATE, "INFO", "", {**payload, "at": at.timestamp()})


def test_a_round_is_counted_once_however_often_one_looks() -> None:
    scene = Scene()
    scene.reach(5)
    looks = [scene.driver.observer.look() for _ in range(4)]
    assert [look.judge.probes.ok for look in looks] == [2, 2, 2, 2]
    assert [look.situation.is_probed_now for look in looks] == [True, False, False, False]


def test_rounds_of_a_revision_that_was_made_again_are_its_own() -> None:
    scene = Scene()
    scene.reach(5)
    scene.driver.observer.look()
    scene.platform.known[CANDIDATE] = replace(scene.platform.known[CANDIDATE], uid="another")
    rounds = len(scene.prober.rounds)
    assert scene.driver.observer.look().judge.probes.ok == 2
    assert len(scene.prober.rounds) == rounds + 1


def test_an_accept_that_is_owed_an_answer_in_the_next_block_is_not_lost() -> None:
    """Nothing follows it, so it is a failure, dated at its deadline: by then its own block has closed."""
    scene = Scene()
    scene.reach(5)
    began = scene.rollout.since
    world = replace(scene.world, logs=Lines([an_accept(began + 3.5 * SECOND)]))
    observer = Observer(REF, world, (SCENARIO,))
    for _ in range(12):
        scene.clock.sleep(SECOND)
        look = observer.look(probe=False)
    counts = look.judge.stage[METRIC]
    assert (counts.candidate_trials, counts.candidate_failures) == (1, 1)


def test_at_no_traffic_there_is_nothing_of_users_to_judge() -> None:
    scene = Scene()
    scene.reach(0)
    scene.prober.failing |= {"http://candidate", "http://stable"}  # it stays there
    while scene.rollout.stage_index == 0 and scene.clock.now() - scene.rollout.started < 60 * SECOND:
        scene.driver.tick()
        scene.clock.sleep(SECOND)
    assert scene.driver.observer.look().judge.blocks == 0


def test_a_tag_that_leads_to_another_revision_is_not_probed() -> None:
    scene = Scene()
    scene.reach(5)
    rounds = len(scene.prober.rounds)
    swapped = Split((Target(STABLE, 95, "candidate"), Target(CANDIDATE, 5, "stable")))
    scene.platform.foreign_write(split=swapped)
    scene.clock.sleep(60 * SECOND)
    assert "tags do not lead" in scene.driver.observer.look().situation.blind
    assert len(scene.prober.rounds) == rounds


@pytest.mark.parametrize("authenticated", [True, False])
def test_each_address_has_its_revisions_key_and_the_services_audience(*, authenticated: bool) -> None:
    scene = Scene()
    scene.reach(5)
    Observer(REF, scene.world, (SCENARIO,), authenticated=authenticated).look()
    ask = scene.prober.rounds[-1]
    assert ask.control is not None
    for address, name, url in ((ask.candidate, CANDIDATE, "candidate"), (ask.control, STABLE, "stable")):
        assert address.base_url == f"http://{url}"
        assert address.audience == ("http://main" if authenticated else "")
        assert address.key == probe_key(f"n-{name}")


def test_a_record_that_vanishes_is_lost_and_not_a_service_without_a_rollout() -> None:
    scene = Scene()
    scene.reach(5)
    scene.platform.foreign_write(annotations={})
    with pytest.raises(RecordLost, match="vanished"):
        scene.driver.tick()


def test_a_hand_that_was_seen_stays_seen_when_the_pause_meets_a_conflict() -> None:
    scene = Scene()
    scene.reach(5)
    for _ in range(2):
        scene.platform.foreign_write()
    rivals = iter([True])
    scene.platform.before_write = lambda: next(rivals, False) and scene.platform.foreign_write()
    assert scene.driver.run() is Outcome.PAUSED
    assert "written 3 times" in scene.rollout.reason


def test_lines_of_both_revisions_are_asked_for() -> None:
    scene = Scene()
    scene.reach(5)
    scene.driver.run(until=scene.clock.now() + timedelta(seconds=15))
    for seen in scene.driver.observer.look().judge.total.values():
        assert seen.candidate_trials
        assert seen.stable_trials


@pytest.mark.parametrize("sticks", [False, True])
def test_new_clients_who_stay_away_from_the_candidate_are_told_unless_they_stick_to_stable(
    *, sticks: bool
) -> None:
    """With session affinity whoever was there before comes back to stable, which is no fault of the candidate."""
    scene = Scene()
    assert scene.platform.live is not None
    scene.platform.live = replace(scene.platform.live, session_affinity=sticks)
    scene.users.silent.add(CANDIDATE)
    scene.reach(25, wish=a_wish(stages=stages(0, 25, 100)))
    for _ in range(40):
        scene.clock.sleep(SECOND)
        look = scene.driver.observer.look()
    said = look.situation.stage_verdict
    assert said.verdict is Verdict.INCONCLUSIVE
    assert ("0 of" in said.reason and "new clients asked the candidate" in said.reason) is not sticks


@pytest.mark.parametrize("bad", [0.0, 0.4])
def test_what_a_look_may_need_of_the_logs_is_known_from_the_record_before_it(bad: float) -> None:
    """So that one search may read for many rollouts: whoever looks afterwards finds what he asks for in it."""
    scene, asked = Scene(), list[datetime]()
    scene.users.failing[CANDIDATE] = bad
    lines = scene.users.lines

    def told(ref: ServiceRef, *, since: datetime, revisions: Iterable[str]) -> Sequence[LogLine]:
        asked.append(since)
        return lines(ref, since=since, revisions=revisions)

    scene.users.lines = told  # type: ignore[method-assign]
    scene.start()
    outcome, searches = None, 0
    while outcome is None:
        engine, needed = scene.engine(), lines_needed(scene.rollout)  # a process that takes one step
        outcome = engine.tick().outcome
        assert all(needed is not None and since >= needed for since in asked)
        searches += len(asked)
        asked.clear()
        scene.clock.sleep(SECOND)
    assert outcome is (Outcome.ROLLED_BACK if bad else Outcome.PROMOTED)
    assert searches > 5
    assert lines_needed(scene.rollout) is None
