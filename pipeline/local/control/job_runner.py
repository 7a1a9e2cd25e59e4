"""Runs executions: so many tasks at once as they allow, each attempted until it succeeds or has no retries left.

What a restart of the server interrupts is an attempt that failed: its task is tried again if it may be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import structlog
from msgspec.structs import replace

from pipeline.local.control import jobs
from pipeline.local.control.job_views import execution_json
from pipeline.local.control.jobs import ENDED, Execution, Task, TaskState
from pipeline.local.control.operations import Operations
from pipeline.local.control.running import container_specs
from pipeline.local.control.state import seconds
from pipeline.local.control.store import Shelf
from pipeline.local.dataplane import AttemptEnd, Attempts, AttemptSpec, StartFailed
from pipeline.local.tasks import Tasks

_AT_ONCE = 8  # tasks of one execution on one machine, whatever its parallelism
_INTERRUPTED = AttemptEnd(signal=9, message="The local Cloud Run was started anew while it ran.")

log = structlog.get_logger(__name__)


class JobRunner:
    """The executions of all jobs. Call from the event loop alone."""

    def __init__(self, shelf: Shelf[Execution], operations: Operations, attempts: Attempts) -> None:
        self._shelf = shelf
        self._operations = operations
        self._attempts = attempts
        self._clock = operations.clock
        self._known = {each.name: each for each in shelf}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks("an execution failed")

    def resume(self) -> None:
        """Go on with what the last server left unfinished."""
        for execution in [each for each in self._known.values() if each.completed is None]:
            for task in execution.tasks:
                if task.state is TaskState.RUNNING:
                    self._change(
                        execution.name, jobs.ended(task, _INTERRUPTED, execution.retries, self._clock())
                    )
            self._begin(execution.name)

    async def close(self) -> None:
        """End every process; what is unfinished is taken up by the next ``resume``."""
        await self._tasks.cancel()

    def of(self, job: str) -> tuple[Execution, ...]:
        return tuple(each for each in self._known.values() if each.job == job)

    def find(self, name: str) -> Execution | None:
        return self._known.get(name)

    def __iter__(self) -> Iterator[Execution]:
        return iter(tuple(self._known.values()))

    def start(self, execution: Execution) -> None:
        self._keep(execution)
        self._begin(execution.name)

    def cancel(self, name: str) -> None:
        """SIGTERM, 10 s, SIGKILL to what runs of it; nothing else of it begins."""
        self._keep(replace(self._known[name], cancelled=True))
        if running := self._running.get(name):
            running.cancel()

    async def forget(self, name: str) -> None:
        """Cancel it if it runs, and keep nothing of it."""
        known = self._known.get(name)
        if known and known.completed is None:
            self.cancel(name)
            if running := self._running.get(name):
                await asyncio.wait([running])
        self._known.pop(name, None)
        try:
            self._shelf.remove(name)
        except OSError as fault:
            log.warning("an execution was not removed", execution=name, why=str(fault))

    def _begin(self, name: str) -> None:
        self._running[name] = self._tasks.spawn(self._run(name))

    async def _run(self, name: str) -> None:
        execution = self._known[name]
        turns = asyncio.Semaphore(
            min(execution.template.get("parallelism") or len(execution.tasks), _AT_ONCE)
        )
        try:
            if not execution.cancelled:
                async with asyncio.TaskGroup() as group:  # cancelled, it ends when the last of them has
                    for task in execution.tasks:
                        group.create_task(self._drive(name, task.index, turns))
        except asyncio.CancelledError:
            if not self._known[name].cancelled:
                raise  # the server ends: the next one goes on
        self._running.pop(name, None)
        self._finish(name)

    def _finish(self, name: str) -> None:
        execution, now = self._known[name], self._clock()
        tasks = tuple(jobs.cancelled(task, now) for task in execution.tasks)
        execution = replace(execution, tasks=tasks, completed=now)
        self._keep(execution)
        self._operations.finish_writes(name, subject=execution_json(execution))

    async def _drive(self, name: str, index: int, turns: asyncio.Semaphore) -> None:
        while self._task(name, index).state not in ENDED:
            async with turns:
                task = jobs.begun(self._task(name, index), self._clock())
                self._change(name, task)
                how = await self._attempt(self._known[name], task)
                self._change(name, jobs.ended(task, how, self._known[name].retries, self._clock()))

    async def _attempt(self, execution: Execution, task: Task) -> AttemptEnd:
        template = execution.task_template
        spec = AttemptSpec(
            execution.job, execution.short, task.index, task.attempt, len(execution.tasks),
            tuple(container_specs(template, execution.images)), seconds(template["timeout"]),
            is_inside=bool(template.get("vpc_access")),
        )  # fmt: skip
        try:
            return await self._attempts.attempt(spec)
        except StartFailed as failure:
            return AttemptEnd(exit_code=1, message=failure.message)
        except OSError as fault:
            return AttemptEnd(exit_code=1, message=f"The local Cloud Run could not start it: {fault}")

    def _task(self, name: str, index: int) -> Task:
        return self._known[name].tasks[index]

    def _change(self, name: str, task: Task) -> None:
        self._keep(self._known[name].with_task(task))

    def _keep(self, execution: Execution) -> None:
        """What the disk does not take is known until the server ends."""
        self._known[execution.name] = execution
        try:
            self._shelf.save(execution.name, execution)
        except OSError as fault:
            log.warning("an execution was not saved", execution=execution.name, why=str(fault))
