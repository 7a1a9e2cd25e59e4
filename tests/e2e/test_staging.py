"""From staging to production with real processes: two services on one local Cloud Run, and a soak of a second."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.core import record
from pipeline.core.promoted import digest_of
from pipeline.core.rollout import Rollout
from tests.e2e.project import Done, Project, image
from tests.e2e.runner import Job

IMAGES = {"good": image(), "next": image("good", "2"), "third": image("good", "3")}
ALONE = "local: {endpoint: local, evidence: probes}"
LOCK = ", soak-lock: true"


def configure(project: Project, soak: str, more: str = "") -> None:
    staging = f"staging: {{endpoint: local, evidence: probes, service: {project.service}-stg{more}}}"
    after = f"after: {{environment: staging, soak: {soak}}}"
    production = f"production: {{endpoint: local, evidence: probes, {after}}}"
    project.configure(IMAGES, **{ALONE: f"{staging}\n  {production}"})


def rollout(project: Project, env: str, *words: str) -> Done:
    return project.run_here("rollout", "--env", env, *words, "-o", "json")


def record_of(project: Project) -> Rollout:
    found = record.of(project.live())
    assert found is not None
    return found


def in_time(project: Project, command: str, *words: str) -> Done:
    """As the scheduled job does it: asked again until it is time."""
    while True:
        done = project.run_here(command, "--env", "production", "--from", "staging", *words)
        if done.code != 18:
            return done
        time.sleep(0.2)


def not_yet(done: Done) -> dict[str, Any]:
    assert (done.code, done.document["outcome"]) == (18, "not_yet"), done.stderr
    assert len([line for line in done.stderr.splitlines() if line]) == 3, done.stderr
    return done.document


def digest(project: Project, service: str) -> str:
    """Of the image that has all traffic."""
    ref = replace(project.ref, service=service)
    with project.platform() as platform:
        (serving,) = platform.read(ref).serving.serving
        return digest_of(platform.revision(ref, serving).image)


@pytest.fixture
def way(empty: Project) -> Project:
    configure(empty, "1h")
    assert (
        rollout(empty, "staging", "--image", "good", "--commit", "a" * 40).document["outcome"]
        == "first_deployment"
    )
    return empty


def test_what_soaked_in_staging_and_nothing_else_gets_into_production(
    way: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_SHA", "c" * 40)  # of the job that the clock started
    said = not_yet(rollout(way, "production", "--from", "staging"))
    assert not_yet(rollout(way, "production", "--image", "good"))["next_at"] == said["next_at"]
    planned = way.run_here("plan", "--env", "production", "--image", "good", "-o", "json")
    assert not_yet(planned)["what"] == said["what"]
    assert rollout(way, "production", "--image", "next").code == 2
    configure(way, "1s")
    planned = in_time(way, "plan")
    assert planned.code == 0, planned.stderr
    assert "soaked in staging for " in planned.stdout
    first = in_time(way, "rollout", "-o", "json")
    assert (first.code, first.document["outcome"]) == (0, "first_deployment"), first.stderr

    configure(way, "1h")
    assert rollout(way, "staging", "--image", "next", "--commit", "b" * 40).document["outcome"] == "promoted"
    before = way.live()
    said = not_yet(rollout(way, "production", "--from", "staging"))
    assert way.live() == before
    status = way.run_here("status", "--env", "staging")
    assert "ready for production at" in status.stdout
    document = way.run_here("status", "--env", "staging", "-o", "json").document
    assert document["soaking"]["ready"] == {"production": said["next_at"]}

    configure(way, "1s")
    done = in_time(way, "rollout", "-o", "json")
    assert (done.code, done.document["outcome"]) == (0, "promoted"), done.stderr
    plan = record_of(way).plan
    assert (plan.commit, plan.stable_commit) == ("b" * 40, "a" * 40), "of the images, not of this job"
    assert digest(way, way.service).startswith("sha256:")
    assert digest(way, way.service) == digest(way, f"{way.service}-stg")
    rows = way.run_here("report", "--env", "production", "-o", "json").document["checklist"]
    row = next(each for each in rows if "staging" in each["title"])
    assert (row["state"], "soaked in staging" in row["evidence"]) == ("shown", True)
    assert rollout(way, "production", "--from", "staging").document["outcome"] == "promoted"


def test_the_action_is_green_until_it_is_time(way: Project, tmp_path: Path) -> None:
    job = Job(way, tmp_path / "runner")
    done = job.run(env="production", args="--from\nstaging", **{"not-yet": "success"})
    assert not done.failed, done.said
    assert (done.outputs()["outcome"], done.outputs()["exit_code"]) == ("not_yet", "18")
    assert "::notice title=not_yet::production: not yet: " in done.said


def test_a_lock_keeps_staging_waiting_and_an_override_is_in_the_report(way: Project) -> None:
    configure(way, "1h", LOCK)
    not_yet(rollout(way, "staging", "--image", "next"))
    mistakes = (
        ("--image", "next", "--override-soak"),
        ("--image", "next", "--reason", "1011"),
        ("--from", "staging", "--override-soak", "--reason", "1011"),
        ("--from", "production"),
        (),
    )
    for words in mistakes:
        refused = rollout(way, "production", *words)
        assert refused.code == 2, words
        assert len([line for line in refused.stderr.splitlines() if line]) == 3, refused.stderr
    done = rollout(way, "production", "--image", "next", "--override-soak", "--reason", "1011 since noon")
    assert done.document["outcome"] == "first_deployment", done.stderr
    risks = way.run_here("report", "--env", "production", "-o", "json").document["risks"]
    assert any("without a soak: 1011 since noon" in risk for risk in risks)
