"""The job that holds a service's probe rounds as ``job_round.Jobs``, over Google's own messages and channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import grpc
from google.longrunning import operations_pb2

from pipeline.cloudrun.faults import translated
from pipeline.cloudrun.logs import LoggingSource, quoted, rfc3339
from pipeline.errors import JobNotFound, PlatformError, RequestRejected
from pipeline.model import ServiceRef
from pipeline.probe.job_round import RunState
from pipeline.probe.order import VARIABLE
from pipeline.probe.result_lines import MARK
from pipeline.rpc import run
from pipeline.rpc.run import run_v2

_TIMEOUT_S = 10.0
_WORDS = 300
_SET_BACK = timedelta(minutes=1)  # a machine's clock may be ahead of the log's by so much


class CloudRunJobs:
    """Args: name: the resource name of the job."""

    def __init__(self, ref: ServiceRef, channel: grpc.Channel, logs: LoggingSource) -> None:
        self._ref, self._logs = ref, logs
        self._jobs, self._executions = run.Jobs(channel), run.Executions(channel)

    @classmethod
    def cloud(cls, ref: ServiceRef, logs: LoggingSource) -> CloudRunJobs:
        """With the default credentials of the environment."""
        with translated("connect to Cloud Run"):
            return cls(ref, run.API.channel(), logs)

    @property
    def _name(self) -> str:
        return self._ref.probe_job

    def image(self) -> str:
        """Of the job as it is. Raises JobNotFound, and RequestRejected when it cannot be run."""
        with translated(f"look at {self._name}", missing=JobNotFound):
            found = self._jobs.get_job(name=self._name, timeout=_TIMEOUT_S)
        if found.terminal_condition.state == run_v2.Condition.State.CONDITION_FAILED:
            raise RequestRejected(f"{self._name} cannot be run", found.terminal_condition.message)
        return str(found.template.template.containers[0].image)

    def run(self, order: str, within: timedelta) -> str:
        kind = run_v2.RunJobRequest
        given = kind.Overrides.ContainerOverride(env=[run_v2.EnvVar(name=VARIABLE, value=order)])
        overrides = kind.Overrides(container_overrides=[given], task_count=1, timeout=within)
        with translated(f"run {self._name}", missing=JobNotFound):
            answer = self._jobs.run_job(kind(name=self._name, overrides=overrides), timeout=_TIMEOUT_S)
        operation = operations_pb2.Operation.FromString(answer)
        begun = run_v2.Execution.pb()()
        if not operation.metadata.Unpack(begun) or not begun.name:
            raise PlatformError(
                f"run {self._name}: the answer names no run", "Cloud Run said of it something else."
            )
        return str(begun.name)

    def state(self, run: str) -> RunState:
        with translated(f"look at {run}", missing=JobNotFound):
            found = self._executions.get_execution(name=run, timeout=_TIMEOUT_S)
        said = {each.type_: each.message for each in found.conditions if each.message}
        words = " ".join(said.get("Completed", next(iter(said.values()), "")).split())[:_WORDS]
        is_good = bool(found.succeeded_count) and not (found.failed_count or found.cancelled_count)
        return RunState(bool(found.completion_time), is_good, words)

    def cancel(self, run: str) -> None:
        with translated(f"cancel {run}", missing=JobNotFound):
            self._executions.cancel_execution(name=run, timeout=_TIMEOUT_S)

    def said(self, run: str, since: datetime) -> Sequence[Mapping[str, Any]]:
        with translated(f"read the log of {run}"):
            return list(
                self._logs.payloads(self._ref.project, lines_filter(self._ref, run, since - _SET_BACK))
            )


def lines_filter(ref: ServiceRef, run: str, since: datetime) -> str:
    """Result lines of one run, in Logging's query language. A service's own lines are of another resource."""
    return " AND ".join(
        (
            'resource.type="cloud_run_job"',
            f"resource.labels.job_name={quoted(ref.probe_job.rpartition('/')[2])}",
            f"resource.labels.location={quoted(ref.location)}",
            f'labels."run.googleapis.com/execution_name"={quoted(run.rpartition("/")[2])}',
            f"jsonPayload.{MARK}>=1",
            f"timestamp>={quoted(rfc3339(since))}",
        )
    )
