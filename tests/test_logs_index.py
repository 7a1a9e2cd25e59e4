"""Entries in memory: bounded, found at the cost of what is asked for, and never silently incomplete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.local.entries import store as logstore
from pipeline.local.entries.entry import Entry
from pipeline.local.entries.filter import compile_filter
from pipeline.local.entries.index import EVERYTHING, Bounds, LogIndex
from pipeline.local.entries.store import LogStore
from tests.entries import OTHER, SECOND, SERVICE, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[LogStore]:
    made = LogStore(tmp_path, now_ns=clock)
    yield made
    made.close()


def test_memory_stays_within_bounds(store: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logstore, "MAX_ENTRIES", 100)
    for number in range(1000):
        store.line(SERVICE, "r", "stdout", str(number))
    kept = list(store.index.within(EVERYTHING))
    assert 90 <= len(kept) <= 100
    assert kept[-1].text == "999"


def moment(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat()


def revisions_of(entries: Any) -> set[str]:
    return {entry.resource["revision_name"] for entry in entries}


def fill(store: LogStore, clock: Clock, seconds: int, *, service: str = SERVICE) -> None:
    """Ten lines a second of each of two revisions."""
    for _ in range(seconds * 10):
        clock.ns += SECOND // 10
        for revision in ("one", "two"):
            store.line(service, revision, "stdout", "a line")


@pytest.mark.parametrize("minutes", [1, 10])
def test_a_look_at_what_arrived_costs_the_same_at_any_age(
    store: LogStore, clock: Clock, minutes: int
) -> None:
    """The question of a driver that looks once a second: since the start, but received since the last look."""
    start = clock.ns
    fill(store, clock, minutes * 60)
    fill(store, clock, 60, service=OTHER)
    fill(store, clock, 1)
    terms = (
        f'timestamp>="{moment(start)}"',
        f'receiveTimestamp>="{moment(clock.ns - SECOND)}"',
        'resource.labels.service_name="chat" AND resource.labels.revision_name=("one" OR "three")',
    )
    text = " AND ".join(terms)
    asked = compile_filter(text)
    looked_at = list(store.index.within(asked.bounds))
    assert 10 <= sum(map(asked.matches, looked_at)) <= 11
    assert len(looked_at) <= 22


def test_a_question_for_one_revision_does_not_look_at_the_others(store: LogStore, clock: Clock) -> None:
    fill(store, clock, 5)
    fill(store, clock, 5, service=OTHER)
    bounds = Bounds(since_ns=clock.ns, services=frozenset({"chat"}), revisions=frozenset({"two"}))
    assert not list(store.index.within(bounds))
    bounds = replace(bounds, since_ns=0)
    assert revisions_of(store.index.within(bounds)) == {"two"}
    assert len(list(store.index.within(bounds))) == 50


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.integers(0, 9), st.sampled_from(["a", "b"]), st.sampled_from([SERVICE, OTHER])
        ),
        max_size=40,
    ),
    st.integers(0, 10), st.integers(0, 10), st.integers(0, 10),
    st.one_of(st.none(), st.just(frozenset({"a"}))), st.one_of(st.none(), st.just(frozenset({"chat"}))),
)  # fmt: skip
def test_nothing_within_bounds_is_missed_and_all_is_in_order(
    lines: list[tuple[int, int, str, str]],
    since: int,
    until: int,
    received: int,
    revisions: frozenset[str] | None,
    services: frozenset[str] | None,
) -> None:
    index, entries = LogIndex(), []
    for number, (at, arrived, revision, service) in enumerate(lines):
        name = service.rpartition("/")[2]
        labels = {"project_id": "p", "location": "l", "service_name": name, "revision_name": revision}
        entries.append(Entry(at, f"{number:03}", "log", labels, arrived))
        index.add(entries[-1], 1)
    bounds = Bounds(since, until, received, services, revisions)
    found = list(index.within(bounds))
    assert found == sorted(found, key=lambda e: e.key)
    assert found[::-1] == list(index.within(bounds, newest_first=True))
    wanted = [
        e for e in entries
        if since <= e.at_ns <= until and e.received_ns >= received
        and (revisions is None or e.resource["revision_name"] in revisions)
        and (services is None or e.resource["service_name"] in services)
    ]  # fmt: skip
    assert {e.insert_id for e in wanted} <= {e.insert_id for e in found}


def test_a_question_that_reaches_behind_what_was_given_up_is_known(
    store: LogStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logstore, "MAX_ENTRIES", 100)
    start = clock.ns
    store.line(SERVICE, "one", "stdout", json.dumps({"time": "2099-01-01T00:00:00Z"}))
    with structlog.testing.capture_logs() as told:
        fill(store, clock, 10)
        fill(store, clock, 1, service=OTHER)
    assert told[0]["event"] == "the oldest log entries of a service were given up"
    assert told[0]["service"] == "chat"
    kept = list(store.index.within(Bounds(services=frozenset({"chat"}))))
    assert len(kept) <= 100
    assert store.index.is_cut(Bounds(start))
    assert store.index.is_cut(Bounds(start, revisions=frozenset({"one"})))
    assert not store.index.is_cut(Bounds(start, services=frozenset({"other"})))
    assert not store.index.is_cut(Bounds(kept[0].at_ns + 1))
    assert not store.index.is_cut(Bounds(start, received_ns=clock.ns))  # read before, and goes on from there
    assert not store.index.is_cut(Bounds())


def test_a_service_is_bounded_in_bytes_and_so_are_all(
    store: LogStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logstore, "MAX_BYTES", 100_000)
    monkeypatch.setattr(logstore, "MAX_BYTES_OF_ALL", 250_000)
    for number in range(2000):
        clock.ns += 1
        for service in range(4):
            store.line(f"{SERVICE}{service}", "r", "stdout", f"{number} " + "x" * 1000)
    kept = list(store.index.within(EVERYTHING))
    assert 150_000 < sum(len(entry.text or "") for entry in kept) < 250_000
    assert len({entry.resource["service_name"] for entry in kept}) == 4
    assert str(kept[-1].text).startswith("1999 ")
