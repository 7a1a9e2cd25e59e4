"""Services of a test on one local Cloud Run, side by side: each has a folder, a stable revision, and one user of it."""

from __future__ import annotations

import os
import queue
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from pipeline.core import record
from pipeline.core.rollout import Phase, Rollout
from pipeline.model import LiveService, Split
from tests.e2e.project import Project
from tests.faults.forked import Ended, Order, run

SERVICE = Path(__file__).parent / "service.py"
STAGES = ("{percent: 0}", "{percent: 50, soak: 200ms}", "{percent: 100, soak: 200ms}")
HELD = (STAGES[0], "{percent: 50, hold: true}", STAGES[-1])
ENDLESS = (STAGES[0], "{percent: 50, soak: 2h}", STAGES[-1])
_PATIENT = {"within: 20s": "within: 60s", "startup: 30s": "startup: 60s", "heartbeat: 2s": "heartbeat: 10s"}


LONG_AGO = timedelta(minutes=1)  # a driver's last heartbeat: whoever comes need not watch it first


@dataclass(slots=True)
class Lane:
    """One service and what is done to it. Not for two threads at once."""

    project: Project
    builds: int = 0
    stable: str = ""
    latest: str = ""  # build
    wishes: Path = field(init=False)  # where the present candidate looks whether to fail or to hang

    def __post_init__(self) -> None:
        self.project.folder.mkdir(parents=True)
        self.stable = f"{self.project.service}-stable"
        self.begin_with(self.stable)
        done = self.run("rollout", "--image", self.stable)
        assert done.code == 0, self.said()

    def begin_with(
        self, build: str, stages: tuple[str, ...] = STAGES, keeps: str = "", **replaced: str
    ) -> None:
        """A configuration with a build that was not there before, beside the one that is kept."""
        self.wishes = self.project.folder / f"wishes-{build}"
        self.wishes.mkdir()
        names = dict.fromkeys(name for name in (self.stable, keeps, build) if name)
        self.project.configure({n: self._image(n) for n in names}, stages, **{**_PATIENT, **replaced})

    def _image(self, build: str) -> str:
        wishes = self.project.folder / f"wishes-{build}"
        return f'{{command: ["{sys.executable}", "-I", "{SERVICE}", "{wishes}"], env: {{BUILD: "{build}"}}}}'

    def next_build(self) -> str:
        self.builds += 1
        self.latest = (
            f"{self.project.service}-k{self.builds}"  # a name of this lane alone: images are found by name
        )
        return self.latest

    def order(self, *words: str, **options: object) -> Order:
        environment = {
            "CI": "true", "NO_COLOR": "1", "HOME": os.environ.get("HOME", "/"), "SPILLWAY_OUTPUT": "json",
            "SPILLWAY_LOCAL_DIR": str(self.project.local), "SPILLWAY_ENGINE": "in-process",
        }  # fmt: skip
        return Order(words, self.project.folder, environment, **options)  # type: ignore[arg-type]

    def run(self, *words: str, **options: object) -> Ended:
        return run(self.order(*words, **options))

    def said(self) -> str:
        """What the last command printed."""
        return "".join((self.project.folder / name).read_text() for name in ("stderr", "stdout"))

    def record(self) -> Rollout:
        found = record.of(self.project.live())
        assert found is not None
        return found

    def write(self, rollout: Rollout, split: Split, phase: Phase | None = None) -> LiveService:
        """Put the service back to a moment of a rollout, by a write as a driver would have made it."""
        with self.project.platform() as platform:
            live = platform.read(self.project.ref)
            current = record.readable(live)
            again = replace(
                rollout, phase=phase or rollout.phase, epoch=current.epoch if current else rollout.epoch
            )
            again = record.written(again, live, datetime.now(UTC) - LONG_AGO, "")
            annotations = record.annotated(live, again)
            platform.write(self.project.ref, etag=live.etag, annotations=annotations, split=split)
            return platform.read(self.project.ref)

    def tidy(self) -> None:
        """Delete the revisions that nothing needs any more."""
        with self.project.platform() as platform:
            live = platform.read(self.project.ref)
            needed = {*live.wanted.revisions, *live.serving.revisions, live.latest_created, live.latest_ready}
            for revision in platform.revisions(self.project.ref):
                if revision.name not in needed:
                    platform.delete_revision(self.project.ref, revision.name)


Task = TypeVar("Task")
Result = TypeVar("Result")


def side_by_side(
    lanes: Sequence[Lane], work: Callable[[Lane, Task], Result], tasks: Iterable[Task]
) -> Iterator[Result]:
    """The results in the order of the tasks; each lane takes the next task when it is free."""
    free: queue.SimpleQueue[Lane] = queue.SimpleQueue()
    for lane in lanes:
        free.put(lane)

    def take(task: Task) -> Result:
        lane = free.get()
        try:
            return work(lane, task)
        finally:
            free.put(lane)

    with ThreadPoolExecutor(len(lanes)) as threads:
        yield from threads.map(take, tasks)
