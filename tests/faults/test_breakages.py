"""A roll-back with other things broken: nothing, each of ten alone, all, and a third of the pairs, as the commit draws.

One whose own way is broken must be seen. ``make breakages`` plays all sets.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from pipeline.local import daemon, endpoint
from tests import processes
from tests.e2e.project import Project
from tests.faults import breaking
from tests.faults.breakages import Night
from tests.faults.lanes import Lane, side_by_side
from tests.simulation.seeds import commit

LANES = 2
PAIRS = random.Random(commit()).sample(list(combinations(breaking.ALL, 2)), 15)
SETS = [(), *((name,) for name in breaking.ALL), *PAIRS, breaking.ALL]


@pytest.fixture
def lanes(tmp_path: Path) -> Iterator[list[Lane]]:
    state = tmp_path / "state"
    daemon.up(state, {}, strict_masks=True)
    try:
        yield [Lane(Project(tmp_path / f"lane-{n}", state, f"lane-{n}")) for n in range(LANES)]
    finally:
        daemon.down(state)


@pytest.mark.timeout(900)
def test_traffic_comes_back_with_things_broken(lanes: list[Lane]) -> None:
    nights = {id(lane): Night.of(lane) for lane in lanes}
    tasks = list(enumerate(SETS))
    came = list(side_by_side(lanes, lambda lane, task: nights[id(lane)].roll_back(task[1], task[0]), tasks))
    assert len(came) == 27
    assert [(one.broken, one.faults) for one in came if one.faults] == []


def test_a_way_back_that_is_broken_itself_is_counted_as_failed(lanes: list[Lane]) -> None:
    night = Night.of(lanes[0])
    server = endpoint.read(lanes[0].project.local).pid

    def kill() -> None:
        os.kill(server, signal.SIGKILL)
        processes.until(lambda: not processes.exists(server))

    came = night.roll_back((), before=kill)
    assert any("exit 2" in fault for fault in came.faults), came.faults
    assert "it was not read back" in came.faults
    assert any("nothing can be seen" in fault for fault in came.faults)
