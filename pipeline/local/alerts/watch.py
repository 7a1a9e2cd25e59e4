"""Which alerts fire: entries are counted as they arrive, and each second every policy is looked at.

An *incident* begins when a policy's conditions have held for their durations and ends when they hold no more. Beginnings
and ends are in the server's log; channels are kept and named, nothing is sent from a machine that is nobody's cloud.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import structlog

from pipeline.local.alerts.book import AlertBook
from pipeline.local.alerts.conditions import Condition, NotEvaluated, condition_of
from pipeline.local.alerts.series import KEPT_S, Labels, Series
from pipeline.local.control.state import Json
from pipeline.local.entries.entry import Entry
from pipeline.local.entries.index import Bounds
from pipeline.local.entries.store import LogStore
from pipeline.local.tasks import Tasks

_EVERY_S = 1.0

log = structlog.get_logger(__name__)


class Evaluation:
    """The state between two looks: the counts, since when each condition holds, and the open incidents.

    ``open`` has each incident by its policy and the labels that it fires for, as plain values.
    """

    def __init__(self, book: AlertBook) -> None:
        self._book = book
        self._series = Series()
        self._holding: dict[tuple[str, int, Labels], float] = {}
        self.open: dict[tuple[str, Labels], Mapping[str, Any]] = {}

    def count(self, entries: Iterable[Entry]) -> None:
        metrics = tuple(self._book.counted())
        for entry in entries:
            for metric in metrics:
                self._series.add(metric, entry)

    def look(self, now_s: float) -> None:
        """Begin and end incidents as of this time."""
        firing = {
            (name, group): policy
            for name, policy, conditions in self._book.policies.made(_evaluated)
            if conditions and policy.get("enabled", True)
            for group in self._fires(name, policy["combiner"], conditions, now_s)
        }
        for key in self.open.keys() - firing.keys():
            log.info("alert ended", policy=self.open.pop(key)["title"], labels=dict(key[1]))
        for key, policy in firing.items():
            if key not in self.open:
                title, channels = policy.get("displayName", ""), list(policy.get("notificationChannels", ()))
                self.open[key] = {
                    "policy": key[0],
                    "title": title,
                    "labels": {name.rpartition(".")[2]: value for name, value in key[1]},
                    "since": datetime.fromtimestamp(now_s, UTC).isoformat(),
                    "channels": channels,
                }
                log.warning("alert fires", policy=title, labels=dict(key[1]), channels=channels)

    def _fires(
        self, name: str, combiner: str, conditions: Sequence[Condition], now_s: float
    ) -> frozenset[Labels]:
        """Groups for which the policy fires; AND of conditions that group by different labels fires for none in particular."""
        held = [self._held(name, number, one, now_s) for number, one in enumerate(conditions)]
        if combiner == "OR":
            return frozenset().union(*held)
        if not all(held):
            return frozenset()
        return frozenset.intersection(*held) or frozenset([()] if combiner == "AND" else [])

    def _held(self, name: str, number: int, condition: Condition, now_s: float) -> frozenset[Labels]:
        """Groups for which the condition has held as long as it must."""
        now_holding = condition.holding(self._series, now_s)
        for key in [k for k in self._holding if k[:2] == (name, number) and k[2] not in now_holding]:
            del self._holding[key]
        began = {group: self._holding.setdefault((name, number, group), now_s) for group in now_holding}
        return frozenset(group for group, since in began.items() if now_s - since >= condition.duration_s)


def _evaluated(policy: Json) -> tuple[Condition, ...]:
    """Its conditions; none of a policy that is kept and not evaluated."""
    try:
        return tuple(map(condition_of, policy["conditions"]))
    except NotEvaluated:
        return ()


def unevaluated(book: AlertBook) -> Iterator[Mapping[str, str]]:
    """The policies that are kept and never fire, as plain values; ``service`` is whose the Pulumi program made it."""
    counted = {metric.name for metric in book.counted()}
    for name, policy in book.policies:
        if why := _why_not(policy, counted):
            yield {
                "policy": name,
                "title": policy.get("displayName", ""),
                "service": policy.get("userLabels", {}).get("spillway", ""),
                "why": why,
            }


def _why_not(policy: Json, counted: Container[str]) -> str:
    """Empty for a policy that is evaluated. Args: counted: names of the log-based metrics that count."""
    if not policy.get("enabled", True):
        return "it is disabled"
    try:
        found = tuple(map(condition_of, policy["conditions"]))
    except NotEvaluated as error:
        return str(error)
    missing = [metric for each in found for metric in each.metrics if metric not in counted]
    return f"log-based metric {missing[0]} does not exist, or is disabled" if missing else ""


class AlertWatch:
    """``start`` it, ``close`` it; between them ``firing`` is what fires now, and ``unevaluated`` what never will."""

    def __init__(self, logs: LogStore, book: AlertBook, *, clock: Callable[[], float] = time.time) -> None:
        self._logs = logs
        self._book = book
        self._clock = clock
        self._evaluation = Evaluation(book)
        self._tasks = Tasks("alerts are looked at no more")

    @property
    def firing(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(incident for _, incident in sorted(self._evaluation.open.items(), key=itemgetter(0)))

    @property
    def unevaluated(self) -> tuple[Mapping[str, str], ...]:
        return tuple(unevaluated(self._book))

    async def start(self) -> None:
        """What came while no server ran, or before it ended, counts as if it had been watched."""
        self._evaluation.count(self._logs.index.within(Bounds(int((self._clock() - KEPT_S) * 1e9))))
        self._tasks.spawn(self._run())

    async def close(self) -> None:
        await self._tasks.cancel()

    async def _run(self) -> None:
        with self._logs.tail() as tail:
            while True:
                entries, missed = tail.take()
                if missed:
                    log.warning("log entries came too fast to be counted", missed=missed)
                try:
                    self._evaluation.count(entries)
                    self._evaluation.look(self._clock())
                except (
                    Exception
                ) as fault:  # one policy that cannot be looked at must not silence the others for good
                    log.exception("alerts could not be looked at", exc_info=fault)
                await asyncio.sleep(_EVERY_S)
