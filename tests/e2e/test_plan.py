"""``spillway plan`` says what a rollout would do, and does none of it."""

from __future__ import annotations

from tests.e2e.project import Project, image


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
    assert "tag it stable" not in done.stdout, "no write is promised where none will be made"
    assert "undecided after" not in done.stdout
    assert project.run_here("plan", "--image", "good", "-o", "json").document["outcome"] == "ended"


def test_what_is_asked_of_the_service_alone_is_said_to_wait_for_a_revision(project: Project) -> None:
    images = {"good": image(), "next": image("good", "2")}
    project.configure(images, **{"container: {": "container: {service: {description: the chat}, "})
    for command in ("plan", "rollout"):
        done = project.run_here(command, "--image", "good")
        assert done.code == 0
        assert "+ description = the chat" in done.stderr
        assert "with the next revision" in done.stderr
    assert project.run_here("rollout", "--image", "next").code == 0
    assert "with the next revision" not in project.run_here("plan", "--image", "next").stderr
