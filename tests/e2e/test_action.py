"""The action for GitHub's CI: its steps as a runner runs them, against a real local Cloud Run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from pipeline.app.ci import OUTPUTS
from tests.e2e.project import STAGES, Project, image
from tests.e2e.runner import Job

SLOW = (STAGES[0], "{percent: 50, soak: 60s}", STAGES[-1])
IMAGES = {"good": image(), "next": image("good", "2"), "bad": image("close-1011")}


@pytest.fixture
def job(project: Project, tmp_path: Path) -> Job:
    return Job(project, tmp_path / "runner")


def test_a_good_revision_is_a_green_step_with_outputs_and_a_page(job: Job) -> None:
    stable = job.project.live().serving.tagged("stable")
    done = job.run(image="next", env="local")
    assert not done.failed, done.said
    told = done.outputs()
    assert tuple(told) == OUTPUTS
    candidate = next(iter(job.project.live().serving.serving))
    wanted = {
        "outcome": "promoted", "revision": candidate, "rollback_revision": stable, "stable": candidate,
        "percent": "100", "exit_code": "0",
    }  # fmt: skip
    assert {name: told[name] for name in wanted} == wanted
    assert Path(job.project.folder, told["report"]).read_text().startswith("<!doctype html>")
    assert "100 % #########################" in done.page
    assert "::error" not in done.said


def test_a_bad_revision_is_a_red_step_that_says_why(job: Job) -> None:
    stable = job.project.live().serving.tagged("stable")
    done = job.run(image="bad")
    assert done.failed
    told = done.outputs()
    assert (told["outcome"], told["exit_code"], told["stable"], told["percent"]) == (
        "stopped_at_zero",
        "11",
        stable,
        "0",
    )
    (line,) = [line for line in done.said.splitlines() if line.startswith("::error")]
    assert f"title=stopped_at_zero {told['revision']}::" in line
    assert "probe conversations failed" in line
    assert done.page.startswith("# ")


@pytest.mark.parametrize(("paused", "failed"), [("success", False), ("failure", True)])
def test_a_stage_that_waits_for_a_person_is_as_one_likes(job: Job, paused: str, failed: bool) -> None:
    job.project.configure(IMAGES, (STAGES[0], "{percent: 50, hold: true}", STAGES[-1]))
    done = job.run(image="next", paused=paused)
    assert done.failed is failed
    assert (done.outputs()["outcome"], done.outputs()["percent"], done.outputs()["exit_code"]) == (
        "paused",
        "50",
        "13",
    )
    assert "spillway promote --env local" in next(
        s for s in done.said.splitlines() if s.startswith("::warning")
    )
    went_on = job.run(command="promote", args="--reason\nlooks good: a, b")
    assert (went_on.failed, went_on.outputs()["outcome"]) == (False, "promoted"), went_on.said
    back = job.run(command="rollback", args=f"{job.project.ref.name}\n--reason\n`id`; $(id)")
    assert (back.failed, back.outputs()["outcome"]) == (False, "rolled_back_by_hand"), back.said
    assert back.outputs()["rollback_revision"] == next(iter(job.project.live().serving.serving))
    assert back.outputs()["percent"] == "0"
    candidate = back.outputs()["revision"]
    there = job.run(command="rollback", args=f"{job.project.ref.name}\n--to\n{candidate}")
    assert job.project.live().serving.serving == {candidate: 100}
    assert (there.outputs()["stable"], there.outputs()["percent"]) == (candidate, "100")


def test_a_mistake_is_told_where_one_looks(job: Job) -> None:
    done = job.run(args="--no-such-option")
    assert (done.failed, done.outputs()["outcome"], done.outputs()["exit_code"]) == (True, "error", "2")
    assert "No such option" in done.page
    assert "ended midway" not in done.page
    done = job.run(image="")
    assert done.failed
    done = job.run(image="nope")
    assert (done.failed, done.outputs()["outcome"], done.outputs()["exit_code"]) == (True, "error", "2")
    assert any(line.startswith("::error title=error::") and "nope" in line for line in done.said.splitlines())


def at_half(project: Project) -> bool:
    return "50" in {str(share) for share in project.live().serving.serving.values()}


def test_a_cancelled_job_says_where_it_stands_and_the_next_goes_on(job: Job) -> None:
    project = job.project
    project.configure(IMAGES, SLOW)
    ended = job.run(image="next", signals=(signal.SIGINT, signal.SIGTERM), when=lambda: at_half(project))
    assert ended.failed
    # On a busy machine it is ended before its own page is made: then the next step's page says it.
    assert ended.outputs()["outcome"] in ("under_way", "interrupted"), ended.said
    assert ended.outputs()["exit_code"] == "130"
    assert ended.page.startswith("# ")
    assert at_half(project)
    first_line = ended.page.splitlines()[0]
    assert "promoted" not in first_line.lower()
    project.configure(IMAGES, SLOW)  # the very same rollout
    went_on = job.run(command="promote", args="--full\n--reason\nin a hurry")
    assert (went_on.failed, went_on.outputs()["outcome"]) == (False, "promoted"), went_on.said
    assert went_on.page.splitlines()[0] != first_line


def test_of_a_job_that_was_killed_the_page_shows_the_service(job: Job) -> None:
    project = job.project
    project.configure(IMAGES, SLOW)
    ended = job.run(image="next", signals=(signal.SIGKILL,), when=lambda: at_half(project))
    assert ended.failed
    assert ended.outputs()["outcome"] == ""
    assert ended.page.startswith("# Where the rollout stands")
    assert "50%" in ended.page
