"""Reports on disk, the logs as a view sees them, and listeners that fail: none of them stops a rollout."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.app import reporting
from pipeline.app.listeners import Listeners
from pipeline.app.reporting import UserFigures
from pipeline.events import Looked, RolloutEvent, Said
from pipeline.model import Outcome
from pipeline.report.journal import Attempt
from tests.fakes import REF, START
from tests.reported import Reported
from tests.reports import a_look
from tests.rollouts import CANDIDATE, STABLE, Scene


@dataclass
class Standing:
    """The parts of a session that reporting uses."""

    state_folder: Path
    said: list[str] = field(default_factory=list)

    @property
    def output(self) -> Any:
        return SimpleNamespace(say=self.said.append)

    @property
    def rollouts(self) -> Path:
        return self.state_folder / "rollouts"


def place(scene: Scene) -> Any:
    return SimpleNamespace(ref=REF, platform=scene.platform, logs=scene.users)


def sent_back() -> Scene:
    scene = Scene()
    scene.users.failing[CANDIDATE] = 0.5
    assert scene.roll() is Outcome.ROLLED_BACK
    return scene


def test_a_rollout_leaves_markdown_and_html(tmp_path: Path) -> None:
    scene, standing = sent_back(), Standing(tmp_path)
    paths, cause = reporting.write_reports(standing, scene.world, scene.rollout)  # type: ignore[arg-type]
    name = Attempt.of(scene.rollout).name
    assert [path.name for path in paths] == [f"{name}.md", f"{name}.html"]
    assert all("read back and seen" in path.read_text() for path in paths)
    assert sorted(p.name for p in paths[0].parent.iterdir()) == sorted(p.name for p in paths)
    assert standing.said == []
    assert re.fullmatch(r"most often: closed by the server with 1011 \(\d+\)", cause)


def test_the_last_line_tells_how_most_runs_failed(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    machine.scene.users.failing[CANDIDATE] = 0.5
    assert machine.roll() is Outcome.ROLLED_BACK
    ending = machine.drive().conclude(Outcome.ROLLED_BACK)
    assert "failed against" in ending.text
    assert "; most often: closed by the server with 1011 (" in ending.text


def test_a_last_line_that_has_no_reason_ends_with_no_colon(tmp_path: Path) -> None:
    machine = Reported(tmp_path)
    machine.scene.start()
    assert machine.drive().conclude(Outcome.UNDER_WAY).text == f"under_way: {CANDIDATE}"


def test_the_report_counts_what_the_logs_count(tmp_path: Path) -> None:
    scene = sent_back()
    made = reporting.make_report(Standing(tmp_path), scene.world, scene.rollout)  # type: ignore[arg-type]
    candidate = next(u.met for u in made.users if u.role == "candidate")
    assert candidate is not None
    assert 0 < candidate.affected <= candidate.sessions
    assert (
        sum(c.abnormal for c in made.closes if c.revision == CANDIDATE)
        == candidate.closes["server_error_1011"]
    )
    assert sum(c.abnormal for c in made.closes if c.revision == STABLE) == 0


def test_what_changed_since_stables_commit_is_as_the_record_says(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    commits = []
    for name in ("a.py", "b.py", "c.py"):
        (tmp_path / name).touch()
        git("add", ".")
        git("commit", "-qm", name)
        commits.append(git("rev-parse", "HEAD"))
    machine = Reported(tmp_path)
    machine.roll()
    rolled = machine.scene.rollout
    rollout = replace(rolled, plan=replace(rolled.plan, stable_commit=commits[0], commit=commits[1]))
    made = reporting.make_report(machine.session, machine.scene.world, rollout)
    assert (made.commit, made.changed) == (commits[0], ("A b.py",)), (
        "the candidate's, and not what came after"
    )
    strange = replace(rollout, plan=replace(rollout.plan, stable_commit="0" * 40))
    made = reporting.make_report(machine.session, machine.scene.world, strange)
    assert (made.commit, made.changed) == ("", None)


def test_logs_that_cannot_be_read_are_said_in_the_report(tmp_path: Path) -> None:
    scene = sent_back()
    scene.users.unreadable = True
    made = reporting.make_report(Standing(tmp_path), scene.world, scene.rollout)  # type: ignore[arg-type]
    assert made.outcome == "rolled_back"
    assert "the logs could not be read" in made.impact


def test_a_report_that_cannot_be_written_is_said_and_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "rollouts").touch()
    scene, standing = sent_back(), Standing(tmp_path)
    assert reporting.write_reports(standing, scene.world, scene.rollout) == ([], "")  # type: ignore[arg-type]
    assert len(standing.said) >= 1
    assert "no report" in standing.said[-1]


class TestEyes:
    def test_they_see_what_one_look_at_everything_sees(self) -> None:
        scene = Scene()
        scene.users.failing[CANDIDATE] = 0.5
        engine = scene.engine()
        scene.start(engine=engine)
        eyes = UserFigures(place(scene), scene.clock, lambda: scene.rollout)
        while (upcoming := engine.tick()).outcome is None:
            scene.clock.sleep(upcoming.at - scene.clock.now())
            seen, whole = eyes(), reporting.read_logs(scene.world, scene.rollout)
            assert seen is not None
            assert whole is not None
            assert seen.exposures == {name: whole.exposures[name] for name in seen.exposures}
        assert seen is not None
        assert set(seen.exposures) == {CANDIDATE, STABLE}

    def test_they_ask_only_for_what_is_new(self) -> None:
        scene = sent_back()
        asked = []
        lines = scene.users.lines
        logs = SimpleNamespace(
            lines=lambda ref, *, since, revisions: (
                asked.append(since) or lines(ref, since=since, revisions=revisions)
            )
        )
        there = SimpleNamespace(ref=REF, platform=scene.platform, logs=logs)
        eyes = UserFigures(there, scene.clock, lambda: scene.rollout)  # type: ignore[arg-type]
        eyes()
        scene.clock.sleep(timedelta(seconds=90))
        eyes()
        eyes()
        assert asked[0] == scene.rollout.started
        assert asked[-1] >= START + timedelta(seconds=60)

    def test_they_never_read_the_service(self) -> None:
        """Each picture would be a read of a quota that is everybody's in the project."""
        scene, called = sent_back(), list[str]()
        current = scene.rollout
        scene.platform.at_boundary = called.append
        eyes = UserFigures(place(scene), scene.clock, lambda: current)
        assert [eyes() is not None for _ in range(20)] == [True] * 20
        assert called == ["before revisions", "after revisions"]

    @pytest.mark.parametrize("broken", ["logs", "nothing read"])
    def test_what_cannot_be_seen_is_none(self, broken: str) -> None:
        scene = sent_back()
        scene.users.unreadable = broken == "logs"
        current = scene.rollout if broken == "logs" else None
        assert UserFigures(place(scene), scene.clock, lambda: current)() is None


PAUSED = Said(START, "paused", "why")


class TestListeners:
    def test_one_that_fails_is_heard_no_more_and_the_others_go_on(self) -> None:
        heard: list[str] = []
        said: list[str] = []

        def broken(event: RolloutEvent, /) -> None:
            raise RuntimeError("boom")

        listeners = Listeners([broken, lambda p: heard.append(p.kind)], said.append)
        listeners(Said(START, "deploying", ""))
        listeners(PAUSED)
        assert heard == ["deploying", "paused"]
        assert len(said) == 1
        assert "the rollout goes on" in said[0]

    @pytest.mark.parametrize("fault", [SystemExit(1), RecursionError(), OSError(32, "Broken pipe")])
    def test_nothing_that_a_listener_raises_passes_and_nobody_has_to_hear_of_it(
        self, fault: BaseException
    ) -> None:
        def broken(event: RolloutEvent, /) -> None:
            raise fault

        def deaf(text: str) -> None:
            raise OSError(5, "Input/output error")

        heard: list[str] = []
        listeners = Listeners([broken, lambda p: heard.append(p.kind)], deaf)
        listeners(PAUSED)
        listeners.join(broken)
        assert heard == ["paused"]

    def test_an_interrupt_is_no_fault_of_a_listener(self) -> None:
        def interrupted(event: RolloutEvent, /) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Listeners([interrupted])(PAUSED)

    def test_who_joins_later_hears_what_was_told_before(self) -> None:
        heard: list[str] = []
        listeners = Listeners([])
        for event in (Said(START, "deploying", ""), Looked(START, a_look()), Said(START, "refused", "")):
            listeners(event)
        listeners.join(lambda p: heard.append(p.kind))
        listeners(PAUSED)
        assert heard == ["deploying", "refused", "paused"]
