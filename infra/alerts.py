"""The lasting alerts of one service: log-based metrics and alert policies that watch when no rollout does.

They are what a rollout judges, for ever: abnormal closes, runs without an outcome, log lines that could not be written,
a watchdog that fell silent. Declared as plain inputs, since importing the provider's typed classes for them takes longer
than everything else that a plan does.
Source: google.logging.v2.LogMetric, google.monitoring.v3.AlertPolicy, as pulumi-gcp spells them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from infra.settings import SILENT_S
from pipeline.model import ServiceRef

METRIC = "gcp:logging/metric:Metric"
POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
_USER = "logging.googleapis.com/user/"
_WINDOW_S = 300
#: Of an absence, as Cloud Monitoring takes it: whole minutes. Source: cloud.google.com/monitoring/alerts/metric-absence.
_LONGEST_ABSENCE_S = 23 * 3600 + 1800
_FEWEST = 2  # one broken client is no alert
_BY_USERS = "NOT jsonPayload.probe:*"  # a candidate that probes stopped at 0 % is nobody's emergency


class Declared(Struct, frozen=True):
    """One resource of the program's. ``inputs`` are as its provider gets them; secrets may be in them."""

    type: str
    name: str
    inputs: Mapping[str, Any]

    @property
    def summary(self) -> dict[str, object]:
        """What a person wants to know of it: no environment, no secrets."""
        shown: dict[str, object] = {"type": self.type, "name": self.name}
        template = self.inputs.get("template", {})
        if "revision" not in template:
            return shown
        lines = self.inputs["traffics"]
        return {
            **shown,
            "revision": template["revision"],
            "image": template["containers"][0]["image"],
            "traffic": [{key: value for key, value in line.items() if key != "type"} for line in lines],
        }


class _Metric(Struct, frozen=True):
    """What is counted: ``key`` names it; ``labels`` are fields of the entry."""

    key: str
    describes: str
    filter: str
    labels: Mapping[str, str] = field(default_factory=dict)


_METRICS = (
    _Metric(
        "closes",
        "WebSockets that ended, by close code, who closed, and revision",
        f'jsonPayload.event="ws_close" AND {_BY_USERS}',
        {"code": "jsonPayload.code", "closed_by": "jsonPayload.closed_by"},
    ),
    _Metric(
        "runs", "Agent runs, by outcome and revision", f'jsonPayload.event="agent_run" AND {_BY_USERS}', {"outcome": "jsonPayload.outcome"}
    ),
    _Metric(
        "unserialisable",
        "Log lines and messages that JSON refused, by revision",
        '(textPayload:"is not JSON serializable" OR jsonPayload.message:"is not JSON serializable")',
    ),
)  # fmt: skip
_TICKS = _Metric("ticks", "Steps of the watchdog that drives rollouts", 'jsonPayload.event="tick"')


def declared(ref: ServiceRef, channels: Sequence[str] = (), silent_s: int = SILENT_S) -> Iterator[Declared]:
    """All metrics and policies of one service, in an order in which they can be made.

    Args:
        silent_s: after so many seconds without a step the watchdog is silent.
        channels: resource names of notification channels; none: the policies open incidents and tell nobody.
    """
    yield from (_metric(ref, metric) for metric in (*_METRICS, _TICKS))
    for key, title, conditions, words in _policies(ref, silent_s):
        yield Declared(POLICY, f"{ref.service}-alert-{key}", {
            "project": ref.project,
            "displayName": f"{ref.service}: {title}",
            "combiner": "AND_WITH_MATCHING_RESOURCE" if len(conditions) > 1 else "OR",
            "conditions": conditions,
            "notificationChannels": list(channels),
            "documentation": {"content": words, "mimeType": "text/markdown"},
            "userLabels": {"spillway": ref.service, "location": ref.location},
        })  # fmt: skip


def _metric(ref: ServiceRef, metric: _Metric) -> Declared:
    """A job's lines are of another resource type, so the watchdog's name the service in their payload."""
    ours = (
        f'jsonPayload.service="{ref.name}"'
        if metric is _TICKS
        else f'resource.type="cloud_run_revision" AND resource.labels.service_name="{ref.service}"'
        f' AND resource.labels.location="{ref.location}"'
    )
    labels = [{"key": key, "valueType": "STRING"} for key in metric.labels]
    return Declared(METRIC, f"{ref.service}-{metric.key}", {
        "project": ref.project,
        "name": _id(ref, metric.key),
        "description": metric.describes,
        "filter": f"{ours} AND {metric.filter}",
        "metricDescriptor": {"metricKind": "DELTA", "valueType": "INT64", "unit": "1", "labels": labels},
        "labelExtractors": {key: f"EXTRACT({path})" for key, path in metric.labels.items()},
    })  # fmt: skip


def _policies(ref: ServiceRef, silent_s: int) -> Iterator[tuple[str, str, list[dict[str, Any]], str]]:
    """Key, title, conditions and what to do of each."""
    back = f"Give traffic back: `spillway rollback {ref.name}`. See: `spillway status`."
    for code, who in (
        ("1011", "the service closed them with an error"),
        ("1006", "they ended without a close frame"),
    ):
        title = f"sockets closed with {code}"
        some = f'metric.label.code="{code}"'
        yield code, title, [_share(ref, "closes", some, 0.01), _more_than(ref, "closes", some, _FEWEST)], (
            f"More than 1 % of the sockets of a revision ended with {code} within {_WINDOW_S // 60} minutes: {who}. {back}"
        )  # fmt: skip
    bad = 'metric.label.outcome=one_of("closed","timeout")'
    yield "outcome", "sockets without an outcome", [_share(ref, "runs", bad, 0.05), _more_than(ref, "runs", bad, _FEWEST)], (
        f"More than 5 % of the agent runs of a revision had no outcome within {_WINDOW_S // 60} minutes. {back}"
    )  # fmt: skip
    yield (
        "unserialisable",
        "log lines that JSON refused",
        [_more_than(ref, "unserialisable", "", 0)],
        (f"A value that JSON refuses was logged or sent: `spillway check` finds where. {back}"),
    )
    minutes = min(_LONGEST_ABSENCE_S, silent_s) // 60
    yield (
        "watchdog",
        "the watchdog is silent",
        [_silent(ref, "ticks", minutes)],
        (
            f"No step for {minutes} minutes: a rollout that is under way is driven by nobody. Step by hand: `spillway tick`."
        ),
    )


def _share(ref: ServiceRef, key: str, some: str, limit: float) -> dict[str, Any]:
    return {
        "displayName": f"more than {limit:.0%} of all",
        "conditionThreshold": {
            **_threshold(ref, key, some, limit),
            "denominatorFilter": _series(ref, key, ""),
            "denominatorAggregations": [_summed()],
        },
    }


def _more_than(ref: ServiceRef, key: str, some: str, count: float) -> dict[str, Any]:
    return {"displayName": f"more than {count:g}", "conditionThreshold": _threshold(ref, key, some, count)}


def _threshold(ref: ServiceRef, key: str, some: str, limit: float) -> dict[str, Any]:
    return {
        "filter": _series(ref, key, some),
        "comparison": "COMPARISON_GT",
        "thresholdValue": limit,
        "duration": "0s",
        "aggregations": [_summed()],
    }


def _silent(ref: ServiceRef, key: str, minutes: int) -> dict[str, Any]:
    absent = {"filter": _series(ref, key, ""), "duration": f"{minutes * 60}s", "aggregations": [_summed(())]}
    return {"displayName": f"none for {minutes} minutes", "conditionAbsent": absent}


def _series(ref: ServiceRef, key: str, some: str) -> str:
    kind = 'resource.type="cloud_run_job"' if key == _TICKS.key else 'resource.type="cloud_run_revision"'
    return " AND ".join(filter(None, (f'metric.type="{_USER}{_id(ref, key)}"', kind, some)))


def _summed(by: Sequence[str] = ("resource.label.revision_name",)) -> dict[str, Any]:
    return {
        "alignmentPeriod": f"{_WINDOW_S}s",
        "perSeriesAligner": "ALIGN_DELTA",
        "crossSeriesReducer": "REDUCE_SUM",
        "groupByFields": list(by),
    }


def _id(ref: ServiceRef, key: str) -> str:
    """Metrics are a project's: one service may be in several regions of it."""
    return f"spillway/{ref.location}/{ref.service}/{key}"
