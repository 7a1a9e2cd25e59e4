"""What goes wrong around a rollout ends in three clear lines, the right exit code, and nothing lost."""

from __future__ import annotations

import json
import os
import signal

import pytest
from msgspec.structs import replace

from pipeline.local import endpoint
from pipeline.model import STABLE_TAG
from tests.e2e.project import STAGES, Project, image


def test_no_local_cloud_run(lonely: Project) -> None:
    lonely.down()
    for words in (("rollout", "--image", "next"), ("rollback", lonely.ref.name)):
        done = lonely.run(*words)
        assert done.code == 2
        assert "spillway local up" in done.stderr


def test_the_local_cloud_run_is_killed_and_comes_back(lonely: Project) -> None:
    before = lonely.live()
    os.kill(endpoint.read(lonely.local).pid, signal.SIGKILL)
    assert lonely.run("local", "up", "--strict-masks").code == 0
    after = lonely.live()
    assert (after.serving, after.annotations) == (before.serving, before.annotations)
    done = lonely.run("rollout", "--image", "next", "-o", "json")
    assert (done.code, done.document["outcome"]) == (0, "promoted"), done.stderr


def test_a_rollout_under_way_finds_the_restarted_local_cloud_run(lonely: Project) -> None:
    lonely.configure(
        {"good": image(), "next": image("good", "2")},
        ("{percent: 0}", "{percent: 50, soak: 4s}", "{percent: 100, soak: 500ms}"),
        **{"every: 1s": "every: 60s"},
    )
    was = endpoint.read(lonely.local)
    told = []
    with lonely.start("rollout", "--image", "next", "-o", "ndjson") as process:
        for line in process.stdout or ():
            event = json.loads(line)
            told.append(event.get("event"))
            if told.count("probed") == 2 and was.pid:  # at 50 %
                os.kill(was.pid, signal.SIGKILL)
                was = replace(was, pid=0)
            if event.get("event") == "retrying" and "restarted" not in told:
                told.append("restarted")
                assert lonely.run("local", "up", "--strict-masks").code == 0
        _, err = process.communicate()
    assert endpoint.read(lonely.local).token != was.token
    assert "restarted" in told
    assert (process.returncode, event["outcome"]) == (0, "promoted"), err
    assert "the local Cloud Run is not running" in err


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param("heartbeat: 2s", "hartbeat: 2s", "did you mean heartbeat", id="unknown-key"),
        pytest.param("within: 20s", "within: 20", "spillway.yaml:14:", id="number-for-a-duration"),
        pytest.param("within: 20s", "within: [2s]", "spillway.yaml:14:", id="wrong-type"),
    ],
)
def test_a_bad_file_is_told_by_line(project: Project, old: str, new: str, says: str) -> None:
    project.file.write_text(project.file.read_text().replace(old, new))
    before = project.live().etag
    done = project.run("rollout", "--image", "next")
    assert done.code == 2
    assert says in done.stderr
    assert project.live().etag == before


def test_an_image_that_is_not_there(project: Project) -> None:
    done = project.run("rollout", "--image", "nxt")
    assert done.code == 2
    assert "Did you mean --image next?" in done.stderr


def test_the_latest_revision_stays_and_an_interrupt_leaves_it_under_way(project: Project) -> None:
    stable = project.live().serving.tagged(STABLE_TAG)
    project.configure(
        {"good": image(), "next": image("good", "2")},
        ("{percent: 0, soak: 30s}", *STAGES[1:]),
    )
    with project.start("rollout", "--image", "next", "-o", "ndjson") as process:
        for line in process.stdout or ():
            event = json.loads(line)
            if event["event"] == "shifted":
                break
        with project.platform() as platform:
            candidate = next(r.name for r in platform.revisions(project.ref) if r.name != stable)
            with pytest.raises(Exception, match="latest"):
                platform.delete_revision(project.ref, candidate)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert json.loads(out.splitlines()[-1])["outcome"] == "under_way"


def test_another_digest_meanwhile_is_refused_and_supersedes(project: Project) -> None:
    project.configure({"good": image(), "next": image("good", "2"), "third": image("good", "3")})
    assert project.run("rollout", "--image", "next", "--no-wait").code == 0
    refused = project.run("rollout", "--image", "third")
    assert refused.code == 2
    assert "--supersede" in refused.stderr
    done = project.run("rollout", "--image", "third", "--supersede", "-o", "json")
    assert (done.code, done.document["outcome"]) == (0, "promoted"), done.stderr


def test_a_first_deployment_that_fails_does_not_stand_in_the_way(empty: Project) -> None:
    empty.configure({"crash": image("crash"), "good": image()})
    failed = empty.run("rollout", "--image", "crash")
    assert failed.code == 17
    assert "cannot reach the session store" in failed.stderr
    done = empty.run("rollout", "--image", "good", "-o", "json")
    assert (done.code, done.document["outcome"]) == (0, "first_deployment"), done.stderr
    assert list(empty.live().serving.serving.values()) == [100]
