"""The job that holds a service's probe rounds as ``job_round.Jobs``, over Google's own messages and channels."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import grpc
from google.longrunning import operations_pb2
from google.protobuf import json_format

from infra.jobs import probe_container, probe_task
from infra.settings import ProbeJob
from pipeline.budget import Bucket
from pipeline.cloudrun.faults import translated
from pipeline.cloudrun.log_filter import errors_filter, quoted, rfc3339
from pipeline.cloudrun.logs import LoggingSource
from pipeline.errors import JobNotFound, PlatformError, RequestRejected
from pipeline.model import ServiceRef
from pipeline.probe.job_round import RunState
from pipeline.probe.order import VARIABLE
from pipeline.probe.result_lines import MARK
from pipeline.rpc.run import API, Executions, Jobs, run_v2

_TIMEOUT_S = 10.0
_WORDS = 300
_MOST_LINES = 50_000  # of a round, whoever wrote them
_SETTLES_IN = 10  # looks, a second apart
_SET_BACK = timedelta(minutes=1)  # a machine's clock may be ahead of the log's by so much


class CloudRunJobs:
    """The job of one service. The Pulumi program makes it, with each deployment; whoever runs it puts it right before.

    Args:
        asked: what it shall be; None leaves it as it is.
    """

    def __init__(
        self,
        ref: ServiceRef,
        channel: grpc.Channel,
        logs: LoggingSource,
        asked: ProbeJob | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._ref, self._logs, self._asked = ref, logs, asked
        self._jobs, self._executions = Jobs(channel), Executions(channel)
        self._sleep = sleep

    @classmethod
    def over(cls, channel: grpc.Channel, ref: ServiceRef, asked: ProbeJob | None = None) -> CloudRunJobs:
        """Through a channel of one's own: the local Cloud Run."""
        return cls(ref, channel, LoggingSource.over(channel), asked)

    @classmethod
    def cloud(
        cls, ref: ServiceRef, asked: ProbeJob | None = None, quota: Bucket | None = None
    ) -> CloudRunJobs:
        """With the default credentials of the environment. Args: quota: of searches; None: the process's."""
        with translated("connect to Cloud Run"):
            return cls(ref, API.channel(), LoggingSource.cloud(quota=quota), asked)

    @property
    def _name(self) -> str:
        return self._ref.probe_job

    def image(self) -> str:
        """Of the job as it is. Raises JobNotFound, and RequestRejected when it cannot be run."""
        found = self._found()
        if found.terminal_condition.state == run_v2.Condition.State.CONDITION_FAILED:
            raise RequestRejected(f"{self._name} cannot be run", found.terminal_condition.message)
        return str(found.template.template.containers[0].image)

    def _found(self) -> run_v2.Job:
        with translated(f"look at {self._name}", missing=JobNotFound):
            found: run_v2.Job = self._jobs.get_job(name=self._name, timeout=_TIMEOUT_S)
        return found

    def _put_right(self) -> None:
        """Once: a revision that is there already is deployed no more, and another image or secret may be asked for since.

        Raises: as ``image``.
        """
        if self._asked is None:
            return
        found = self._found()
        wanted = as_asked(found, self._asked)
        if wanted != found:
            self._write(wanted)
        self._asked = None

    def _write(self, wanted: run_v2.Job) -> None:
        with translated(f"change {self._name}", missing=JobNotFound):
            self._jobs.update_job(run_v2.UpdateJobRequest(job=wanted), timeout=_TIMEOUT_S)
        for _ in range(_SETTLES_IN):
            if not self._found().reconciling:
                return
            self._sleep(1.0)

    def run(self, order: str, within: timedelta) -> str:
        self._put_right()
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
        words = " ".join(said.get("Completed", next(iter(said.values()), "")).split())[:_WORDS].rstrip(".")
        is_good = bool(found.succeeded_count) and not (found.failed_count or found.cancelled_count)
        return RunState(bool(found.completion_time), is_good, words)

    def cancel(self, run: str) -> None:
        with translated(f"cancel {run}", missing=JobNotFound):
            self._executions.cancel_execution(name=run, timeout=_TIMEOUT_S)

    def errors(self, agent: str, revision: str, since: datetime) -> int:
        with translated(f"read the request log of {revision}"):
            text = errors_filter(self._ref, agent, revision, since - _SET_BACK)
            return sum(1 for _ in islice(self._logs.payloads(self._ref.project, text), _MOST_LINES))

    def said(self, run: str, round_id: str, since: datetime) -> Sequence[Mapping[str, Any]]:
        with translated(f"read the log of {run}"):
            text = lines_filter(self._ref, run, round_id, since - _SET_BACK)
            return list(islice(self._logs.payloads(self._ref.project, text), _MOST_LINES))


def as_asked(job: run_v2.Job, asked: ProbeJob) -> run_v2.Job:
    """The job with what is asked of it; the rest as it is."""
    made = run_v2.Job.deserialize(run_v2.Job.serialize(job))
    execution = run_v2.Job.pb(made).template
    execution.task_count = 1
    execution.template.ClearField("vpc_access")
    json_format.ParseDict(dict(probe_task(asked)), execution.template)
    json_format.ParseDict({"env": [], **probe_container(asked)}, execution.template.containers[0])
    return made


def lines_filter(ref: ServiceRef, run: str, round_id: str, since: datetime) -> str:
    """Result lines of one round, in Logging's query language. A service's own lines are of another resource."""
    return " AND ".join(
        (
            'resource.type="cloud_run_job"',
            f"resource.labels.job_name={quoted(ref.probe_job.rpartition('/')[2])}",
            f"resource.labels.location={quoted(ref.location)}",
            f'labels."run.googleapis.com/execution_name"={quoted(run.rpartition("/")[2])}',
            f"jsonPayload.{MARK}>=1",
            f"jsonPayload.round={quoted(round_id)}",
            f"timestamp>={quoted(rfc3339(since))}",
        )
    )
