"""Sockets on a revision that was sent back, on real instances: asked to go, or gone with their revision.

``make drain`` does it with 200 sockets over three instances, and prints what it saw.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline.app.wiring import SystemClock
from pipeline.core import record
from pipeline.driving.restore import Cause, restore
from pipeline.judging.terms import Drain
from pipeline.model import CANDIDATE_TAG, DRAIN_ANNOTATION
from tests.e2e.project import Project
from tests.e2e.stayers import Stayers

SLOW = Path(__file__).with_name("slow.py")
STAGES = ("{percent: 0}", "{percent: 50, soak: 500ms, hold: true}", "{percent: 100, soak: 500ms}")
IS_WHOLE = "SPILLWAY_DRAIN_SOCKETS" in os.environ
MARGIN_S = 60.0  # beyond a window, on a machine that is busy with other things


@dataclass(frozen=True)
class Size:
    """How many sockets over how many instances, and within how long. ``runs``: how long users' runs take."""

    sockets: int
    instances: int
    window_s: int
    runs: tuple[float, ...]


SIZE = (
    Size(int(os.environ["SPILLWAY_DRAIN_SOCKETS"]), 3, 60, (3.0, 7.0, 15.0))
    if IS_WHOLE
    else Size(12, 2, 10, (1.0, 2.0))
)


def paused_at_half(project: Project, drain: str, within: str = "1s") -> str:
    """The address of a candidate that has half of the traffic. Args: within: after so long a run is late."""
    command = f'{{command: ["{sys.executable}", "{SLOW}"], env: {{BUILD: "%s"}}}}'
    room = SIZE.sockets // SIZE.instances + 1
    project.configure(
        {"good": command % 1, "next": command % 2}, STAGES,
        **{
            "startup: 30s": f"startup: 10s, concurrency: {room + 2}, max-instances: 4, min-instances: {SIZE.instances}",
            "within: 20s": "within: 30s",
            "heartbeat: 2s": f"heartbeat: 2s\nevidence: {{within: {within}}}\ndrain: {drain}",
        },
    )  # fmt: skip
    assert project.run_here("rollout", "--image", "good", "-o", "json").code == 0
    done = project.run_here("rollout", "--image", "next", "-o", "json")
    assert done.document["outcome"] == "paused", done.stderr
    return project.live().serving.uri_of(CANDIDATE_TAG)


def instances(project: Project, revision: str) -> int:
    rows = json.loads(project.run_here("local", "status", "-o", "json").stdout)["processes"]
    (row,) = [row for row in rows if row["revision"] == revision and row["service"] == project.ref.name]
    return len(row["pids"])


def told(project: Project, there: Stayers, began: float, what: str) -> None:
    """For ``make drain``."""
    last = max(each.closed_at for each in there.each) - began
    codes = Counter(each.code for each in there.each)
    cut = sum(bool(each.cut) for each in there.each)
    runs = sum(each.done for each in there.each)
    print(f"\n{what}: {len(there.each)} sockets closed with {dict(codes)}, the last {last:.1f}s after the roll-back was asked"  # noqa: T201
          f" for; {runs} runs came to their end, {cut} were cut")  # fmt: skip


def test_instances_that_are_asked_let_every_run_end_and_close_all_within_the_window(empty: Project) -> None:
    url = paused_at_half(empty, f"{{how: ask, max: {SIZE.window_s}s}}")
    candidate = empty.live().serving.tagged(CANDIDATE_TAG)
    assert candidate
    with Stayers(url, SIZE.sockets, SIZE.runs) as there:
        assert instances(empty, candidate) >= SIZE.instances
        assert DRAIN_ANNOTATION not in empty.live().annotations
        began = time.time()
        done = empty.run_here("rollback", empty.ref.name, "-o", "json")
        assert done.code == 0, done.stderr
        asked = time.time()
        assert empty.live().serving.serving == {done.document["target"]: 100}
        assert there.left(SIZE.window_s + MARGIN_S) == 0
        told(empty, there, began, "asked")
    assert {each.code for each in there.each} == {1012}
    assert all(re.fullmatch(r"retry-after=[1-5]", each.reason) for each in there.each)
    assert [each.cut for each in there.each if each.cut] == []
    assert all(each.done for each in there.each)
    spread = max(each.closed_at for each in there.each) - min(each.closed_at for each in there.each)
    assert spread > SIZE.window_s / 3
    if IS_WHOLE:
        assert max(each.closed_at for each in there.each) < asked + SIZE.window_s
    assert candidate in {each.name for each in empty.revisions()}
    done = empty.run_here("rollback", empty.ref.name, "--drain", "delete", "-o", "json")
    assert (done.code, done.document["verified"]) == (0, True), done.stderr
    assert f"{candidate} is deleted" in done.stderr
    assert candidate not in {each.name for each in empty.revisions()}


def test_a_revision_that_is_deleted_takes_its_sockets_along_and_who_was_cut_is_counted(
    empty: Project,
) -> None:
    """A third of them have runs that are longer than the ten seconds that instances are given.

    Whoever rolled back was killed right after that was read back: a tick goes on.
    """
    url = paused_at_half(empty, "delete", "2m")
    candidate = empty.live().serving.tagged(CANDIDATE_TAG)
    assert candidate
    with Stayers(url, SIZE.sockets, (1.0, 2.0, 60.0)) as there:
        before = {each.name for each in empty.revisions()}
        began = time.time()
        with empty.platform() as platform:
            back = restore(platform, SystemClock(), empty.ref, Cause("felt wrong", "ada", by_hand=True))
        assert back.verified
        assert there.left(0) == SIZE.sockets, "traffic goes back first"
        done = empty.run_here("tick", "-o", "json")
        assert done.document["outcome"] == "rolled_back_by_hand", done.stderr
        assert there.left(MARGIN_S) == 0
        told(empty, there, began, "deleted")
    assert {each.code for each in there.each} == {1012}
    cut = [each for each in there.each if each.cut]
    assert {each.seconds for each in cut} == {60.0}
    assert len(cut) == sum(each.seconds == 60.0 for each in there.each)
    current = record.readable(empty.live())
    assert current is not None
    assert current.draining is not None
    told_of = empty.run_here("status", empty.ref.name, "-o", "json").document
    assert told_of["draining"].endswith(f"{len(there.each)} sockets closed with 1012, {len(cut)} runs cut")
    assert {row["open"] for row in told_of["sockets"] if row["revision"] == candidate} == {0}
    assert (current.draining.how, current.draining.note) == (Drain.DELETE, "")
    assert {each.name for each in empty.revisions()} == before - {candidate} | {current.draining.put_back}
    assert empty.live().serving.serving == {back.target: 100}
