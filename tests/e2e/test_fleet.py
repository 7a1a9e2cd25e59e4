"""Nobody drives: the tasks of one real job on a schedule see to several services.

``make fleet`` does it with 20 services in 4 tasks.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.core import record
from pipeline.core.fleet import task_of
from pipeline.core.rollout import ENDED, Phase, Rollout
from pipeline.local import daemon
from pipeline.local.run import strays
from pipeline.model import LiveService, ServiceRef
from tests.e2e.project import Done, Project, image

LATE = Path(__file__).with_name("late.py")
STAGES = ("{percent: 0}", "{percent: 50, soak: 5s}", "{percent: 100, soak: 5s}")
PATIENCE_S = 900


@contextmanager
def a_fleet(folder: Path, names: tuple[str, ...], tasks: int) -> Iterator[Mapping[str, Project]]:
    """Services on one local Cloud Run, whose watchdog is declared with the first of them; a minute takes ten seconds."""
    local = folder / ".spillway" / "local"
    command = f'{{command: ["{sys.executable}", -m, pipeline], env: {{SPILLWAY_DIRECTORY: "{folder}", CI: "true"}}}}'
    made = {name: Project(folder / "services" / name, local, name) for name in names}
    fleet = f"{{files: ['services/*/spillway.yaml'], tasks: {tasks}}}"
    for number, (name, project) in enumerate(made.items()):
        project.folder.mkdir(parents=True)
        late = f'{{command: ["{sys.executable}", "{LATE}", "{folder / f"{name}-turns-bad"}"]}}'
        images = {"good": image(), "next": image("good", "2"), "late": late, "watchdog": command}
        watchdog = f"image: watchdog, service-account: w, fleet: {fleet}" if not number else "silent: 1h"
        project.configure(images, STAGES, **{"heartbeat: 2s": f"heartbeat: 2s\nwatchdog: {{{watchdog}}}"})
    first = made[names[0]]
    assert first.run("local", "up", "--strict-masks", "--schedule-speed", "6").code == 0
    try:
        for project in made.values():
            done = project.run_here("rollout", "--image", "good", "-o", "json")
            assert done.document["outcome"] == "first_deployment", done.stderr
        yield made
    finally:
        daemon.down(local)
        assert list(strays.pids(strays.folder_token(local))) == []


def services(project: Project) -> Mapping[ServiceRef, LiveService]:
    with project.platform() as platform:
        return platform.services("local", "local")


def of(live: LiveService) -> Rollout:
    found = record.of(live)
    assert found is not None
    return found


def watch(fleet: Mapping[str, Project], bad: frozenset[str]) -> float:
    """Until every rollout has come to its end; seconds. What is bad turns bad once users may be on it."""
    begun, first = time.monotonic(), next(iter(fleet.values()))
    while True:
        assert time.monotonic() - begun < PATIENCE_S
        phases = {ref.service: of(live) for ref, live in services(first).items()}
        for name in bad:
            if phases[name].stage.percent and phases[name].phase is Phase.ROLLING:
                (first.local.parents[1] / f"{name}-turns-bad").touch()
        if all(each.phase in (Phase.PROMOTED, Phase.ROLLED_BACK) for each in phases.values()):
            return time.monotonic() - begun
        time.sleep(0.5)


def passes(project: Project) -> list[dict[str, object]]:
    """What the tasks told at their ends."""
    only = 'jsonPayload.event="fleet"'
    done = project.run_here("local", "logs", "-n", "1000", "--filter", only, "-o", "json")
    return [entry["jsonPayload"] for entry in json.loads(done.stdout)["entries"]]


def hold(fleet: Mapping[str, Project], bad: frozenset[str]) -> float:
    for name, project in fleet.items():
        done = project.run_here(
            "rollout", "--image", "late" if name in bad else "next", "--no-wait", "-o", "json"
        )
        assert done.document["outcome"] == "under_way", done.stderr
    took = watch(fleet, bad)
    first = next(iter(fleet.values()))
    for ref, live in services(first).items():
        ended = of(live)
        wins = ended.plan.stable if ref.service in bad else ended.plan.candidate
        assert live.serving.serving == {wins: 100}
        assert ended.phase is (Phase.ROLLED_BACK if ref.service in bad else Phase.PROMOTED)
    return took


def a_pass(folder: Path, local: Path, task: int, tasks: int, *words: str) -> Done:
    """One task's, as Cloud Run starts it, in this process."""
    here = Project(folder, local)
    environ = {**here.environ, "CLOUD_RUN_TASK_INDEX": str(task), "CLOUD_RUN_TASK_COUNT": str(tasks)}
    line = ("tick", "--all", *words, "-C", str(folder), "-o", "json")
    result = CliRunner().invoke(app, line, env=environ)
    assert "Traceback" not in result.stderr, result.stderr
    return Done(result.exit_code, result.stdout, result.stderr, line)


@pytest.mark.timeout(400)
def test_tasks_take_steps_of_services_of_their_own_whatever_becomes_of_the_others(
    tmp_path: Path, shared_local: Path
) -> None:
    """A good candidate, one that turns bad under users, a service with nothing under way, and a file that is none."""
    names = {"good": "fleet-a", "late": "fleet-d", "idle": "fleet-b"}
    tasks = {name: task_of(f"projects/local/locations/local/services/{name}", 2) for name in names.values()}
    assert set(tasks.values()) == {0, 1}
    switch, project = tmp_path / "switch", {}
    late = f'{{command: ["{sys.executable}", "{LATE}", "{switch}"]}}'
    for name in names.values():
        project[name] = made = Project(tmp_path / "services" / name, shared_local, name)
        made.folder.mkdir(parents=True)
        made.configure({"good": image(), "next": image("good", "2"), "late": late})
        assert made.run_here("rollout", "--image", "good", "-o", "json").code == 0
    (tmp_path / "services" / "broken").mkdir()
    (tmp_path / "services" / "broken" / "spillway.yaml").write_text("service: [", encoding="utf-8")
    good, bad = project[names["good"]], project[names["late"]]
    for made, candidate in ((good, "next"), (bad, "late")):
        assert made.run_here("rollout", "--image", candidate, "--no-wait").code == 0
    told: dict[int, list[str]] = {0: [], 1: []}
    for _ in range(40):
        for task in (0, 1):
            done = a_pass(tmp_path, shared_local, task, 2, "--files", "services/*/spillway.yaml")
            results = {each["service"].rpartition("/services/")[2]: each for each in done.document["results"]}
            told[task] += results
            assert {tasks[name] for name in results if name in tasks} <= {task}
            if "broken/spillway.yaml" in results:
                assert results["broken/spillway.yaml"]["exit_code"] == 2
                assert done.code in (2, 13)
        if of(bad.live()).stage.percent and of(bad.live()).phase not in ENDED:
            switch.touch()
        if all(of(each.live()).phase in ENDED for each in (good, bad)):
            break
    assert of(good.live()).phase is Phase.PROMOTED
    assert of(bad.live()).phase is Phase.ROLLED_BACK
    assert of(bad.live()).reached == 50
    assert "broken/spillway.yaml" in told[0] + told[1]
    for name, task in tasks.items():
        assert name in told[task]


@pytest.mark.skipif("SPILLWAY_FLEET" not in os.environ, reason="minutes: make fleet")
@pytest.mark.timeout(1800)
def test_twenty_services_in_four_tasks(tmp_path: Path) -> None:
    names = tuple(f"chat-{n:02}" for n in range(20))
    with a_fleet(tmp_path, names, tasks=4) as fleet:
        took = hold(fleet, frozenset(names[::5]))
        told = passes(fleet[names[0]])
        print(  # noqa: T201 - what the run is for
            f"20 services, 4 bad, ended after {took:.0f}s; passes by task: "
            f"{dict(sorted(Counter(each['task'] for each in told).items()))}"
        )
        assert {each["task"] for each in told} == {0, 1, 2, 3}
