"""``gcp:logging/metric:Metric`` and ``gcp:monitoring/alertPolicy:AlertPolicy`` of a local Cloud Run.

Inputs are the APIs' own JSON with the project beside it. What the server fills in is no difference, and neither is a
value that is the API's default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.api_core import exceptions
from google.protobuf import empty_pb2, json_format

from infra.alerts import METRIC, POLICY
from pipeline.local.provider.calls import send
from pipeline.local.provider.fields import Json
from pipeline.rpc.logs import logging_v2
from pipeline.rpc.monitoring import monitoring_v3

_PLACE = frozenset({"project"})


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one API keeps its resources. ``field``: of the resource in a request; ``named``: of its name in one."""

    service: str
    resource: str
    message: Any
    types: Any
    field: str
    parent: str
    named: str


_KINDS = {
    METRIC: _Kind(
        "google.logging.v2.MetricsServiceV2", "LogMetric", logging_v2.LogMetric, logging_v2, "metric", "parent",
        "metric_name",
    ),
    POLICY: _Kind(
        "google.monitoring.v3.AlertPolicyService", "AlertPolicy", monitoring_v3.AlertPolicy, monitoring_v3,
        "alert_policy", "name", "name",
    ),
}  # fmt: skip


class AlertsProvider:
    """One local Cloud Run's log-based metrics and alert policies. Client errors come out as the client raises them."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def check(self, kind: str, inputs: Json) -> tuple[str, ...]:
        """What is wrong with these inputs, before anything is sent; empty if nothing is."""
        try:
            _message(_KINDS[kind], inputs)
        except json_format.ParseError as error:
            return (str(error),)
        return ()

    def create(self, kind: str, inputs: Json) -> str:
        """Its id, which is its resource name."""
        of = _KINDS[kind]
        fields = {of.parent: f"projects/{inputs['project']}", of.field: _message(of, inputs)}
        made = self._call(of, f"Create{of.resource}", fields, of.message)
        return str(made.name) if kind == POLICY else f"projects/{inputs['project']}/metrics/{made.name}"

    def find(self, kind: str, inputs: Json) -> str | None:
        """The id of what these inputs made, without a state that says it."""
        of = _KINDS[kind]
        if kind == METRIC:
            name = f"projects/{inputs['project']}/metrics/{inputs['name']}"
            return name if self.read(kind, name) is not None else None
        answer = of.types.ListAlertPoliciesResponse
        found = self._call(of, "ListAlertPolicies", {of.parent: f"projects/{inputs['project']}", "page_size": 1000}, answer)  # fmt: skip
        same = [p for p in found.alert_policies if p.display_name == inputs["displayName"] and dict(p.user_labels) == inputs["userLabels"]]  # fmt: skip
        return str(same[0].name) if same else None

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """What is there, as JSON with the project; None when there is none."""
        of = _KINDS[kind]
        try:
            found = self._call(of, f"Get{of.resource}", {of.named: name}, of.message)
        except exceptions.NotFound:
            return None
        return {**json_format.MessageToDict(of.message.pb(found)), "project": name.split("/")[1]}

    def differs(self, kind: str, state: Json, inputs: Json) -> tuple[str, ...]:
        """Fields that are not as declared. What is not declared is the server's."""
        wanted = json_format.MessageToDict(_KINDS[kind].message.pb(_message(_KINDS[kind], inputs)))
        return tuple(sorted(key for key in inputs.keys() - _PLACE if not holds(wanted.get(key), state.get(key))))  # fmt: skip

    def bring_about(self, kind: str, inputs: Json) -> str:
        """Make it as declared, or put it right. Without a state, it is known by what it says of itself. Its id."""
        name = self.find(kind, inputs)
        if name is None:
            return self.create(kind, inputs)
        if self.differs(kind, self.read(kind, name) or {}, inputs):
            self.update(kind, name, inputs)
        return name

    def update(self, kind: str, name: str, inputs: Json) -> None:
        of = _KINDS[kind]
        message = _message(of, inputs)
        fields: dict[str, Any] = {of.field: message}
        if kind == METRIC:
            fields[of.named] = name
        else:
            message.name = name
        self._call(of, f"Update{of.resource}", fields, of.message)

    def delete(self, kind: str, name: str) -> None:
        """One that is gone already is no error."""
        of = _KINDS[kind]
        try:
            self._call(of, f"Delete{of.resource}", {of.named: name}, None)
        except exceptions.NotFound:
            return

    def _call(self, of: _Kind, method: str, fields: Mapping[str, Any], answer: Any) -> Any:
        request = getattr(of.types, f"{method}Request")
        read = answer.deserialize if answer else empty_pb2.Empty.FromString
        return send(self._channel, f"{of.service}/{method}", request.pb(request(**fields)), read)


def _message(of: _Kind, inputs: Json) -> Any:
    made = of.message()
    plain = {key: value for key, value in inputs.items() if key not in _PLACE}
    json_format.ParseDict(plain, of.message.pb(made))
    return made


def holds(wanted: Any, found: Any) -> bool:
    """Whether all that is wanted is found; objects may have more, lists may not."""
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            holds(value, found.get(key)) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(found, list) and len(wanted) == len(found) and all(map(holds, wanted, found))
    return bool(wanted == found or not (wanted or found))
