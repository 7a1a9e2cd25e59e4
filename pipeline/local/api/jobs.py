"""Jobs, their executions and tasks, as rows of both faces: messages in, values to the controller, messages out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.cloud import run_v2
from google.longrunning import operations_pb2
from google.protobuf.message import Message

from pipeline.local.api.methods import Caller, Method, location, operation_message, row
from pipeline.local.api.paging import page
from pipeline.local.control import codec
from pipeline.local.control.job_controller import JobController
from pipeline.local.control.job_views import execution_json, task_json
from pipeline.local.control.jobs import Execution, Job, Task
from pipeline.local.control.state import Refused

_JOB = re.compile(r"projects/[^/]+/locations/[^/]+/jobs/[^/]+")
_EXECUTION = re.compile(rf"{_JOB.pattern}/executions/[^/]+")
_TASK = re.compile(rf"({_EXECUTION.pattern})/tasks/([^/]+)")
_Operation = operations_pb2.Operation


def offered(controller: JobController) -> Iterator[Method]:
    """Every row."""
    yield from _jobs(controller)
    yield from _executions(controller)
    yield from _tasks(controller)


def _jobs(controller: JobController) -> Iterator[Method]:
    async def create(request: Any, caller: Caller) -> Message:
        spec = codec.job_spec_of(request.job)
        return operation_message(
            controller.create(
                location(request.parent), request.job_id, spec, actor=caller.actor, validate_only=request.validate_only
            )
        )  # fmt: skip

    async def get(request: Any, _: Caller) -> Message:
        return shown(controller.job(_matched(_JOB, request.name)))

    async def list_(request: Any, _: Caller) -> Message:
        found = controller.jobs(location(request.parent))
        some, token = page(found, lambda j: j.name, size=request.page_size, token=request.page_token)
        return run_v2.ListJobsResponse.pb()(jobs=map(shown, some), next_page_token=token)

    async def update(request: Any, caller: Caller) -> Message:
        job = request.job
        return operation_message(
            controller.update(
                _matched(_JOB, job.name), codec.job_spec_of(job), etag=job.etag, actor=caller.actor,
                validate_only=request.validate_only, allow_missing=request.allow_missing,
            )
        )  # fmt: skip

    async def delete(request: Any, _: Caller) -> Message:
        name = _matched(_JOB, request.name)
        return operation_message(
            controller.delete(name, etag=request.etag, validate_only=request.validate_only)
        )

    async def run(request: Any, caller: Caller) -> Message:
        name, overrides = _matched(_JOB, request.name), codec.as_json(request.overrides)
        return operation_message(
            controller.run(
                name, overrides, etag=request.etag, actor=caller.actor, validate_only=request.validate_only
            )
        )

    def shown(job: Job) -> Message:
        return codec.message(run_v2.Job.pb(), controller.shown(job))

    answer = run_v2.ListJobsResponse.pb()
    yield row("Jobs/CreateJob", run_v2.CreateJobRequest, _Operation, create)
    yield row("Jobs/GetJob", run_v2.GetJobRequest, run_v2.Job.pb(), get)
    yield row("Jobs/ListJobs", run_v2.ListJobsRequest, answer, list_)
    yield row("Jobs/UpdateJob", run_v2.UpdateJobRequest, _Operation, update)
    yield row("Jobs/DeleteJob", run_v2.DeleteJobRequest, _Operation, delete)
    yield row("Jobs/RunJob", run_v2.RunJobRequest, _Operation, run)


def _executions(controller: JobController) -> Iterator[Method]:
    async def get(request: Any, _: Caller) -> Message:
        return shown(controller.execution(_matched(_EXECUTION, request.name)))

    async def list_(request: Any, _: Caller) -> Message:
        """Newest first."""
        found = controller.executions(_matched(_JOB, request.parent))
        some, token = page(
            found, lambda e: f"{e.create_time.isoformat()} {e.name}", size=request.page_size,
            token=request.page_token, descending=True,
        )  # fmt: skip
        return run_v2.ListExecutionsResponse.pb()(executions=map(shown, some), next_page_token=token)

    async def delete(request: Any, _: Caller) -> Message:
        name = _matched(_EXECUTION, request.name)
        return operation_message(
            controller.delete_execution(name, etag=request.etag, validate_only=request.validate_only)
        )

    async def cancel(request: Any, _: Caller) -> Message:
        name = _matched(_EXECUTION, request.name)
        return operation_message(
            controller.cancel(name, etag=request.etag, validate_only=request.validate_only)
        )

    def shown(execution: Execution) -> Message:
        return codec.message(run_v2.Execution.pb(), execution_json(execution))

    answer = run_v2.ListExecutionsResponse.pb()
    yield row("Executions/GetExecution", run_v2.GetExecutionRequest, run_v2.Execution.pb(), get)
    yield row("Executions/ListExecutions", run_v2.ListExecutionsRequest, answer, list_)
    yield row("Executions/DeleteExecution", run_v2.DeleteExecutionRequest, _Operation, delete)
    yield row("Executions/CancelExecution", run_v2.CancelExecutionRequest, _Operation, cancel)


def _tasks(controller: JobController) -> Iterator[Method]:
    async def get(request: Any, _: Caller) -> Message:
        name = _matched(_TASK, request.name)
        execution = controller.execution(name.partition("/tasks/")[0])
        for task in execution.tasks:
            if task_json(execution, task)["name"] == name:
                return shown(execution, task)
        raise Refused("NOT_FOUND", f"Resource '{name}' of kind 'TASK' does not exist.")

    async def list_(request: Any, _: Caller) -> Message:
        """In order of their index."""
        execution = controller.execution(_matched(_EXECUTION, request.parent))
        some, token = page(
            execution.tasks, lambda t: f"{t.index:09d}", size=request.page_size, token=request.page_token
        )
        shown_tasks = [shown(execution, task) for task in some]
        return run_v2.ListTasksResponse.pb()(tasks=shown_tasks, next_page_token=token)

    def shown(execution: Execution, task: Task) -> Message:
        return codec.message(run_v2.Task.pb(), task_json(execution, task))

    yield row("Tasks/GetTask", run_v2.GetTaskRequest, run_v2.Task.pb(), get)
    yield row("Tasks/ListTasks", run_v2.ListTasksRequest, run_v2.ListTasksResponse.pb(), list_)


def _matched(form: re.Pattern[str], name: str) -> str:
    if form.fullmatch(name):
        return name
    raise Refused("INVALID_ARGUMENT", f"name: '{name}' is not the name of such a resource.")
