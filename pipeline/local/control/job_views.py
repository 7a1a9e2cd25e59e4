"""What clients are shown of a job, an execution and a task, as proto JSON with snake_case keys.

Conditions and counts are derived here; nothing of this is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pipeline.local.control.jobs import Execution, Job, Task, TaskState
from pipeline.local.control.state import Json, Written
from pipeline.local.control.views import condition, why
from pipeline.local.dataplane import AttemptEnd

_SUCCEEDED, _FAILED, _PENDING = "CONDITION_SUCCEEDED", "CONDITION_FAILED", "CONDITION_PENDING"
_RECONCILING = "CONDITION_RECONCILING"
_UNFINISHED = (TaskState.PENDING, TaskState.RUNNING)
_TASK_STATES = {
    TaskState.PENDING: _PENDING,
    TaskState.RUNNING: _RECONCILING,
    TaskState.SUCCEEDED: _SUCCEEDED,
}
_UNKNOWN = 2  # google.rpc.Code


def job_json(job: Job, latest: Execution | None) -> Json:
    """A ``run_v2.Job``. ``latest``: its latest execution, where that is still kept."""
    state = _FAILED if job.failure else _RECONCILING if job.reconciling else _SUCCEEDED
    return {
        **job.spec,
        **_written(job),
        "update_time": job.update_time.isoformat(),
        "generation": job.generation,
        "last_modifier": job.last_modifier,
        "observed_generation": 0 if job.reconciling else job.generation,
        "terminal_condition": condition(
            "Ready", state, job.update_time, why(job.failure) if job.failure else {}
        ),
        "execution_count": job.executions,
        "reconciling": job.reconciling,
        **({"latest_created_execution": _reference(latest)} if latest else {}),
    }


def execution_json(execution: Execution) -> Json:
    """A ``run_v2.Execution``."""
    started = [task.started for task in execution.tasks if task.started]
    last = execution.completed or max(started, default=execution.create_time)
    return {
        **_written(execution),
        **_times(min(started, default=None), execution.completed),
        "labels": execution.template.get("labels", {}),
        "annotations": execution.template.get("annotations", {}),
        "update_time": last.isoformat(),
        "generation": 1,
        "observed_generation": 1,
        "launch_stage": "GA",
        "job": execution.job.rpartition("/")[2],
        "parallelism": execution.template.get("parallelism", 0),
        "task_count": len(execution.tasks),
        "template": execution.task_template,
        "reconciling": execution.completed is None,
        "conditions": list(_conditions(execution, last)),
        "running_count": execution.count(TaskState.RUNNING),
        "succeeded_count": execution.count(TaskState.SUCCEEDED),
        "failed_count": execution.count(TaskState.FAILED),
        "cancelled_count": execution.count(TaskState.CANCELLED),
        "retried_count": sum(task.attempt for task in execution.tasks),
    }


def task_json(execution: Execution, task: Task) -> Json:
    """A ``run_v2.Task``."""
    at = task.completed or task.started or execution.create_time
    return {
        **_times(task.started, task.completed),
        **execution.task_template,
        "name": f"{execution.name}/tasks/{execution.short}-task{task.index}",
        "uid": f"{execution.uid}-{task.index}",
        "generation": 1,
        "observed_generation": 1,
        "create_time": execution.create_time.isoformat(),
        "update_time": at.isoformat(),
        "job": execution.job.rpartition("/")[2],
        "execution": execution.short,
        "index": task.index,
        "retried": task.attempt,
        "reconciling": task.state in _UNFINISHED,
        "etag": execution.etag,
        "conditions": [condition("Completed", _TASK_STATES.get(task.state, _FAILED), at, _task_reason(task))],
        **({"last_attempt_result": _result(task.last)} if task.last is not None else {}),
    }


def _result(ended: AttemptEnd) -> Json:
    status = {"code": _UNKNOWN, "message": ended.message} if ended.message else {}
    return {"status": status, "exit_code": ended.exit_code, "term_signal": ended.signal}


def job_summary(job: Job, latest: Execution | None) -> Json:
    """One job as ``local status`` shows it."""
    state = _completion(latest)[len("EXECUTION_") :].lower() if latest else ""
    return {"name": job.name, "executions": job.executions, "latest": job.latest, "state": state}


def _written(kept: Written) -> Json:
    return {
        "name": kept.name,
        "uid": kept.uid,
        "create_time": kept.create_time.isoformat(),
        "creator": kept.creator,
        "etag": kept.etag,
    }


def _times(started: datetime | None, completed: datetime | None) -> Json:
    given = {"start_time": started, "completion_time": completed}
    return {key: value.isoformat() for key, value in given.items() if value}


def _reference(execution: Execution) -> Json:
    return {
        "name": execution.short,
        "create_time": execution.create_time.isoformat(),
        "completion_status": _completion(execution),
        **({"completion_time": execution.completed.isoformat()} if execution.completed else {}),
    }


def _completion(execution: Execution) -> str:
    if execution.completed is None:
        return "EXECUTION_RUNNING" if execution.count(TaskState.RUNNING) else "EXECUTION_PENDING"
    if execution.cancelled:
        return "EXECUTION_CANCELLED"
    return "EXECUTION_FAILED" if execution.count(TaskState.FAILED) else "EXECUTION_SUCCEEDED"


def _conditions(execution: Execution, at: datetime) -> Iterator[Json]:
    states = {
        "EXECUTION_SUCCEEDED": _SUCCEEDED,
        "EXECUTION_RUNNING": _RECONCILING,
        "EXECUTION_PENDING": _PENDING,
    }
    reason: Json = {}
    failed = execution.count(TaskState.FAILED)
    if execution.completed and execution.cancelled:
        reason = {
            "execution_reason": "CANCELLED",
            "message": "The execution was cancelled.",
            "severity": "ERROR",
        }
    elif execution.completed and failed:
        first = next(task for task in execution.tasks if task.state is TaskState.FAILED)
        reason = {
            "execution_reason": "NON_ZERO_EXIT_CODE",
            "message": f"{failed} of {len(execution.tasks)} tasks failed: {first.last.message if first.last else ''}",
            "severity": "ERROR",
        }
    yield condition("Completed", states.get(_completion(execution), _FAILED), at, reason)
    is_started = any(task.started for task in execution.tasks)
    yield condition("Started", _SUCCEEDED if is_started else _PENDING, execution.create_time, {})
    if retried := sum(task.attempt for task in execution.tasks):
        yield condition(
            "Retry", _SUCCEEDED, at, {"message": f"{retried} attempts were retried.", "severity": "INFO"}
        )


def _task_reason(task: Task) -> Json:
    if task.state is TaskState.CANCELLED:
        return {"execution_reason": "CANCELLED", "message": "The task was cancelled.", "severity": "ERROR"}
    if task.state is TaskState.FAILED and task.last:
        return {"execution_reason": "NON_ZERO_EXIT_CODE", "message": task.last.message, "severity": "ERROR"}
    return {}
