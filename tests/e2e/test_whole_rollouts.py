"""Whole rollouts with users on real sockets: bad candidates go back, good ones do not, though the network loses some.

Two of each kind in an ordinary run; ``make rollouts`` holds TIMES (20) of each.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pipeline.local import daemon
from tests.e2e.people import People
from tests.e2e.project import Project

TIMES = int(os.environ.get("SPILLWAY_ROLLOUTS", "1"))
PATIENT = Path(__file__).with_name("patient.py")
BACK = {"rolled_back", "stopped_at_zero"}
PATIENCE_S = 600  # its stages end by their own deadlines, after six minutes at the most

CONFIG = """\
service: {service}
environments:
  local: {{endpoint: local}}
images:
{images}
container: {{startup: 60s, deletion-protection: false, {container}}}
scenarios:
  agent-run:
    path: /ws
    send: {{type: execute_agent}}
    expect: [agent_started, agent_thinking, tool_executing, tool_completed, agent_completed]
    within: 5s
stages:
  - {{percent: 0, deadline: 2m}}
  - {{percent: 50, soak: 5s, deadline: 2m}}
  - {{percent: 100, soak: 3s, deadline: 2m}}
criteria:
  server_error_1011: {{limit: 8%}}
  agent_completed: {{limit: 8%}}
  abnormal_1006: {{limit: 8%}}
evidence: {{block: 1s, within: 3s, lateness: 1s, warm-up: 0s, min-trials: 20, min-clients: 5}}
probes: {{every: 1s, sessions: 3}}
heartbeat: 5s
"""

_NUMBERS = count()


@dataclass
class Clinic:
    """One service, its users, and candidates one after the other."""

    project: Project
    container: str = ""
    images: dict[str, str] = field(default_factory=dict)
    stable: str = ""

    def roll(self, **faults: object) -> dict[str, Any]:
        """A rollout of a candidate that has these faults; what the command answered."""
        build = f"build-{next(_NUMBERS)}"
        env = ", ".join(f'{name}: "{value}"' for name, value in {"BUILD": build, **faults}.items())
        self.images[build] = f'{{command: ["{sys.executable}", "{PATIENT}"], env: {{{env}}}}}'
        self._configure(build)
        done = self.project.run("rollout", "--image", build, "-o", "json")
        document = done.document
        if document["outcome"] in ("promoted", "first_deployment"):
            self.stable = build
        return document

    def _configure(self, build: str) -> None:
        self.project.folder.mkdir(parents=True, exist_ok=True)
        kept = {name: self.images[name] for name in {build, self.stable} if name}
        lines = "\n".join(f"  {name}: {value}" for name, value in kept.items())
        text = CONFIG.format(service=self.project.service, images=lines, container=self.container)
        self.project.file.write_text(text, encoding="utf-8")

    @contextmanager
    def visited(self, **options: Any) -> Iterator[People]:
        with People(self.project.live().uri, **options) as people:
            yield people


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("rollouts") / "state"
    daemon.up(folder, {}, strict_masks=True, trust_forwarded=True)
    yield folder
    daemon.down(folder)


def clinic(tmp_path: Path, place: Path, container: str = "max-instances: 1", **faults: object) -> Clinic:
    project = Project(tmp_path / "project", place, f"patient-{next(_NUMBERS)}", patience_s=PATIENCE_S)
    made = Clinic(project, container)
    said = made.roll(**faults)
    assert said["outcome"] == "first_deployment", said
    return made


#: Of what is found by few runs in many, one rollout in every run of the tests says little.
OFTEN = pytest.mark.skipif(
    "SPILLWAY_ROLLOUTS" not in os.environ, reason="not part of every run: make rollouts"
)
KINDS = [
    pytest.param({}, {}, {"promoted"}, id="healthy"),
    pytest.param({"FAILS": 1}, {}, BACK, id="fails-all"),
    pytest.param({"FAILS": 1, "PEOPLE": 1}, {}, {"rolled_back"}, id="fails-all-users"),
    pytest.param({"FAILS": 0.2}, {}, BACK, id="fails-one-in-five", marks=OFTEN),
    pytest.param({"FAILS": 0.2, "PEOPLE": 1}, {}, {"rolled_back"}, id="fails-one-user-in-five", marks=OFTEN),
    pytest.param({}, {"LOSES": 0.01}, {"promoted"}, id="healthy-on-a-bad-network", marks=OFTEN),
    pytest.param({"FAILS": 0.2}, {"LOSES": 0.01}, BACK, id="fails-one-in-five-on-a-bad-network", marks=OFTEN),
]


@pytest.mark.timeout(12000)
@pytest.mark.parametrize(("faults", "network", "wanted"), KINDS)
def test_each_gets_what_it_deserves(
    tmp_path: Path, place: Path, faults: dict[str, object], network: dict[str, object], wanted: set[str]
) -> None:
    made = clinic(tmp_path, place, **network)
    ended: Counter[str] = Counter()
    with made.visited(breaks=0.01 if network else 0.0) as people:
        for _ in range(TIMES):
            said = made.roll(**faults, **network)
            ended[f"{said['outcome']}: {said.get('reason', '')}"] += 1
    assert people.came_to["ok"]
    assert {words.partition(":")[0] for words in ended} <= wanted, ended


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    "faults",
    [
        pytest.param({"EXITS": 40}, id="crash-loop-with-exit-0"),
        pytest.param({"LEAKS": 60}, id="slow-memory-death", marks=OFTEN),
        pytest.param({"TIRES": 6, "PEOPLE": 1}, id="returning-clients-from-half-time-on", marks=OFTEN),
    ],
)
def test_what_shows_late_is_not_promoted(tmp_path: Path, place: Path, faults: dict[str, object]) -> None:
    made = clinic(tmp_path, place)
    with made.visited():
        said = made.roll(**faults)
    assert said["outcome"] in {*BACK, "paused"}, said


@pytest.mark.timeout(1500)
def test_one_sick_instance_of_three_is_not_promoted(tmp_path: Path, place: Path) -> None:
    made = clinic(tmp_path, place, "min-instances: 3, max-instances: 3")
    with made.visited():
        said = made.roll(SICK=tmp_path / "sick")
    assert said["outcome"] in {*BACK, "paused"}, said
