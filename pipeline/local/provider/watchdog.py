"""``gcp:cloudrunv2/job:Job`` and ``gcp:cloudscheduler/job:Job`` of a local Cloud Run.

Inputs are spelled as pulumi-gcp does, a state as the APIs do. What the server fills in is no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from google.api_core import exceptions
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, json_format

from infra.job import JOB
from pipeline.local.provider.alerts import holds
from pipeline.local.provider.calls import send, settle
from pipeline.local.provider.fields import Json
from pipeline.rpc import scheduler as messages
from pipeline.rpc.run import run_v2

_JOBS, _SCHEDULER = "google.cloud.run.v2.Jobs", f"{messages.PACKAGE}.CloudScheduler"
#: What says where it is, or is the provider's own.
_BESIDE = frozenset({"project", "location", "region", "name", "deletionProtection"})


class WatchdogProvider:
    """Jobs and schedules of one local Cloud Run. Client errors come out as the client raises them."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def check(self, kind: str, inputs: Json) -> tuple[str, ...]:
        """What is wrong with these inputs, before anything is sent; empty if nothing is."""
        try:
            _message(kind, inputs)
        except json_format.ParseError as error:
            return (str(error),)
        return ()

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """What is there, as JSON; None when there is none."""
        try:
            found = self._call(kind, "GetJob", {"name": name})
        except exceptions.NotFound:
            return None
        return json_format.MessageToDict(found)

    def differs(self, kind: str, state: Json, inputs: Json) -> tuple[str, ...]:
        """Fields that are not as declared. What is not declared is the server's."""
        wanted, found = _as_api(kind, inputs), _as_api(kind, state)
        return tuple(sorted(k for k in inputs.keys() - _BESIDE if not holds(wanted.get(k), found.get(k))))

    def bring_about(self, kind: str, inputs: Json) -> str:
        """Make it as declared, or put it right. Its id, which is its resource name."""
        name = _name(inputs)
        found = self.read(kind, name)
        if found is None:
            fields: dict[str, Any] = {"parent": name.partition("/jobs/")[0], "job": _message(kind, inputs)}
            if kind == JOB:
                fields["job_id"] = inputs["name"]
            else:
                fields["job"].name = name
            self._settle(self._call(kind, "CreateJob", fields))
        elif self.differs(kind, found, inputs):
            self.update(kind, name, inputs)
        return name

    def update(self, kind: str, name: str, inputs: Json) -> None:
        message = _message(kind, inputs)
        message.name = name
        self._settle(self._call(kind, "UpdateJob", {"job": message}))

    def delete(self, kind: str, name: str) -> None:
        """One that is gone already is no error."""
        try:
            self._settle(self._call(kind, "DeleteJob", {"name": name}))
        except exceptions.NotFound:
            return

    def _settle(self, answer: Any) -> None:
        """Wait for an operation, where the answer is one. Raises as it ended."""
        if isinstance(answer, operations_pb2.Operation):
            settle(self._channel, answer.name)

    def _call(self, kind: str, method: str, fields: Mapping[str, Any]) -> Any:
        if kind == JOB:
            request = getattr(run_v2, f"{method}Request").pb()(**fields)
            answer = run_v2.Job.pb() if method == "GetJob" else operations_pb2.Operation
            return send(self._channel, f"{_JOBS}/{method}", request, answer.FromString)
        request = messages.kind(f"{method}Request")(**fields)
        made = empty_pb2.Empty if method == "DeleteJob" else messages.kind("Job")
        return send(self._channel, f"{_SCHEDULER}/{method}", request, made.FromString)


def _name(inputs: Json) -> str:
    place = inputs.get("location") or inputs["region"]
    return f"projects/{inputs['project']}/locations/{place}/jobs/{inputs['name']}"


def _message(kind: str, inputs: Json) -> Any:
    """Of inputs, or of a state. Raises ParseError."""
    plain = {key: _respelled(value) for key, value in inputs.items() if key not in _BESIDE}
    made = run_v2.Job.pb()() if kind == JOB else messages.kind("Job")()
    return json_format.ParseDict(plain, made)


def _as_api(kind: str, inputs: Json) -> dict[str, Any]:
    """As JSON of the API, where a container without variables says so: those that left the program are a difference."""
    shown = json_format.MessageToDict(_message(kind, inputs))
    if kind == JOB:
        for container in shown.get("template", {}).get("template", {}).get("containers", ()):
            container.setdefault("env", [])
    return shown


def _respelled(value: Any) -> Any:
    """pulumi-gcp puts lists into the plural."""
    if isinstance(value, Mapping):
        return {"env" if key == "envs" else key: _respelled(each) for key, each in value.items()}
    return [_respelled(each) for each in value] if isinstance(value, list) else value
