"""Evidence, journal and report belong to one attempt: whole rollouts on virtual time, with the files they leave."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from checks.finding import Confidence, Finding, Report, Severity
from pipeline.app import reporting, static_checks
from pipeline.driving.restore import Cause, restore
from pipeline.events import Wrote, unheard
from pipeline.model import Outcome
from pipeline.report import render
from pipeline.report.journal import Attempt, Journal, read
from tests.fakes import REF, START
from tests.reported import Reported
from tests.rollouts import CANDIDATE, STABLE, a_wish, stages

OTHER = "agent-chat-other"
MINUTE = timedelta(minutes=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "rollouts").iterdir()}


def probes(report: Any) -> int:
    """Conversations as the checklist's sixth row says them."""
    return int(report.checklist[5].evidence.split(" probe")[0].split(" of ")[-1].replace(",", ""))


def held(lines: Any) -> int:
    return sum(every for line in lines for _, every in line.scenarios.values())


def lines_of(machine: Reported) -> Any:
    return read(machine.folder / "rollouts", Attempt.of(machine.scene.rollout))


def test_the_next_attempt_counts_its_own_and_leaves_the_first_ones_report(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    machine.scene.users.failing[CANDIDATE] = 0.5
    assert machine.roll() is Outcome.ROLLED_BACK
    first = contents(tmp_path)
    machine.scene.users.failing.clear()
    assert machine.roll(retry=True) is Outcome.PROMOTED
    after, said = contents(tmp_path), machine.report()
    assert {name: after[name] for name in first} == first
    assert len(after) == 2 * len(first)
    assert said.impact.endswith("none of them failed.")
    assert probes(said) == held(lines_of(machine))


def test_an_image_that_comes_back_begins_another_story(tmp_path: Path) -> None:
    """It is the same rollout id, and another attempt."""
    machine = Reported(tmp_path)
    assert machine.roll() is Outcome.PROMOTED
    earlier, first = probes(machine.report()), contents(tmp_path)
    assert machine.roll(a_wish(OTHER)) is Outcome.PROMOTED
    machine.scene.clock.sleep(MINUTE)
    machine.scene.prober.failing.add("http://candidate")
    assert machine.roll() is Outcome.STOPPED_AT_ZERO
    said, after = machine.report(), contents(tmp_path)
    assert {name: after[name] for name in first} == first
    assert probes(said) == held(lines_of(machine)) < earlier
    assert all(machine.scene.rollout.started <= write.at <= said.made for write in said.writes)


def test_an_ended_attempt_says_the_same_a_day_later(tmp_path: Path) -> None:
    """Whoever uses the promoted revision afterwards is not this rollout's figure."""
    machine = Reported(tmp_path)
    assert machine.roll() is Outcome.PROMOTED
    machine.scene.clock.sleep(MINUTE)
    then = machine.report()
    machine.scene.users.failing[CANDIDATE] = 1.0
    machine.scene.clock.sleep(5 * MINUTE)
    assert replace(machine.report(), made=then.made) == then
    assert machine.roll() is Outcome.PROMOTED  # the same command again answers, and leaves the same report
    (page,) = (tmp_path / "rollouts").glob("*.md")
    assert page.read_text() == render.markdown(then)


def test_a_superseded_driver_keeps_nothing_of_the_next_rollout(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    drive = machine.drive("host/1")
    held_at_5 = a_wish(stages=stages(0, 5, 100, hold_at=5))
    assert machine.scene.start(held_at_5, drive.engine) is None
    drive.run(timedelta(seconds=5))
    ours = Attempt.of(machine.scene.rollout)
    before = read(tmp_path / "rollouts", ours)
    machine.scene.told = []  # another machine
    other = machine.scene.engine("host/2")
    machine.scene.start(a_wish(OTHER), other, supersede=True)
    other.run(until=machine.scene.clock.now() + timedelta(seconds=10))
    assert drive.tick().outcome is Outcome.SUPERSEDED
    assert read(tmp_path / "rollouts", ours) == before


def test_what_was_told_before_the_attempt_is_not_its_journal(tmp_path: Path) -> None:
    """One command gives up another rollout and then begins: the write that gave up is the other's."""
    machine = Reported(tmp_path)
    machine.scene.start(a_wish(), machine.scene.engine("host/0"))
    machine.scene.engine("host/0").run(until=machine.scene.clock.now() + timedelta(seconds=5))
    drive = machine.drive()
    drive.listeners(Wrote(machine.scene.clock.now(), None, "gave up", {STABLE: 100}))
    machine.scene.clock.sleep(timedelta(seconds=1))
    machine.scene.start(a_wish(OTHER), drive.engine, supersede=True)
    drive.run(timedelta(seconds=1))
    etags = [line.etag for line in lines_of(machine) if line.kind == "wrote"]
    assert len(etags) > 1
    assert "gave up" not in etags


def test_a_first_deployment_keeps_what_its_first_conversations_said(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    machine.scene.platform.live = None
    machine.scene.platform.known.clear()
    machine.scene.prober.failing.add("http://main")
    assert machine.roll() is Outcome.FIRST_DEPLOYMENT_UNHEALTHY
    assert held(lines_of(machine)) == 2 + 2 * 5
    said = machine.report()
    assert probes(said) == 12
    assert [item.state.value for item in said.checklist[4:7]] != ["shown"] * 3
    assert said.ended is not None


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_roll_back_by_hand_shows_its_write(tmp_path: Path, is_kept: bool) -> None:
    machine = Reported(tmp_path)
    assert machine.roll() is Outcome.PROMOTED
    machine.scene.clock.sleep(MINUTE)
    before = machine.scene.live.etag
    keep = Journal(tmp_path / "rollouts", Attempt.of(machine.scene.rollout))
    listen = keep if is_kept else unheard
    ada = Cause("felt wrong", "ada", by_hand=True)
    restore(machine.scene.platform, machine.scene.clock, REF, ada, listen=listen)
    last = machine.report().writes[-1]
    assert (last.traffic, last.etag) == ({STABLE: 100}, before if is_kept else None)
    assert [write.traffic for write in machine.report().writes].count(
        {STABLE: 100}
    ) == 3  # begin, 0 %, by hand


class Found:
    """What the checks of one attempt came to, as ``checking`` stores it."""

    def __init__(self, folder: Path, rollout_id: str) -> None:
        self.file = static_checks.kept_in(folder / "rollouts", rollout_id)

    def store(self, message: str, now: Any) -> None:
        found = Finding("event-map", "types.py", 1, 1, Severity.WARNING, Confidence.HIGH, message)
        static_checks.store(self.file, Report((found,), files=1, rules=("event-map",)))
        os.utime(self.file, (now.timestamp(), now.timestamp()))


def test_the_checks_of_an_attempt_are_those_that_let_it_begin(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    found = Found(tmp_path, a_wish().rollout_id)
    found.store("of the first", START)
    machine.scene.users.failing[CANDIDATE] = 0.5
    machine.roll()
    first = machine.scene.rollout
    machine.scene.clock.sleep(MINUTE)
    found.store("of the second", machine.scene.clock.now())
    machine.roll(retry=True)
    assert [f.message for f in machine.report().findings or ()] == ["of the second"]
    said = reporting.make_report(machine.session, machine.scene.world, first)
    assert [f.message for f in said.findings or ()] == ["of the first"]
    machine.scene.clock.sleep(30 * MINUTE)
    machine.roll(retry=True)  # this one asked nobody
    assert machine.report().findings is None


def test_a_report_that_cannot_be_put_in_place_leaves_the_old_one_and_no_draft(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    machine.roll()
    (page,) = (tmp_path / "rollouts").glob("*.html")
    page.unlink()
    page.mkdir()
    before = machine.files
    assert reporting.write_reports(machine.session, machine.scene.world, machine.scene.rollout) == ([], "")
    assert machine.files == before
    assert "no report" in machine.session.said[-1]


def test_the_logs_are_read_a_page_at_a_time_and_say_where_they_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Reported(tmp_path)
    machine.roll()
    whole = machine.report()
    assert not whole.missing
    monkeypatch.setattr(reporting, "MAX_LINES", 500)
    cut = machine.report()
    assert "The logs were read until 2026-01-01 12:00:" in cut.missing[0]
    assert cut.users[1].met
    assert whole.users[1].met
    assert 0 < cut.users[1].met.sessions < whole.users[1].met.sessions
