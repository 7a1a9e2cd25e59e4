"""The control plane of jobs over processes that are made up: no operation stays open, whatever ends early or cannot be kept."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pipeline.local.control.job_controller import JobController
from pipeline.local.control.operations import Operation, Operations
from pipeline.local.control.store import Shelf
from pipeline.local.dataplane import AttemptEnd, AttemptSpec

PARENT = "projects/local/locations/here"
NAME = f"{PARENT}/jobs/worker"
SPEC = {"template": {"template": {"containers": [{"image": "worker"}]}, "task_count": 2}}


class FakeAttempts:
    """Finds images once ``found`` is set, if the disk takes them; an attempt runs until it is ended, then says goodbye."""

    def __init__(self) -> None:
        self.found = asyncio.Event()
        self.goodbye = asyncio.Event()
        self.full = False
        self.running: set[tuple[str, int]] = set()
        self.begun = 0

    @asynccontextmanager
    async def pinned(self, image: str) -> AsyncIterator[str]:
        await self.found.wait()
        if self.full:
            raise OSError(28, "No space left on device")
        yield image

    async def attempt(self, spec: AttemptSpec) -> AttemptEnd:
        self.begun += 1
        self.running.add((spec.execution, spec.index))
        try:
            await asyncio.Event().wait()
        finally:
            async with asyncio.timeout(60):
                await self.goodbye.wait()
            self.running.discard((spec.execution, spec.index))
        return AttemptEnd()


class World:
    """One state folder, and the control plane that works on it until ``restart``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begin()

    def begin(self) -> None:
        self.attempts = FakeAttempts()
        self.operations = Operations(Shelf(self.folder / "operations", Operation))
        self.jobs = JobController(self.folder, self.attempts, self.operations)
        self.jobs.resume()

    async def restart(self) -> None:
        self.attempts.goodbye.set()
        await self.jobs.close()
        self.begin()

    def create(self) -> Operation:
        return self.jobs.create(PARENT, "worker", SPEC, actor="me", validate_only=False)

    async def running(self) -> tuple[str, ...]:
        """A job that is there, with two runs under way."""
        self.attempts.found.set()
        await self.done(self.create())
        runs = [self.jobs.run(NAME, {}, etag="", actor="me", validate_only=False) for _ in range(2)]
        while len(self.attempts.running) < 4:
            await asyncio.sleep(0)
        return tuple(each.target for each in runs)

    def delete(self) -> Operation:
        return self.jobs.delete(NAME, etag="", validate_only=False)

    async def done(self, operation: Operation) -> Operation:
        ended = await self.operations.wait(operation.name, 20)
        assert ended.is_done
        return ended


async def a_while() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_write_ends_when_its_job_is_deleted_meanwhile(tmp_path: Path) -> None:
    world = World(tmp_path)
    created = world.create()
    await world.done(world.delete())
    ended = await world.done(created)
    assert ended.error == ("ABORTED", "worker was deleted meanwhile.")
    await world.jobs.close()


async def test_a_write_ends_where_the_disk_takes_no_image(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.attempts.full = True
    world.attempts.found.set()
    code, message = (await world.done(world.create())).error or ("", "")
    assert code == "FAILED_PRECONDITION"
    assert "No space left" in message
    await world.jobs.close()


async def test_a_write_ends_where_the_disk_does_not_take_what_became_of_it(tmp_path: Path) -> None:
    world = World(tmp_path)
    created = world.create()
    shutil.rmtree(tmp_path / "jobs")
    world.attempts.found.set()
    assert (await world.done(created)).error is None
    assert not world.jobs.job(NAME).reconciling
    await world.jobs.close()


async def test_a_deletion_ends_all_runs_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    runs = await world.running()
    deletion = world.delete()
    await a_while()
    assert all(world.jobs.execution(name).cancelled for name in runs)
    world.attempts.goodbye.set()
    await world.done(deletion)
    assert world.jobs.executions(f"{PARENT}/jobs/-") == ()
    await world.jobs.close()


async def test_a_run_is_deleted_twice(tmp_path: Path) -> None:
    """Its job's deletion comes to it when its own has taken it away."""
    world = World(tmp_path)
    (run, _) = await world.running()
    world.attempts.goodbye.set()
    one = world.jobs.delete_execution(run, etag="", validate_only=False)
    await world.done(world.delete())
    await world.done(one)
    await world.jobs.close()


async def test_runs_of_a_job_that_was_deleted_do_not_go_on_after_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.running()
    world.delete()
    await world.restart()
    await a_while()
    assert world.attempts.begun == 0
    assert world.jobs.executions(f"{PARENT}/jobs/-") == ()
    assert list((tmp_path / "executions").glob("*.json")) == []
    await world.jobs.close()
