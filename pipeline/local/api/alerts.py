"""Log-based metrics (Logging v2), alert policies and notification channels (Monitoring v3) over gRPC.

Source: gapic_metadata.json of the two client packages names the methods; those not offered answer UNIMPLEMENTED.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

import grpc
from google.protobuf import empty_pb2

from pipeline.local.alerts.book import AlertBook
from pipeline.local.alerts.collection import Collection
from pipeline.local.api.answering import Context, not_offered, unary
from pipeline.local.api.paging import page
from pipeline.local.control.state import Refused
from pipeline.rpc.logs import logging_v2
from pipeline.rpc.monitoring import monitoring_v3

_METRIC_ID = re.compile(r"[A-Za-z0-9_\-.,+!*',()%/]{1,100}")


@dataclass(frozen=True, slots=True)
class _Served:
    """One API's service of one kind of resource, and what differs between the three.

    Args:
        module: the client package, which names the methods; ``types`` are its messages.
        resource, plural: as methods spell them; ``folder``: as resource names do; ``field``: of it in a request.
        parent, named: of the parent's and of the resource's own name in a request.
        kept: its collection. ``delete``: by request.
    """

    module: str
    service: str
    types: Any
    resource: str
    plural: str
    folder: str
    field: str
    parent: str
    named: str
    kept: Collection
    new_name: Callable[[str, Any], str]
    delete: Callable[[Any], None]
    makes_missing: bool = False

    def handler(self) -> grpc.GenericRpcHandler:
        known = json.loads(resources.files(self.module).joinpath("gapic_metadata.json").read_text())
        name = self.service.rpartition(".")[2]
        offered = dict(self._offered())
        methods = {
            method: offered.get(method) or not_offered(f"{self.service}/{method}")
            for method in known["services"][name]["clients"]["grpc"]["rpcs"]
        }
        return grpc.method_handlers_generic_handler(self.service, methods)

    def _offered(self) -> Iterator[tuple[str, grpc.RpcMethodHandler]]:
        for method, name in (
            (self._create, f"Create{self.resource}"), (self._get, f"Get{self.resource}"),
            (self._list, f"List{self.plural}"), (self._update, f"Update{self.resource}"),
            (self._delete, f"Delete{self.resource}"),
        ):  # fmt: skip
            yield name, _unary(method, getattr(self.types, f"{name}Request"))

    async def _create(self, request: Any, _: Context) -> Any:
        given = getattr(request, self.field)
        return self.kept.create(self.new_name(_project(getattr(request, self.parent)), given), given)

    async def _get(self, request: Any, _: Context) -> Any:
        return self.kept.show(getattr(request, self.named))

    async def _list(self, request: Any, _: Context) -> Any:
        if getattr(request, "filter", "") or getattr(request, "order_by", ""):
            raise Refused("UNIMPLEMENTED", "filter and order_by are not offered by the local Cloud Run.")
        folder = f"{_project(getattr(request, self.parent))}/{self.folder}"
        names, token = page(self.kept.under(folder), str, size=request.page_size, token=request.page_token)
        answer = getattr(self.types, f"List{self.plural}Response").pb()(next_page_token=token)
        repeated = next(f.name for f in answer.DESCRIPTOR.fields if f.message_type)
        getattr(answer, repeated).extend(map(self.kept.show, names))
        return answer

    async def _update(self, request: Any, _: Context) -> Any:
        given = getattr(request, self.field)
        name = getattr(request, self.named, "") or given.name
        if self.makes_missing and name not in self.kept:
            return self.kept.create(name, given)
        return self.kept.update(name, given, getattr(request, "update_mask", None))

    async def _delete(self, request: Any, _: Context) -> Any:
        self.delete(request)
        return empty_pb2.Empty()


def handlers(book: AlertBook) -> tuple[grpc.GenericRpcHandler, ...]:
    """Everything to add to a ``grpc.aio`` server."""
    served = (
        _Served(
            "google.cloud.logging_v2", "google.logging.v2.MetricsServiceV2", logging_v2, "LogMetric", "LogMetrics",
            "metrics", "metric", "parent", "metric_name", book.metrics, _metric_name,
            lambda request: book.metrics.delete(request.metric_name), makes_missing=True,
        ),
        _Served(
            "google.cloud.monitoring_v3", "google.monitoring.v3.AlertPolicyService", monitoring_v3, "AlertPolicy",
            "AlertPolicies", "alertPolicies", "alert_policy", "name", "name", book.policies,
            lambda parent, _: book.new_name(parent, "alertPolicies"),
            lambda request: book.policies.delete(request.name),
        ),
        _Served(
            "google.cloud.monitoring_v3", "google.monitoring.v3.NotificationChannelService", monitoring_v3,
            "NotificationChannel", "NotificationChannels", "notificationChannels", "notification_channel", "name",
            "name", book.channels, lambda parent, _: book.new_name(parent, "notificationChannels"),
            lambda request: book.delete_channel(request.name, force=request.force),
        ),
    )  # fmt: skip
    return tuple(each.handler() for each in served)


def _metric_name(parent: str, metric: Any) -> str:
    """A metric is named by its maker."""
    if not _METRIC_ID.fullmatch(metric.name):
        raise Refused("INVALID_ARGUMENT", f"metric.name: '{metric.name}' is not a metric id of at most 100 characters.")  # fmt: skip
    return f"{parent}/metrics/{metric.name}"


def _unary(method: Any, request: Any) -> grpc.RpcMethodHandler:
    """Bare messages: what is kept is their JSON."""
    return unary(method, request.pb().FromString, lambda answer: bytes(answer.SerializeToString()))


def _project(parent: str) -> str:
    if not re.fullmatch(r"projects/[^/]+", parent):
        raise Refused("INVALID_ARGUMENT", f"'{parent}' is not projects/PROJECT.")
    return parent
