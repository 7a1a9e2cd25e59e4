"""kill -9 at the boundaries of the API calls of four commands, then the same command: the same end, nothing twice.

``python -m bench.kills 0`` kills at every look as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.local import daemon
from tests.e2e.project import Project
from tests.faults.kills import CASES, telling_points
from tests.faults.lanes import Lane, side_by_side
from tests.simulation.seeds import commit

LANES = 6


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lane]]:
    folder = tmp_path_factory.mktemp("kills")
    state: Path = folder / "state"
    daemon.up(state, {}, strict_masks=True)
    try:
        yield [Lane(Project(folder / f"lane-{n}", state, f"lane-{n}")) for n in range(LANES)]
    finally:
        daemon.down(state)


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", CASES)
def test_a_command_that_is_killed_anywhere_comes_to_the_same_end(lanes: list[Lane], name: str) -> None:
    case = CASES[name]
    calls, end = case.record(lanes[0])
    begins_like = CASES[case.begins_like].record(lanes[1])[0] if case.begins_like else ()
    points = [(point,) for point in telling_points(calls, commit(), begins_like)]
    done = list(side_by_side(lanes, lambda lane, point: case.kill(lane, point, end), points))
    assert [fault for killed in done for fault in killed.faults] == []
    assert (sum(k.lost for k in done), sum(k.doubled for k in done)) == (0, 0)
    reached = {(p.name, p.moment) for killed in done for p in killed.reached}
    wanted = {(point.name, point.moment) for (point,) in points if point.number == 1}
    assert reached >= wanted, "each kind of call was killed at each of its moments"
    assert sum(bool(killed.reached) for killed in done) >= 0.9 * len(done)
    assert end.made == end.applies <= 1
