"""``spillway plan`` says what a rollout would do, and does none of it."""

from __future__ import annotations

from tests.e2e.project import Project


def test_it_names_every_write_and_changes_nothing(project: Project) -> None:
    before = project.live()
    done = project.run_here("plan", "--image", "next", "-o", "json")
    assert done.code == 0, done.stderr
    made = done.document
    candidate = made["candidate"]
    assert made["writes"] == [
        {made["stable"]: 100},
        {made["stable"]: 50, candidate: 50},
        {candidate: 100},
    ]
    (resource,) = [r for r in made["resources"] if "revision" in r]
    assert resource["revision"] == candidate
    assert sum(line.get("percent", 0) for line in resource["traffic"] if line["revision"] == candidate) == 0
    assert "SPILLWAY_NONCE" not in done.stdout
    assert project.live() == before


def test_a_first_deployment_is_called_ungated(empty: Project) -> None:
    done = empty.run_here("plan", "--image", "good")
    assert done.code == 0, done.stderr
    assert "ungated" in done.stdout
    assert "gcp:cloudrunv2/service:Service" in done.stdout


def test_a_rollout_that_has_ended_is_said_to_have_ended(project: Project) -> None:
    done = project.run_here("plan", "--image", "good")
    assert done.code == 0
    assert "has ended: first_deployment" in done.stderr
