"""The README's first five minutes for a service of one's own, in three unlike repositories, as a new user types them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests import repositories
from tests.e2e.project import Project
from tests.repositories import ALL, NODE, STARLETTE, Repository


@pytest.mark.timeout(600)
@pytest.mark.parametrize("repository", ALL, ids=lambda each: each.name)
def test_init_a_first_deployment_and_a_bad_revision_sent_back(repository: Repository, tmp_path: Path) -> None:
    if repository is NODE and not shutil.which("node"):
        pytest.skip("node is not here")
    folder = repositories.plant(repository, tmp_path, installed=True)
    project = Project(folder, folder / ".spillway" / "local", repository.service)
    assert project.run("init", "-y").code == 0
    try:
        assert project.run("local", "up").code == 0
        assert project.run("plan", "--image", "app").code == 0
        first = project.run("rollout", "--env", "local", "--image", "app", "-o", "json")
        assert (first.code, first.document["outcome"]) == (0, "first_deployment"), first.stderr
        stable = project.live().serving.serving
        taken = project.run("init", "-y", "--dry-run", "--from", project.ref.name)
        assert (taken.code, f"service: {repository.service}" in taken.stdout) == (0, True), taken.stderr
        file, good, bad = repository.breaks
        source = folder / file
        text = source.read_text(encoding="utf-8")
        assert text.count(good) == 1
        source.write_text(text.replace(good, bad), encoding="utf-8")
        second = project.run("rollout", "--env", "local", "--image", "app", "-o", "json")
        assert (second.code, second.document["outcome"]) == (11, "stopped_at_zero"), second.stderr
        assert project.live().serving.serving == stable
        assert json.loads(project.run("status", "-o", "json").stdout)["service"].endswith(repository.service)
    finally:
        project.down()


@pytest.mark.timeout(600)
def test_the_telemetrys_lines_as_they_are_printed_show_users(tmp_path: Path) -> None:
    folder = repositories.plant(STARLETTE, tmp_path, installed=True)
    project = Project(folder, folder / ".spillway" / "local", STARLETTE.service)
    told = project.run("init", "-y").stderr
    number = int(re.search(r"server\.py:(\d+)  after this line", told)[1])  # type: ignore[index]
    added = re.findall(r"^    (from pipeline\S+ import \S+|app\.add_middleware\(.*\))$", told, re.MULTILINE)
    source = folder / "server.py"
    lines = source.read_text(encoding="utf-8").splitlines()
    source.write_text("\n".join([*lines[:number], *added, *lines[number:]]), encoding="utf-8")
    try:
        assert project.run("local", "up").code == 0
        assert project.run("rollout", "--image", "app").code == 0
        assert project.run("probe", project.live().uri, "--sessions", "7").code == 0
        answers = project.run("doctor", "-o", "json").document["answers"]
        (found,) = [each for each in answers if each["name"] == "telemetry"]
        assert found["said"] == "7 sockets of users, 7 runs in the last hour"
    finally:
        project.down()
