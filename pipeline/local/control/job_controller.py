"""The control plane of jobs: accepts or refuses each request; ``job_runner.py`` runs what was accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
from msgspec.structs import replace

from pipeline.local.control import job_writes
from pipeline.local.control.job_runner import JobRunner
from pipeline.local.control.job_views import execution_json, job_json, job_summary
from pipeline.local.control.jobs import Execution, Job, digests
from pipeline.local.control.operations import EXECUTION, JOB, Operation, Operations
from pipeline.local.control.state import Failure, Json, Refused, there
from pipeline.local.control.store import Shelf, must_be_saved
from pipeline.local.control.validate import check_id
from pipeline.local.control.writes import check_etag
from pipeline.local.dataplane import Attempts, StartFailed
from pipeline.local.tasks import Tasks

_KEPT = 1000  # executions of a job

log = structlog.get_logger(__name__)


class JobController:
    """Jobs and their executions of one local Cloud Run. Call from its event loop alone.

    Args:
        folder: of the server; what is accepted is kept there.
        operations: of services and jobs together.
    """

    def __init__(self, folder: Path, attempts: Attempts, operations: Operations) -> None:
        self._shelf = Shelf(folder / "jobs", Job)
        self._jobs: dict[str, Job] = {job.name: job for job in self._shelf}
        self._operations = operations
        self._attempts = attempts
        self._runner = JobRunner(Shelf(folder / "executions", Execution), operations, attempts)
        self._tasks = Tasks("a job could not be settled")

    def resume(self) -> None:
        """Take up where the last server of this state folder ended."""
        for job in list(self._jobs.values()):
            if job.reconciling:
                self._tasks.spawn(self._settle(job.name, job.generation))
        orphans = [each.name for each in self._runner if each.job not in self._jobs]
        for name in orphans:  # the server ended while they were being deleted
            self._runner.cancel(name)
        self._runner.resume()
        self._tasks.spawn(self._forget(orphans, None))

    async def close(self) -> None:
        await self._tasks.cancel()
        await self._runner.close()

    def digests(self) -> frozenset[str]:
        """Of all images that a job, or a run that is not over, names."""
        return digests(*self._jobs.values(), *(each for each in self._runner if each.completed is None))

    def snapshot(self) -> list[Json]:
        """What ``local status`` shows."""
        return [job_summary(job, self._latest(job)) for job in self._jobs.values()]

    def job(self, name: str, etag: str = "") -> Job:
        """Args: etag: that it must have, if any. Raises Refused."""
        found = there(self._jobs.get(name), f"Resource '{name}' of kind 'JOB' does not exist.")
        check_etag(found.short, etag, found.etag)
        return found

    def jobs(self, parent: str) -> tuple[Job, ...]:
        return tuple(job for job in self._jobs.values() if job.parent == parent)

    def shown(self, job: Job) -> Json:
        return job_json(job, self._latest(job))

    def execution(self, name: str, etag: str = "") -> Execution:
        """Args: etag: that it must have, if any. Raises Refused."""
        found = there(self._runner.find(name), f"Resource '{name}' of kind 'EXECUTION' does not exist.")
        check_etag(found.short, etag, found.etag)
        return found

    def executions(self, job: str) -> tuple[Execution, ...]:
        """Of a job; of all jobs of its place for ``.../jobs/-``."""
        parent, _, short = job.rpartition("/jobs/")
        if short == "-":
            return tuple(each for each in self._runner if each.job.startswith(f"{parent}/jobs/"))
        return self._runner.of(self.job(job).name)

    def create(self, parent: str, job_id: str, spec: Json, *, actor: str, validate_only: bool) -> Operation:
        check_id("job_id", job_id)
        name = f"{parent}/jobs/{job_id}"
        if name in self._jobs:
            raise Refused("ALREADY_EXISTS", f"Resource '{job_id}' already exists.")
        spec = job_writes.with_defaults(parent.split("/")[1], spec)
        return self._accept(job_writes.create(name, spec, self._operations.stamp(actor)), validate_only)

    def update(
        self, name: str, spec: Json, *, etag: str, actor: str, validate_only: bool, allow_missing: bool
    ) -> Operation:
        parent, _, job_id = name.partition("/jobs/")
        if allow_missing and name not in self._jobs:
            return self.create(parent, job_id, spec, actor=actor, validate_only=validate_only)
        current = self.job(name, etag)
        spec = job_writes.with_defaults(parent.split("/")[1], spec)
        return self._accept(job_writes.update(current, spec, self._operations.stamp(actor)), validate_only)

    def delete(self, name: str, *, etag: str, validate_only: bool) -> Operation:
        """Its executions go with it, and what runs of them is ended."""
        job = self.job(name, etag)
        gone = {**self.shown(job), "delete_time": self._operations.clock().isoformat()}
        operation = self._operations.new(job.parent, JOB, name, gone, deletes=True)

        def remove() -> None:
            with must_be_saved():
                self._shelf.remove(name)
            del self._jobs[name]
            self._operations.finish_writes(name, error=("ABORTED", f"{job.short} was deleted meanwhile."))
            self._tasks.spawn(self._forget([each.name for each in self._runner.of(name)], operation))

        return self._operations.accept(operation, remove, validate_only=validate_only)

    def run(self, name: str, overrides: Json, *, etag: str, actor: str, validate_only: bool) -> Operation:
        """Its operation ends with the execution, however that ends."""
        job = self.job(name, etag)
        execution = job_writes.run(job, overrides, self._operations.stamp(actor))
        operation = self._operations.new(job.parent, EXECUTION, execution.name, execution_json(execution))

        def start() -> None:
            self._publish(replace(job, executions=job.executions + 1, latest=execution.short))
            self._runner.start(execution)
            over = sorted((e for e in self._runner.of(name) if e.completed), key=lambda e: e.create_time)
            if surplus := [each.name for each in over[: max(len(over) - _KEPT, 0)]]:
                self._tasks.spawn(self._forget(surplus, None))

        return self._operations.accept(operation, start, validate_only=validate_only)

    def cancel(self, name: str, *, etag: str, validate_only: bool) -> Operation:
        execution = self.execution(name, etag)
        if execution.completed:
            raise Refused("FAILED_PRECONDITION", f"Execution '{execution.short}' has completed.")
        shown = execution_json(replace(execution, cancelled=True))
        operation = self._operations.new(execution.job.partition("/jobs/")[0], EXECUTION, name, shown)
        return self._operations.accept(
            operation, lambda: self._runner.cancel(name), validate_only=validate_only
        )

    def delete_execution(self, name: str, *, etag: str, validate_only: bool) -> Operation:
        execution = self.execution(name, etag)
        gone = {**execution_json(execution), "delete_time": self._operations.clock().isoformat()}
        place = execution.job.partition("/jobs/")[0]
        operation = self._operations.new(place, EXECUTION, name, gone, deletes=True)
        return self._operations.accept(
            operation, lambda: self._tasks.spawn(self._forget([name], operation)), validate_only=validate_only
        )

    async def _forget(self, executions: list[str], operation: Operation | None) -> None:
        await asyncio.gather(*map(self._runner.forget, executions))
        if operation:
            self._operations.finish(operation.name)

    def _accept(self, job: Job, validate_only: bool) -> Operation:
        def publish() -> None:
            self._publish(job)
            self._tasks.spawn(self._settle(job.name, job.generation))

        operation = self._operations.new(job.parent, JOB, job.name, self.shown(job))
        return self._operations.accept(operation, publish, validate_only=validate_only)

    async def _settle(self, name: str, generation: int) -> None:
        """Find its images, by digest, for good: what their names mean later is the next write's."""
        failure, images = await self._images(self._jobs[name])
        job = self._jobs.get(name)
        if job is None or job.generation != generation:
            return  # deleted, or written again: that write settles it
        job = self._jobs[name] = replace(job, images=images, failure=failure, reconciling=False)
        try:
            self._shelf.save(name, job)
        except OSError as fault:  # who starts anew finds it as it was written, and settles it again
            log.warning("a job was not saved", job=name, why=str(fault))
        error = ("FAILED_PRECONDITION", failure.message) if failure else None
        self._operations.finish_writes(name, subject=self.shown(job), error=error)

    async def _images(self, job: Job) -> tuple[Failure | None, Mapping[str, str]]:
        names = [each["image"] for each in job.spec["template"]["template"]["containers"]]
        try:
            async with AsyncExitStack() as stack:
                return None, {
                    image: await stack.enter_async_context(self._attempts.pinned(image)) for image in names
                }
        except StartFailed as failure:
            return Failure(failure.reason, failure.message), {}
        except OSError as fault:
            return Failure("INTERNAL", f"The local Cloud Run could not keep its images: {fault}"), {}

    def _publish(self, job: Job) -> None:
        """Raises Refused when it cannot be saved."""
        with must_be_saved():
            self._shelf.save(job.name, job)
        self._jobs[job.name] = job

    def _latest(self, job: Job) -> Execution | None:
        return self._runner.find(f"{job.name}/executions/{job.latest}") if job.latest else None
