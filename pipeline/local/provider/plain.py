"""Metrics, alert policies, jobs and schedules of a local Cloud Run: what the program declares as plain inputs.

Inputs are the APIs' own JSON as pulumi-gcp spells it, with the place beside it; a state is as the APIs spell it. What the
server fills in is no difference, and neither is a value that is the API's default.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import grpc
from google.api_core import exceptions
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, json_format
from msgspec import Struct

from infra.alerts import METRIC, POLICY
from infra.jobs import JOB, SCHEDULE
from pipeline.local.provider.fields import Json
from pipeline.rpc import scheduler
from pipeline.rpc.logs import logging_v2
from pipeline.rpc.monitoring import monitoring_v3
from pipeline.rpc.run import run_v2

CALL_TIMEOUT_S = 15.0
_SETTLE_TIMEOUT_S = 20 * 60.0  # the real provider's
_POLL_S = 0.1
#: Of a job's inputs, what says where it is or is the provider's own.
_BESIDE_A_JOB = frozenset({"project", "location", "region", "name", "deletionProtection"})


def _bare(types: Any, name: str) -> Any:
    return getattr(types, name).pb()


class _Kind(Struct, frozen=True):
    """How one API keeps its resources.

    Args:
        service: its full name; ``types``: its messages, by their names.
        resource: as methods spell it; ``field``: of it in a request.
        parent, named: of the parent's and of the resource's own name in a request.
        folder: as resource names spell it; empty where the server chooses the name.
        beside: inputs that are no part of the resource.
    """

    service: str
    types: Callable[[str], Any]
    resource: str
    field: str
    parent: str
    named: str
    folder: str = ""
    beside: frozenset[str] = frozenset({"project"})


_KINDS = {
    METRIC: _Kind(
        "google.logging.v2.MetricsServiceV2", partial(_bare, logging_v2), "LogMetric", "metric", "parent",
        "metric_name", "metrics",
    ),
    POLICY: _Kind(
        "google.monitoring.v3.AlertPolicyService", partial(_bare, monitoring_v3), "AlertPolicy", "alert_policy",
        "name", "name",
    ),
    JOB: _Kind(
        "google.cloud.run.v2.Jobs", partial(_bare, run_v2), "Job", "job", "parent", "name", "jobs", _BESIDE_A_JOB
    ),
    SCHEDULE: _Kind(
        f"{scheduler.PACKAGE}.CloudScheduler", scheduler.kind, "Job", "job", "parent", "name", "jobs",
        _BESIDE_A_JOB,
    ),
}  # fmt: skip


class PlainProvider:
    """Those of one local Cloud Run. Client errors come out as the client raises them."""

    kinds = frozenset(_KINDS)

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def check(self, kind: str, inputs: Json) -> tuple[str, ...]:
        """What is wrong with these inputs, before anything is sent; empty if nothing is."""
        try:
            _message(kind, inputs)
        except json_format.ParseError as error:
            return (str(error),)
        return ()

    def find(self, kind: str, inputs: Json) -> str | None:
        """The id, which is the resource name, of what these inputs make or made. None: its server is yet to choose it.

        A name that the server chose is found, without a state, by what the resource says of itself.
        """
        of, parent = _KINDS[kind], _parent(inputs)
        if of.folder:
            return f"{parent}/{of.folder}/{inputs['name']}"
        request = of.types("ListAlertPoliciesRequest")(name=parent, page_size=1000)
        read = of.types("ListAlertPoliciesResponse").FromString
        found = send(self._channel, f"{of.service}/ListAlertPolicies", request, read)
        same = [p for p in found.alert_policies if p.display_name == inputs["displayName"] and dict(p.user_labels) == inputs["userLabels"]]  # fmt: skip
        return str(same[0].name) if same else None

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """What is there, as JSON with the project; None when there is none."""
        try:
            found = self._call(kind, "Get", {_KINDS[kind].named: name})
        except exceptions.NotFound:
            return None
        return {**json_format.MessageToDict(found), "project": name.split("/")[1]}

    def differs(self, kind: str, state: Json, inputs: Json) -> tuple[str, ...]:
        """Fields that are not as declared. What is not declared is the server's."""
        wanted, found = _as_api(kind, inputs), _as_api(kind, state)
        keys = inputs.keys() - _KINDS[kind].beside
        return tuple(sorted(key for key in keys if not _holds(wanted.get(key), found.get(key))))

    def bring_about(self, kind: str, inputs: Json) -> str:
        """Make it as declared, or put it right. Its id."""
        name = self.find(kind, inputs)
        found = self.read(kind, name) if name else None
        if name is None or found is None:
            return self._create(kind, inputs, name)
        if self.differs(kind, found, inputs):
            self.update(kind, name, inputs)
        return name

    def _create(self, kind: str, inputs: Json, name: str | None) -> str:
        of, message = _KINDS[kind], _message(kind, inputs)
        if kind == SCHEDULE:
            message.name = name
        own_name = {"job_id": inputs["name"]} if kind == JOB else {}
        made = self._call(kind, "Create", {of.parent: _parent(inputs), of.field: message, **own_name})
        return name or str(made.name)

    def update(self, kind: str, name: str, inputs: Json) -> None:
        of, message = _KINDS[kind], _message(kind, inputs)
        fields = {of.field: message}
        if kind == METRIC:
            fields[of.named] = name
        else:
            message.name = name
        self._call(kind, "Update", fields)

    def delete(self, kind: str, name: str) -> None:
        """One that is gone already is no error."""
        with suppress(exceptions.NotFound):
            self._call(kind, "Delete", {_KINDS[kind].named: name})

    def _call(self, kind: str, verb: str, fields: Mapping[str, Any]) -> Any:
        """The answer; one that is an operation has ended, well or by raising."""
        of = _KINDS[kind]
        answer = of.types(of.resource)
        if verb != "Get" and kind == JOB:
            answer = operations_pb2.Operation
        elif verb == "Delete":
            answer = empty_pb2.Empty
        method = f"{verb}{of.resource}"
        made = send(self._channel, f"{of.service}/{method}", of.types(f"{method}Request")(**fields), answer.FromString)  # fmt: skip
        if answer is operations_pb2.Operation:
            settle(self._channel, made.name)
        return made


def _parent(inputs: Json) -> str:
    place = inputs.get("location") or inputs.get("region")
    return f"projects/{inputs['project']}" + (f"/locations/{place}" if place else "")


def _message(kind: str, inputs: Json) -> Any:
    """Of inputs, or of a state. Raises ParseError."""
    of = _KINDS[kind]
    own = {key: _respelled(value) for key, value in inputs.items() if key not in of.beside}
    return json_format.ParseDict(own, of.types(of.resource)())


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


def _holds(wanted: Any, found: Any) -> bool:
    """Whether all that is wanted is found; objects may have more, lists may not."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            _holds(value, found.get(key)) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and len(wanted) == len(found) and all(map(_holds, wanted, found))
    return bool(wanted == found or not (wanted or found))


def send(channel: grpc.Channel, method: str, request: Any, read: Callable[[bytes], Any]) -> Any:
    """What is answered to a bare message. Raises GoogleAPICallError."""
    call = channel.unary_unary(
        f"/{method}", request_serializer=type(request).SerializeToString, response_deserializer=read
    )
    try:
        return call(request, timeout=CALL_TIMEOUT_S)
    except grpc.RpcError as error:
        raise exceptions.from_grpc_error(error) from error


def settle(channel: grpc.Channel, operation: str) -> None:
    """Wait for what was accepted, as the real provider does. Raises GoogleAPICallError as the operation ended."""
    give_up = time.monotonic() + _SETTLE_TIMEOUT_S
    request = operations_pb2.GetOperationRequest(name=operation)
    method, read = "google.longrunning.Operations/GetOperation", operations_pb2.Operation.FromString
    while not (found := send(channel, method, request, read)).done:
        if time.monotonic() >= give_up:
            raise exceptions.DeadlineExceeded(f"{operation} did not end within 20 minutes")
        time.sleep(_POLL_S)
    if found.HasField("error"):
        raise exceptions.from_grpc_status(found.error.code, found.error.message)
