"""A rollout that is killed early, and two of them at once, through the real command; every boundary: tests/faults."""

from __future__ import annotations

import json

from pipeline.model import STABLE_TAG
from tests.e2e.project import Project, image


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
