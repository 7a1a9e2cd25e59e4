"""Whoever drove is gone: jobs on a schedule, declared by the Pulumi program, take the steps.

``make watchdog`` also brings a good candidate from its first step to 100 %, and one that is bad from the start back.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.core import record
from pipeline.core.rollout import Phase, Rollout
from pipeline.local import daemon, endpoint
from pipeline.local.run import strays
from pipeline.rpc.scheduler import PACKAGE, kind
from tests.e2e.project import Project, image

LATE = Path(__file__).with_name("late.py")
PATIENCE_S = 200
whole = pytest.mark.skipif("SPILLWAY_WATCHDOG" not in os.environ, reason="minutes: make watchdog")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Project]:
    """A service with its watchdog, on a local Cloud Run where a minute of the schedule takes ten seconds."""
    made = Project(tmp_path, tmp_path / ".spillway" / "local")
    late = f'{{command: ["{sys.executable}", "{LATE}", "{tmp_path / "switch"}"]}}'
    watchdog = f'{{command: ["{sys.executable}", -m, pipeline], env: {{SPILLWAY_DIRECTORY: "{tmp_path}", CI: "true"}}}}'
    images = {
        "good": image(), "next": image("good", "2"), "late": late, "bad": image("close-1011"), "watchdog": watchdog,
    }  # fmt: skip
    stages = ("{percent: 0}", "{percent: 50, soak: 10s}", "{percent: 100, soak: 5s}")
    made.configure(
        images, stages, **{"heartbeat: 2s": "heartbeat: 2s\nwatchdog: {image: watchdog, service-account: w}"}
    )
    assert made.run("local", "up", "--strict-masks", "--schedule-speed", "6").code == 0
    try:
        assert (
            made.run_here("rollout", "--image", "good", "-o", "json").document["outcome"]
            == "first_deployment"
        )
        yield made
    finally:
        daemon.down(made.local)
        assert list(strays.pids(strays.folder_token(made.local))) == []


def of(project: Project) -> Rollout:
    found = record.of(project.live())
    assert found is not None
    return found


def until(what: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < give_up
        time.sleep(0.3)


def killed(process: subprocess.Popen[str]) -> None:
    """All of its process group."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def begun(project: Project, *words: str) -> subprocess.Popen[str]:
    """A command in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "rollout", *words, "-o", "ndjson"], cwd=project.folder, env=project.environ,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip


def was_started_by_schedule(project: Project) -> bool:
    name = f"projects/local/locations/local/jobs/{project.service}-watchdog"
    request = kind("GetJobRequest")(name=name)
    with endpoint.read(project.local).channel() as channel:
        found = channel.unary_unary(
            f"/{PACKAGE}.CloudScheduler/GetJob",
            request_serializer=type(request).SerializeToString, response_deserializer=kind("Job").FromString,
        )(request)  # fmt: skip
    return bool(found.HasField("last_attempt_time"))


@pytest.mark.timeout(600)
def test_a_candidate_that_turns_bad_when_its_driver_is_gone_goes_back(watched: Project) -> None:
    process = begun(watched, "--image", "late")
    for line in process.stdout or ():
        event = json.loads(line)
        if event["event"] == "arrived" and event["percent"] == 50:
            break
    killed(process)
    before = of(watched)
    assert (before.phase, before.stage.percent) == (Phase.ROLLING, 50)
    (watched.folder / "switch").touch()
    until(lambda: of(watched).phase is Phase.ROLLED_BACK)
    after = of(watched)
    assert after.driver != before.driver
    assert watched.live().serving.serving == {after.plan.stable: 100}
    assert was_started_by_schedule(watched)


@whole
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("candidate", "phase"), [("next", Phase.PROMOTED), ("bad", Phase.ROLLED_BACK)])
def test_from_the_first_step_on(watched: Project, candidate: str, phase: Phase) -> None:
    process = begun(watched, "--image", candidate, "--no-wait")
    until(lambda: of(watched).phase is not Phase.PROMOTED)  # it has begun
    killed(process)
    until(lambda: of(watched).phase is phase)
    after = of(watched)
    wins = after.plan.candidate if phase is Phase.PROMOTED else after.plan.stable
    until(lambda: watched.live().serving.serving == {wins: 100})
