"""Log-based metrics: what of the log counts, by which labels, and how often it came in each second.

A metric counts from when it was made; entries before it are not counted afterwards, as in Cloud Logging.
Source: google.logging.v2.LogMetric; https://cloud.google.com/logging/docs/logs-based-metrics/labels.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from itertools import takewhile
from typing import Any

from msgspec import Struct

from pipeline.local.control.state import Json, Refused
from pipeline.local.entries.entry import Entry, nanoseconds
from pipeline.local.entries.fields import value_field
from pipeline.local.entries.filter import FilterError, compile_filter

USER = "logging.googleapis.com/user/"  # before the name of a log-based metric
KEPT_S = 26 * 3600  # the longest alignment period and duration are a day
Labels = tuple[tuple[str, str], ...]  # sorted pairs, ``metric.label.X`` and ``resource.label.X``

_EXTRACT = re.compile(r"EXTRACT\((?P<field>[^()]+)\)")
_REGEXP = re.compile(r'REGEXP_EXTRACT\((?P<field>[^(),]+),\s*"(?P<pattern>(?:[^"\\]|\\.)*)"\)')


class Metric(Struct, frozen=True):
    """Args: labels: what each label is of an entry. ``services``: in lower case, that can match at all; None: any."""

    name: str
    matches: Callable[[Entry], bool]
    labels: Mapping[str, Callable[[Entry], str]]
    since_ns: int
    services: frozenset[str] | None = None

    def counts(self, entry: Entry) -> bool:
        """The cheap questions first: many services share one log, and each has its metrics."""
        if entry.received_ns < self.since_ns:
            return False
        is_theirs = self.services is not None and entry.resource.get("service_name") not in self.services
        return not is_theirs and self.matches(entry)

    def labels_of(self, entry: Entry) -> Labels:
        own = {f"metric.label.{name}": read(entry) for name, read in self.labels.items()}
        return tuple(sorted({**own, **{f"resource.label.{k}": v for k, v in entry.resource.items()}}.items()))


def metric_of(definition: Json) -> Metric:
    """From the JSON of a LogMetric. Raises Refused for what this local Cloud Run cannot count."""
    try:
        asked = compile_filter(definition.get("filter", ""))
    except FilterError as error:
        raise Refused("INVALID_ARGUMENT", str(error)) from error
    extractors = definition.get("labelExtractors", {})
    described = {label.get("key", "") for label in definition.get("metricDescriptor", {}).get("labels", ())}
    if described != set(extractors):
        raise Refused(
            "INVALID_ARGUMENT",
            f"label_extractors: {sorted(extractors)} are not the descriptor's labels {sorted(described)}.",
        )
    return Metric(
        definition["name"],
        asked.matches,
        {name: _extractor(name, text) for name, text in extractors.items()},
        nanoseconds(definition["createTime"]),
        asked.bounds.services,
    )


def _extractor(name: str, text: str) -> Callable[[Entry], str]:
    found = _EXTRACT.fullmatch(text) or _REGEXP.fullmatch(text)
    field = value_field(found["field"].strip()) if found else None
    if found is None or field is None:
        raise Refused("INVALID_ARGUMENT", f"label_extractors[{name}]: '{text}' is not EXTRACT(FIELD) or REGEXP_EXTRACT(FIELD, \"...\").")  # fmt: skip
    if found.re is _EXTRACT:
        return lambda entry: next(map(_shown, field(entry)), "")
    try:
        search = re.compile(found["pattern"]).search
    except re.error as error:
        raise Refused("INVALID_ARGUMENT", f"label_extractors[{name}]: {error}.") from error

    def first_group(entry: Entry) -> str:
        match = search(next(map(_shown, field(entry)), ""))
        return match[match.re.groups and 1] or "" if match else ""

    return first_group


def _shown(value: Any) -> str:
    """A number of a jsonPayload is a double; Cloud Logging shows 1011.0 as 1011."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


class Series:
    """How often each metric was seen, by labels and second."""

    def __init__(self) -> None:
        self._points: defaultdict[tuple[str, Labels], deque[tuple[int, int]]] = defaultdict(deque)

    def add(self, metric: Metric, entry: Entry) -> None:
        if not metric.counts(entry):
            return
        points, second = self._points[metric.name, metric.labels_of(entry)], entry.received_ns // 10**9
        if points and points[-1][0] >= second:
            last, count = points.pop()
            points.append((last, count + 1))
        else:
            points.append((second, 1))
        while points[0][0] < second - KEPT_S:
            points.popleft()

    def forget(self, metric: str) -> None:
        for key in [key for key in self._points if key[0] == metric]:
            del self._points[key]

    def within(self, metric: str, after_s: float, until_s: float) -> Iterator[tuple[Mapping[str, str], int]]:
        """Each series of the metric that was ever seen, and its count in (after, until]."""
        for (name, labels), points in self._points.items():
            if name == metric:
                since = takewhile(lambda point: point[0] > after_s, reversed(points))
                yield dict(labels), sum(seen for second, seen in since if second <= until_s)


def grouped(found: Iterator[tuple[Mapping[str, str], int]], by: tuple[str, ...]) -> Counter[Labels]:
    """Counts summed over all series with the same values of these labels; a group of nothing stays, at 0."""
    sums: Counter[Labels] = Counter()
    for labels, count in found:
        sums[tuple((name, labels.get(name, "")) for name in by)] += count
    return sums
