"""The metrics, policies and channels of one local Cloud Run, and what of them is accepted.

Source: google.logging.v2.LogMetric, google.monitoring.v3.AlertPolicy and NotificationChannel; what the service fills in
was read off recorded conversations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import private
from pipeline.local.alerts.collection import Collection
from pipeline.local.alerts.series import USER, Metric, metric_of
from pipeline.local.control.state import Json, Refused
from pipeline.rpc.logs import logging_v2
from pipeline.rpc.monitoring import monitoring_v3

_METRIC = re.compile(r"projects/[^/]+/metrics/([A-Za-z0-9_\-.,+!*',()%/]{1,100})")
_COMBINERS = ("AND", "OR", "AND_WITH_MATCHING_RESOURCE")


class AlertBook:
    """Three collections that refer to each other.

    Args:
        ids: numbers for the names that the service chooses.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        folder = folder / "alerts"
        private.make_folder(folder)
        self._clock = clock
        self.metrics = Collection(folder / "metrics.json", logging_v2.LogMetric.pb(), self._metric)
        self.policies = Collection(folder / "policies.json", monitoring_v3.AlertPolicy.pb(), self._policy)
        self.channels = Collection(
            folder / "channels.json", monitoring_v3.NotificationChannel.pb(), self._channel
        )

    def new_name(self, parent: str, kind: str) -> str:
        """``PARENT/KIND/NUMBER``, not given before: later ones are greater."""
        taken = [int(name.rpartition("/")[2]) for name in (*self.policies.under(parent), *self.channels.under(parent))]  # fmt: skip
        return f"{parent}/{kind}/{max(taken, default=10**18) + 1}"

    def counted(self) -> Iterator[Metric]:
        """The metrics that count: those not disabled."""
        return (metric for _, kept, metric in self.metrics.made(metric_of) if not kept.get("disabled"))

    def delete_channel(self, name: str, *, force: bool) -> None:
        """Raises Refused while a policy names it, unless it is taken out of that too."""
        users = [policy for policy, kept in self.policies if name in kept.get("notificationChannels", ())]
        if users and not force:
            raise Refused("FAILED_PRECONDITION", f"'{name}' is used by {', '.join(users)}; give force to take it out of them.")  # fmt: skip
        for user in users:
            policy = self.policies.show(user)
            policy.notification_channels.remove(name)
            self.policies.update(user, policy)
        self.channels.delete(name)

    def _metric(self, document: dict[str, Any], before: Json | None) -> dict[str, Any]:
        named = _METRIC.fullmatch(document["name"])
        if named is None:
            raise Refused("INVALID_ARGUMENT", f"'{document['name']}' is not projects/PROJECT/metrics/ID, the ID a metric id of at most 100 characters.")  # fmt: skip
        name = named[1]
        described = {"metricKind": "DELTA", "valueType": "INT64", **document.get("metricDescriptor", {})}
        if (described["metricKind"], described["valueType"]) != ("DELTA", "INT64"):
            raise Refused(
                "INVALID_ARGUMENT", "metric_descriptor: only DELTA of INT64, a count, is kept here."
            )
        now = self._clock().isoformat()
        kept = {
            **document,
            "name": name,
            "metricDescriptor": {**described, "name": f"projects/-/metricDescriptors/{USER}{name}", "type": f"{USER}{name}"},
            "createTime": before["createTime"] if before else now,
            "updateTime": now,
        }  # fmt: skip
        metric_of(kept)
        return kept

    def _policy(self, document: dict[str, Any], before: Json | None) -> dict[str, Any]:
        conditions = document.get("conditions", [])
        if not 1 <= len(conditions) <= 6:
            raise Refused("INVALID_ARGUMENT", f"conditions: {len(conditions)}, at least one and at most 6.")
        if document.get("combiner") not in _COMBINERS:
            raise Refused("INVALID_ARGUMENT", f"combiner: must be one of {', '.join(_COMBINERS)}.")
        for channel in document.get("notificationChannels", ()):
            if channel not in self.channels:
                raise Refused("INVALID_ARGUMENT", f"notification_channels: '{channel}' does not exist.")
        name, stamp = document["name"], {"mutateTime": self._clock().isoformat()}
        first = int(name.rpartition("/")[2])
        named = [
            {**one, "name": one.get("name") or f"{name}/conditions/{first + n}"}
            for n, one in enumerate(conditions, 1)
        ]
        return {"enabled": True, **document, "conditions": named, "creationRecord": before["creationRecord"] if before else stamp, "mutationRecord": stamp}  # fmt: skip

    def _channel(self, document: dict[str, Any], before: Json | None) -> dict[str, Any]:
        if not document.get("type"):
            raise Refused("INVALID_ARGUMENT", "type: must be set.")
        stamp = {"mutateTime": self._clock().isoformat()}
        created = before["creationRecord"] if before else stamp
        changes = [*before.get("mutationRecords", ()), stamp] if before else [stamp]
        return {"enabled": True, **document, "creationRecord": created, "mutationRecords": changes}
