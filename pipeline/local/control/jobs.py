"""A job, its executions and their tasks as the Admin API v2 keeps them.

What a client may write of a job is its *spec*, proto JSON with snake_case keys, as for a service. Each run takes the
template of that moment, with what the run overrides, and keeps it: an execution never changes what it runs. A task is
attempted until one attempt succeeds or there are no retries left:

    PENDING -> RUNNING -> SUCCEEDED | FAILED | CANCELLED        an attempt that failed goes back to PENDING

An execution is over when all its tasks are.
Source: docstrings of google.cloud.run_v2.Job, Execution, Task and RunJobRequest.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.local.control.state import Failure, Json, Written, digests_in
from pipeline.local.dataplane import AttemptEnd

DEFAULT_TASK_TIMEOUT = "600s"
DEFAULT_RETRIES = 3


class TaskState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED})


class Task(Struct, frozen=True):
    """One of an execution's.

    Args:
        attempt: of the attempt that runs or ran last, from 0.
        last: how the attempt before it, or the last, ended.
    """

    index: int
    state: TaskState = TaskState.PENDING
    attempt: int = 0
    started: datetime | None = None
    completed: datetime | None = None
    last: AttemptEnd | None = None


class Job(Written, frozen=True):
    """One job. ``images``: by the template's names of them, by digest; ``failure``: why it cannot run."""

    generation: int
    update_time: datetime
    last_modifier: str
    spec: Json
    images: Mapping[str, str] = field(default_factory=dict)
    failure: Failure | None = None
    reconciling: bool = True
    executions: int = 0
    latest: str = ""

    @property
    def parent(self) -> str:
        return self.name.partition("/jobs/")[0]


class Execution(Written, frozen=True):
    """One run of a job. ``template``: an ExecutionTemplate, defaults and overrides in it; ``cancelled``: it was asked for."""

    template: Json
    images: Mapping[str, str]
    tasks: tuple[Task, ...]
    completed: datetime | None = None
    cancelled: bool = False

    @property
    def job(self) -> str:
        return self.name.partition("/executions/")[0]

    @property
    def task_template(self) -> Json:
        return dict(self.template["template"])

    @property
    def retries(self) -> int:
        return int(self.task_template["max_retries"])

    def count(self, *states: TaskState) -> int:
        return sum(task.state in states for task in self.tasks)

    def with_task(self, task: Task) -> Execution:
        return replace(self, tasks=tuple(task if old.index == task.index else old for old in self.tasks))


def begun(task: Task, at: datetime) -> Task:
    """The task with its attempt under way; one that was tried before with the next."""
    attempt = task.attempt + 1 if task.last is not None else task.attempt
    return replace(task, state=TaskState.RUNNING, attempt=attempt, started=task.started or at)


def ended(task: Task, how: AttemptEnd, retries: int, at: datetime) -> Task:
    """The task after an attempt: done, to be tried again, or failed for good."""
    if how.is_good:
        return replace(task, state=TaskState.SUCCEEDED, last=how, completed=at)
    if task.attempt < retries:
        return replace(task, state=TaskState.PENDING, last=how)
    return replace(task, state=TaskState.FAILED, last=how, completed=at)


def cancelled(task: Task, at: datetime) -> Task:
    return task if task.state in ENDED else replace(task, state=TaskState.CANCELLED, completed=at)


def digests(*kept: Job | Execution) -> frozenset[str]:
    """Image digests (64 hex digits) that these name."""
    return digests_in(
        *((each.spec if isinstance(each, Job) else each.template, dict(each.images)) for each in kept)
    )
