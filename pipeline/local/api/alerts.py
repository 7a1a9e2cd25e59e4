"""Log-based metrics (Logging v2), alert policies and notification channels (Monitoring v3) over gRPC.

Source: gapic_metadata.json of the two client packages names the methods; those not offered answer UNIMPLEMENTED.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
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

_SERVED = (
    ("google.cloud.logging_v2", "google.logging.v2", "MetricsServiceV2"),
    ("google.cloud.monitoring_v3", "google.monitoring.v3", "AlertPolicyService"),
    ("google.cloud.monitoring_v3", "google.monitoring.v3", "NotificationChannelService"),
)
_METRIC_ID = re.compile(r"[A-Za-z0-9_\-.,+!*',()%/]{1,100}")


def handlers(book: AlertBook) -> tuple[grpc.GenericRpcHandler, ...]:
    """Everything to add to a ``grpc.aio`` server."""
    offered = {**_metrics(book), **_policies(book), **_channels(book)}
    return tuple(
        grpc.method_handlers_generic_handler(
            service, {m: offered.get(m) or not_offered(f"{service}/{m}") for m in methods}
        )
        for service, methods in _client_methods()
    )


def _client_methods() -> Iterator[tuple[str, list[str]]]:
    for module, package, name in _SERVED:
        known = json.loads(resources.files(module).joinpath("gapic_metadata.json").read_text())
        yield f"{package}.{name}", list(known["services"][name]["clients"]["grpc"]["rpcs"])


def _metrics(book: AlertBook) -> Mapping[str, grpc.RpcMethodHandler]:
    kept = book.metrics

    async def create(request: Any, _: Context) -> Any:
        if not _METRIC_ID.fullmatch(request.metric.name):
            raise Refused("INVALID_ARGUMENT", f"metric.name: '{request.metric.name}' is not a metric id of at most 100 characters.")  # fmt: skip
        return kept.create(f"{_project(request.parent)}/metrics/{request.metric.name}", request.metric)

    async def get(request: Any, _: Context) -> Any:
        return kept.show(request.metric_name)

    async def list_(request: Any, _: Context) -> Any:
        found, token = _page(kept, f"{_project(request.parent)}/metrics", request)
        return logging_v2.ListLogMetricsResponse.pb()(metrics=found, next_page_token=token)

    async def update(request: Any, _: Context) -> Any:
        """Logging makes the metric that is not there."""
        put = kept.update if request.metric_name in kept else kept.create
        return put(request.metric_name, request.metric)

    async def delete(request: Any, _: Context) -> Any:
        kept.delete(request.metric_name)
        return empty_pb2.Empty()

    return {
        "CreateLogMetric": _unary(create, logging_v2.CreateLogMetricRequest),
        "GetLogMetric": _unary(get, logging_v2.GetLogMetricRequest),
        "ListLogMetrics": _unary(list_, logging_v2.ListLogMetricsRequest),
        "UpdateLogMetric": _unary(update, logging_v2.UpdateLogMetricRequest),
        "DeleteLogMetric": _unary(delete, logging_v2.DeleteLogMetricRequest),
    }


def _policies(book: AlertBook) -> Mapping[str, grpc.RpcMethodHandler]:
    kept = book.policies

    async def create(request: Any, _: Context) -> Any:
        return kept.create(book.new_name(_project(request.name), "alertPolicies"), request.alert_policy)

    async def get(request: Any, _: Context) -> Any:
        return kept.show(request.name)

    async def list_(request: Any, _: Context) -> Any:
        found, token = _page(kept, f"{_project(request.name)}/alertPolicies", request)
        return monitoring_v3.ListAlertPoliciesResponse.pb()(alert_policies=found, next_page_token=token)

    async def update(request: Any, _: Context) -> Any:
        return kept.update(request.alert_policy.name, request.alert_policy, request.update_mask)

    async def delete(request: Any, _: Context) -> Any:
        kept.delete(request.name)
        return empty_pb2.Empty()

    return {
        "CreateAlertPolicy": _unary(create, monitoring_v3.CreateAlertPolicyRequest),
        "GetAlertPolicy": _unary(get, monitoring_v3.GetAlertPolicyRequest),
        "ListAlertPolicies": _unary(list_, monitoring_v3.ListAlertPoliciesRequest),
        "UpdateAlertPolicy": _unary(update, monitoring_v3.UpdateAlertPolicyRequest),
        "DeleteAlertPolicy": _unary(delete, monitoring_v3.DeleteAlertPolicyRequest),
    }


def _channels(book: AlertBook) -> Mapping[str, grpc.RpcMethodHandler]:
    kept = book.channels

    async def create(request: Any, _: Context) -> Any:
        name = book.new_name(_project(request.name), "notificationChannels")
        return kept.create(name, request.notification_channel)

    async def get(request: Any, _: Context) -> Any:
        return kept.show(request.name)

    async def list_(request: Any, _: Context) -> Any:
        found, token = _page(kept, f"{_project(request.name)}/notificationChannels", request)
        return monitoring_v3.ListNotificationChannelsResponse.pb()(notification_channels=found, next_page_token=token)  # fmt: skip

    async def update(request: Any, _: Context) -> Any:
        given = request.notification_channel
        return kept.update(given.name, given, request.update_mask)

    async def delete(request: Any, _: Context) -> Any:
        book.delete_channel(request.name, force=request.force)
        return empty_pb2.Empty()

    return {
        "CreateNotificationChannel": _unary(create, monitoring_v3.CreateNotificationChannelRequest),
        "GetNotificationChannel": _unary(get, monitoring_v3.GetNotificationChannelRequest),
        "ListNotificationChannels": _unary(list_, monitoring_v3.ListNotificationChannelsRequest),
        "UpdateNotificationChannel": _unary(update, monitoring_v3.UpdateNotificationChannelRequest),
        "DeleteNotificationChannel": _unary(delete, monitoring_v3.DeleteNotificationChannelRequest),
    }


def _unary(method: Any, request: Any) -> grpc.RpcMethodHandler:
    """Bare messages: what is kept is their JSON."""
    return unary(method, request.pb().FromString, lambda answer: bytes(answer.SerializeToString()))


def _page(kept: Collection, folder: str, request: Any) -> tuple[list[Any], str]:
    if getattr(request, "filter", "") or getattr(request, "order_by", ""):
        raise Refused("UNIMPLEMENTED", "filter and order_by are not offered by the local Cloud Run.")
    names, token = page(kept.under(folder), str, size=request.page_size, token=request.page_token)
    return [kept.show(name) for name in names], token


def _project(parent: str) -> str:
    if not re.fullmatch(r"projects/[^/]+", parent):
        raise Refused("INVALID_ARGUMENT", f"'{parent}' is not projects/PROJECT.")
    return parent
