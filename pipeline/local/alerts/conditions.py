"""Conditions of alert policies, over log-based metrics; no clock and no disk.

What is understood: thresholds and absences of ``logging.googleapis.com/user/...`` metrics, aligned by ALIGN_DELTA,
ALIGN_SUM, ALIGN_COUNT or ALIGN_RATE, reduced by REDUCE_SUM or not at all, also as a ratio with a denominator. Any other
condition is kept and not evaluated; the status of the local Cloud Run says so.
Source: google.monitoring.v3.AlertPolicy; https://cloud.google.com/monitoring/api/v3/filters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from pipeline.local.alerts.series import USER, Labels, Series, grouped
from pipeline.local.control.state import Json, seconds

_TERM = re.compile(
    r'\s*(?P<field>[\w.]+)\s*(?P<op>!=|=|:)\s*(?:"(?P<value>[^"]*)"|one_of\((?P<values>[^)]*)\)|starts_with\("(?P<prefix>[^"]*)"\))\s*'
)
_ALIGNERS = frozenset({"ALIGN_DELTA", "ALIGN_SUM", "ALIGN_COUNT", "ALIGN_RATE"})
_REDUCERS = frozenset({"REDUCE_SUM", "REDUCE_NONE"})


class NotEvaluated(ValueError):
    """The condition is kept, but means something that is not evaluated here."""


class Query(Struct, frozen=True):
    """One time series query: a metric, which of its series, over which period, grouped by which labels."""

    metric: str
    terms: tuple[tuple[str, str, tuple[str, ...]], ...]
    period_s: float
    is_rate: bool
    group_by: tuple[str, ...]

    def values(self, series: Series, now_s: float, *, over_s: float | None = None) -> Mapping[Labels, float]:
        """Value by group, over the last ``over_s`` seconds (default: the alignment period)."""
        over = self.period_s if over_s is None else over_s
        chosen = (
            (labels, n)
            for labels, n in series.within(self.metric, now_s - over, now_s)
            if all(_holds(labels.get(t[0], ""), *t[1:]) for t in self.terms)
        )
        scale = over if self.is_rate else 1.0
        return {group: count / scale for group, count in grouped(chosen, self.group_by).items()}


def _holds(found: str, op: str, values: tuple[str, ...]) -> bool:
    if op == "starts_with":
        return found.startswith(values)
    if op == ":":
        return any(value in found for value in values)
    return (found in values) == (op == "=")


class Threshold(Struct, frozen=True):
    """Holds for a group while its value (or its share of the denominator's) is beyond the threshold."""

    query: Query
    denominator: Query | None
    is_above: bool
    threshold: float
    duration_s: float

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(query.metric for query in (self.query, self.denominator) if query)

    def holding(self, series: Series, now_s: float) -> frozenset[Labels]:
        values = self.query.values(series, now_s)
        if self.denominator is not None:
            whole = self.denominator.values(series, now_s)
            values = {group: value / whole[group] for group, value in values.items() if whole.get(group)}
        return frozenset(g for g, v in values.items() if (v > self.threshold if self.is_above else v < self.threshold))  # fmt: skip


class Absence(Struct, frozen=True):
    """Holds for a group that was seen once and had no point for the duration."""

    query: Query
    silent_s: float
    duration_s: float = 0.0

    @property
    def metrics(self) -> tuple[str, ...]:
        return (self.query.metric,)

    def holding(self, series: Series, now_s: float) -> frozenset[Labels]:
        seen = self.query.values(series, now_s, over_s=self.silent_s).items()
        return frozenset(group for group, value in seen if not value)


Condition = Threshold | Absence


def condition_of(condition: Json) -> Condition:
    """From the JSON of an AlertPolicy.Condition. Raises NotEvaluated."""
    if threshold := condition.get("conditionThreshold"):
        comparison = threshold.get("comparison", "")
        if comparison not in ("COMPARISON_GT", "COMPARISON_LT"):
            raise NotEvaluated(f"comparison {comparison or 'is missing'}")
        whole = threshold.get("denominatorFilter")
        return Threshold(
            _query(threshold.get("filter", ""), threshold.get("aggregations", ())),
            _query(whole, threshold.get("denominatorAggregations", ())) if whole else None,
            comparison == "COMPARISON_GT",
            float(threshold.get("thresholdValue", 0)),
            seconds(threshold.get("duration", "0s")),
        )
    if absent := condition.get("conditionAbsent"):
        query = _query(absent.get("filter", ""), absent.get("aggregations", ()))
        return Absence(query, seconds(absent.get("duration", "0s")))
    raise NotEvaluated(
        f"a condition of the kind {next((k for k in condition if k.startswith('condition')), '')}"
    )


def _query(text: str, aggregations: Sequence[Json]) -> Query:
    terms = _terms(text)
    named = [values for field, op, values in terms if field == "metric.type" and op == "="]
    metric = named[0][0] if len(named) == 1 and len(named[0]) == 1 else ""
    if not metric.startswith(USER):
        raise NotEvaluated(
            f"metric {metric or 'is not one by name'}: only log-based metrics are counted here"
        )
    if len(aggregations) != 1:
        raise NotEvaluated(f"{len(aggregations)} aggregations")
    step = aggregations[0]
    aligner = step.get("perSeriesAligner", "ALIGN_NONE")
    reducer = step.get("crossSeriesReducer", "REDUCE_NONE")
    if aligner not in _ALIGNERS or reducer not in _REDUCERS:
        raise NotEvaluated(f"{aligner} with {reducer}")
    period_s = seconds(step.get("alignmentPeriod", "60s"))
    if period_s <= 0:
        raise NotEvaluated(f"an alignment period of {period_s:g}s")
    return Query(
        metric.removeprefix(USER),
        tuple(t for t in terms if t[0] not in ("metric.type", "resource.type")),
        period_s,
        aligner == "ALIGN_RATE",
        tuple(map(_label, step.get("groupByFields", ()))) if reducer == "REDUCE_SUM" else (),
    )


def _terms(text: str) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    found = []
    for part in re.split(r"\s+AND\s+", text.strip()):
        match = _TERM.fullmatch(part)
        if match is None:
            raise NotEvaluated(f"filter {part!r}")
        values: tuple[str, ...] = (match["prefix"] or match["value"] or "",)
        if match["values"] is not None:
            values = tuple(re.findall(r'"([^"]*)"', match["values"]))
        op = match["op"] if match["prefix"] is None else "starts_with"
        found.append((_label(match["field"]), op, values))
    return tuple(found)


def _label(name: str) -> str:
    """``labels`` is another spelling of ``label``."""
    return name.replace(".labels.", ".label.")
