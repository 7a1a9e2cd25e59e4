"""kill -9 of ``rollout`` at ten moments, then the same command: the same end, and one candidate revision."""

from __future__ import annotations

import json

import pytest

from pipeline.model import STABLE_TAG
from tests.e2e.project import Project, image

#: After which line of its own events the command is killed; the first is the record's first write.
MOMENTS = range(1, 11)


def _kill_after(project: Project, build: str, lines: int) -> list[str]:
    """Run a rollout and kill it once it has told so many events. What it told."""
    told = []
    with project.start("rollout", "--image", build, "-o", "ndjson", "-q") as process:
        for line in process.stdout or ():
            told.append(json.loads(line)["event"])
            if len(told) == lines:
                break
        process.kill()
    return told


@pytest.mark.timeout(240)
@pytest.mark.parametrize("half", [MOMENTS[:5], MOMENTS[5:]], ids=["early", "late"])
def test_a_killed_rollout_is_resumed_to_the_same_end(project: Project, half: range) -> None:
    builds = {f"build-{moment}": image("good", f"k{moment}") for moment in half}
    project.configure({"good": image(), **builds})
    for moment, build in zip(half, builds, strict=True):
        told = _kill_after(project, build, moment)
        assert len(told) == moment, told
        done = project.run("rollout", "--image", build, "-o", "json")
        assert (done.code, done.document["outcome"]) == (0, "promoted"), (moment, done.stderr)
        candidate = done.document["candidate"]
        assert project.live().serving.serving == {candidate: 100}
        assert len(project.revisions()) == 1 + moment - half[0] + 1, "one candidate revision for each build"


def test_a_killed_rollout_of_a_bad_revision_is_still_stopped(project: Project) -> None:
    stable = project.live().serving.tagged(STABLE_TAG)
    _kill_after(project, "bad", 3)
    done = project.run("rollout", "--image", "bad", "-o", "json")
    assert (done.code, done.document["outcome"]) == (11, "stopped_at_zero"), done.stderr
    assert project.live().serving.serving == {stable: 100}


def test_of_two_at_once_the_second_leaves(project: Project) -> None:
    project.configure(
        {"good": image(), "next": image("good", "2")}, ("{percent: 0, soak: 20s}", "{percent: 100}")
    )
    with project.start("rollout", "--image", "next", "-o", "ndjson", "-q") as first:
        for line in first.stdout or ():
            if json.loads(line)["event"] == "shifted":
                break
        second = project.run("rollout", "--image", "next", "-o", "json")
        first.kill()
    assert second.code == 14, second.stderr
    assert "drives" in second.stderr
