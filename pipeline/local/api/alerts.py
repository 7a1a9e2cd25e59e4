"""Log-based metrics (Logging v2), alert policies and notification channels (Monitoring v3), as rows of both faces."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

from google.protobuf import empty_pb2
from msgspec import Struct

from pipeline.local.alerts.book import AlertBook
from pipeline.local.alerts.collection import Collection
from pipeline.local.api.methods import Method, at_once, paged
from pipeline.local.control.state import Refused, invalid
from pipeline.rpc.logs import logging_v2
from pipeline.rpc.monitoring import monitoring_v3


class _Served(Struct, frozen=True):
    """One API's service of one kind of resource, and what differs between the three.

    Args:
        service: its full name; ``types`` are the messages of its client package.
        resource, plural: as methods spell them; ``folder``: as resource names do; ``field``: of it in a request.
        parent, named: of the parent's and of the resource's own name in a request.
        kept: its collection. ``delete``: by request.
    """

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

    def rows(self) -> Iterator[Method]:
        one, empty = self.kept.message, empty_pb2.Empty
        some = getattr(self.types, f"List{self.plural}Response").pb()
        for call, name, answer in (
            (at_once(self._create), f"Create{self.resource}", one),
            (at_once(lambda request: self.kept.show(_name(request, self.named))), f"Get{self.resource}", one),
            (paged(some, self._found, str, self.kept.show), f"List{self.plural}", some),
            (at_once(self._update), f"Update{self.resource}", one),
            (at_once(self._delete), f"Delete{self.resource}", empty),
        ):  # fmt: skip
            yield Method(f"{self.service}/{name}", getattr(self.types, f"{name}Request").pb(), answer, call)

    def _create(self, request: Any) -> Any:
        given = getattr(request, self.field)
        return self.kept.create(self.new_name(_project(getattr(request, self.parent)), given), given)

    def _found(self, request: Any) -> list[str]:
        if getattr(request, "filter", "") or getattr(request, "order_by", ""):
            raise Refused("UNIMPLEMENTED", "filter and order_by are not offered by the local Cloud Run.")
        return self.kept.under(f"{_project(getattr(request, self.parent))}/{self.folder}")

    def _update(self, request: Any) -> Any:
        given = getattr(request, self.field)
        name = _name(request, self.named) or given.name
        if self.makes_missing and name not in self.kept:
            return self.kept.create(name, given)
        return self.kept.update(name, given, getattr(request, "update_mask", None))

    def _delete(self, request: Any) -> Any:
        self.delete(request)
        return empty_pb2.Empty()


def offered(book: AlertBook) -> Iterator[Method]:
    """Every row."""
    yield from _Served(
        "google.logging.v2.MetricsServiceV2", logging_v2, "LogMetric", "LogMetrics", "metrics", "metric",
        "parent", "metric_name", book.metrics,
        lambda parent, metric: f"{parent}/metrics/{metric.name}",
        lambda request: book.metrics.delete(_name(request, "metric_name")), makes_missing=True,
    ).rows()  # fmt: skip
    yield from _Served(
        "google.monitoring.v3.AlertPolicyService", monitoring_v3, "AlertPolicy", "AlertPolicies", "alertPolicies",
        "alert_policy", "name", "name", book.policies, lambda parent, _: book.new_name(parent, "alertPolicies"),
        lambda request: book.policies.delete(request.name),
    ).rows()  # fmt: skip
    yield from _Served(
        "google.monitoring.v3.NotificationChannelService", monitoring_v3, "NotificationChannel",
        "NotificationChannels", "notificationChannels", "notification_channel", "name", "name", book.channels,
        lambda parent, _: book.new_name(parent, "notificationChannels"),
        lambda request: book.delete_channel(request.name, force=request.force),
    ).rows()  # fmt: skip


def _name(request: Any, field: str) -> str:
    """Of the resource that a request is about. The id of a metric may hold a slash, which comes as %2F."""
    return unquote(getattr(request, field, ""))


def _project(parent: str) -> str:
    if not re.fullmatch(r"projects/[^/]+", parent):
        raise invalid(f"'{parent}' is not projects/PROJECT.")
    return parent
