"""A rollout that goes back, and a hand that does it: what an address is told of both."""

from __future__ import annotations

from tests.e2e.project import Project, image
from tests.receiver import receiving


def test_an_address_is_told_of_a_rollout_and_of_a_hand(project: Project) -> None:
    with receiving() as receiver:
        images = {"good": image(), "next": image("good", "2"), "bad": image("close-1011")}
        project.configure(images, **{"heartbeat: 2s": f"heartbeat: 2s\nwebhook: {{url: '{receiver.url}'}}"})
        done = project.run("rollout", "--image", "bad", "-o", "json")
        assert done.document["outcome"] == "stopped_at_zero", done.stderr
        assert [body["step"] for body in receiver.bodies] == ["start", "stage", "rollback", "end"]
        assert {body["candidate"] for body in receiver.bodies} == {done.document["candidate"]}
        receiver.bodies.clear()
        assert project.run("rollout", "--image", "next").code == 0
        assert [body["step"] for body in receiver.bodies] == ["start", *["stage"] * 3, "end"]
        receiver.bodies.clear()
        with project.file.open("a", encoding="utf-8") as file:
            file.write("criteria: {server_error_1011: {limit: 5}}\n")  # a slip that a hand need not mind
        assert project.run("rollback", "--reason", "changed our mind").code == 0
        assert [(body["step"], body["reason"]) for body in receiver.bodies] == [("end", "changed our mind")]
        assert receiver.url not in done.stdout + done.stderr


def test_one_that_is_gone_changes_no_ending(project: Project) -> None:
    with receiving() as receiver:
        gone = receiver.url
    images = {"good": image(), "bad": image("close-1011")}
    project.configure(images, **{"heartbeat: 2s": f"heartbeat: 2s\nwebhook: {{url: '{gone}'}}"})
    done = project.run("rollout", "--image", "bad", "-o", "json")
    assert (done.code, done.document["outcome"]) == (11, "stopped_at_zero")
    assert done.stderr.count("the webhook could not be told") == 1
