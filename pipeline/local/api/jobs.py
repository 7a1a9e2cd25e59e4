"""Jobs, their executions and tasks, as rows of both faces: messages in, values to the controller, messages out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from google.cloud import run_v2

from pipeline.local.api.methods import Caller, Method, lists, location, reads, writes
from pipeline.local.control import codec
from pipeline.local.control.job_controller import JobController
from pipeline.local.control.job_views import execution_json, task_json
from pipeline.local.control.jobs import Execution, Task
from pipeline.local.control.operations import Operation
from pipeline.local.control.state import Json, invalid, there

_JOB = re.compile(r"projects/[^/]+/locations/[^/]+/jobs/[^/]+")
_EXECUTION = re.compile(rf"{_JOB.pattern}/executions/[^/]+")
_TASK = re.compile(rf"({_EXECUTION.pattern})/tasks/([^/]+)")


def offered(controller: JobController) -> tuple[Method, ...]:
    """Every row."""
    return (*_jobs(controller), *_executions(controller), *_tasks(controller))


def _jobs(controller: JobController) -> tuple[Method, ...]:
    def create(request: Any, caller: Caller) -> Operation:
        parent, spec = location(request.parent), codec.job_spec_of(request.job)
        return controller.create(
            parent, request.job_id, spec, actor=caller.actor, validate_only=request.validate_only
        )

    def update(request: Any, caller: Caller) -> Operation:
        job = request.job
        return controller.update(
            _matched(_JOB, job.name), codec.job_spec_of(job), etag=job.etag, actor=caller.actor,
            validate_only=request.validate_only, allow_missing=request.allow_missing,
        )  # fmt: skip

    def delete(request: Any, _: Caller) -> Operation:
        return controller.delete(
            _matched(_JOB, request.name), etag=request.etag, validate_only=request.validate_only
        )

    def run(request: Any, caller: Caller) -> Operation:
        name, overrides = _matched(_JOB, request.name), codec.as_json(request.overrides)
        return controller.run(
            name, overrides, etag=request.etag, actor=caller.actor, validate_only=request.validate_only
        )

    return (
        writes("Jobs/CreateJob", create),
        reads("Jobs/GetJob", run_v2.Job, lambda r: controller.shown(controller.job(_matched(_JOB, r.name)))),
        lists(
            "Jobs/ListJobs", run_v2.Job, lambda r: controller.jobs(location(r.parent)), lambda job: job.name,
            controller.shown,
        ),
        writes("Jobs/UpdateJob", update),
        writes("Jobs/DeleteJob", delete),
        writes("Jobs/RunJob", run),
    )  # fmt: skip


def _executions(controller: JobController) -> tuple[Method, ...]:
    def delete(request: Any, _: Caller) -> Operation:
        return controller.delete_execution(
            _matched(_EXECUTION, request.name), etag=request.etag, validate_only=request.validate_only
        )

    def cancel(request: Any, _: Caller) -> Operation:
        return controller.cancel(
            _matched(_EXECUTION, request.name), etag=request.etag, validate_only=request.validate_only
        )

    def age(execution: Execution) -> str:
        return f"{execution.create_time.isoformat()} {execution.name}"

    return (
        reads(
            "Executions/GetExecution", run_v2.Execution,
            lambda r: execution_json(controller.execution(_matched(_EXECUTION, r.name))),
        ),
        lists(
            "Executions/ListExecutions", run_v2.Execution, lambda r: controller.executions(_matched(_JOB, r.parent)),
            age, execution_json, newest_first=True,
        ),
        writes("Executions/DeleteExecution", delete),
        writes("Executions/CancelExecution", cancel),
    )  # fmt: skip


def _tasks(controller: JobController) -> tuple[Method, ...]:
    def got(request: Any) -> Json:
        name = _matched(_TASK, request.name)
        execution = controller.execution(name.partition("/tasks/")[0])
        shown = {task["name"]: task for task in (task_json(execution, each) for each in execution.tasks)}
        return there(shown.get(name), f"Resource '{name}' of kind 'TASK' does not exist.")

    def found(request: Any) -> Iterable[tuple[Execution, Task]]:
        execution = controller.execution(_matched(_EXECUTION, request.parent))
        return ((execution, task) for task in execution.tasks)

    return (
        reads("Tasks/GetTask", run_v2.Task, got),
        lists("Tasks/ListTasks", run_v2.Task, found, lambda of: f"{of[1].index:09d}", lambda of: task_json(*of)),
    )  # fmt: skip


def _matched(form: re.Pattern[str], name: str) -> str:
    if form.fullmatch(name):
        return name
    raise invalid(f"name: '{name}' is not the name of such a resource.")
