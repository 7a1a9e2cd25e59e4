"""The real command with Pulumi's real engine, on a local Cloud Run with processes: a rollout and the way back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from pipeline.model import CANDIDATE_TAG, STABLE_TAG
from tests.e2e.project import Done, Project, alone, image, line_with
from tests.pulumi.bench import lock

IMAGES = {
    "good": image(),
    "next": image("good", "2"),
    "third": image("good", "3"),
    "bad": image("close-1011"),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A stable revision that Pulumi made."""
    with alone(tmp_path_factory.mktemp("project"), IMAGES, "pulumi") as made:
        yield made


@pytest.mark.ordinary
def test_a_rollout_is_promoted_and_rolled_back(project: Project) -> None:
    stable = project.live().wanted.tagged(STABLE_TAG)
    done = project.run("rollout", "--image", "next", "-o", "json")
    assert done.code == 0, done.stderr
    assert "with pulumi 3." in done.stderr
    assert done.document["outcome"] == "promoted"
    assert project.live().wanted.percent_of(done.document["candidate"]) == 100
    back = project.run("rollback", project.ref.name, "-o", "json")
    assert back.code == 0, back.stderr
    assert stable is not None
    assert project.live().wanted.percent_of(stable) == 100


def test_a_bad_one_is_stopped_at_zero(project: Project) -> None:
    stable = project.live().wanted.serving
    done = project.run("rollout", "--image", "bad", "-o", "json")
    assert done.document["outcome"] == "stopped_at_zero", done.stderr
    assert project.live().wanted.serving == stable


def test_a_roll_back_goes_on_whatever_is_wrong_with_pulumi(project: Project) -> None:
    """A lock that is held, a state that cannot be read, a passphrase that is gone."""
    done = project.run("rollout", "--image", "third", "-o", "json")
    assert done.document["outcome"] == "promoted", done.stderr
    stable = project.live().wanted.tagged(STABLE_TAG)
    held = lock(project.local, f"local.local.{project.service}", os.getpid())
    passphrase = project.local / "pulumi" / "passphrase"
    text = passphrase.read_text()
    passphrase.write_text("another")
    try:
        back = project.run("rollback", project.ref.name, "-o", "json")
        assert back.code == 0, back.stderr
        assert stable is not None
    finally:
        held.unlink()
        passphrase.write_text(text)


def test_a_signal_while_the_program_is_applied(project: Project) -> None:
    """It is given the lock's holder to wait for, so that the signal finds it applying; our process ends, the next goes on."""
    project.configure({**IMAGES, "fourth": image("good", "4")})
    held = lock(project.local, f"local.local.{project.service}", os.getpid())
    with project.start("rollout", "--image", "fourth", "-o", "json") as process:
        assert line_with(process.stderr, "running the Pulumi program")
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    held.unlink()
    assert process.returncode == 143
    live = project.live()
    assert live.record_text is not None
    assert '"deploying"' in live.record_text
    assert live.wanted.tagged(CANDIDATE_TAG) is None
    done = project.run("rollout", "--image", "fourth", "-o", "json")
    assert done.document["outcome"] == "promoted", done.stderr


@pytest.mark.ordinary
def test_a_second_run_does_not_take_over_while_the_first_one_applies(project: Project) -> None:
    """Its driver says nothing while it applies: here it is stopped amid it, for as long as this machine needs."""
    images = {**IMAGES, "fifth": image("good", "5")}
    # The second one looks for so long after the minute that an apply is given; a busy machine takes longer than that.
    project.configure(images, **{"heartbeat: 2s": "heartbeat: 20s"})
    with project.start("rollout", "--image", "fifth", "-o", "json") as first:
        assert line_with(first.stderr, "running the Pulumi program")
        first.send_signal(signal.SIGSTOP)
        with project.start("rollout", "--image", "fifth", "-o", "json") as second:
            line = line_with(second.stderr, "may still be applying", "taking over")
            first.send_signal(signal.SIGCONT)
            told, code = second.communicate()[1], second.returncode
        done = Done(first.wait(), first.communicate()[0], "")
    assert "may still be applying" in line
    assert code == 14, told
    assert done.document["outcome"] == "promoted"
