"""Log entries as Cloud Logging makes them of a line, kept in order, over restarts, and within bounds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.local.entries import file as logfile
from pipeline.local.entries import store as logstore
from pipeline.local.entries.entry import Entry
from pipeline.local.entries.filter import compile_filter
from pipeline.local.entries.index import EVERYTHING, Bounds, LogIndex
from pipeline.local.entries.store import LogStore
from pipeline.local.run.output_lines import LineCutter

SERVICE = "projects/p/locations/here/services/chat"


class Clock:
    """Nanoseconds that pass when told to."""

    def __init__(self) -> None:
        self.ns = 1_900_000_000_000_000_000

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[LogStore]:
    made = LogStore(tmp_path, now_ns=clock)
    yield made
    made.close()


def only(store: LogStore) -> Entry:
    (entry,) = store.index.within(EVERYTHING)
    return entry


def of_line(store: LogStore, text: str, stream: str = "stdout") -> Entry:
    store.line(SERVICE, "chat-one", stream, text)
    return only(store)


def test_text_becomes_text_payload(store: LogStore, clock: Clock) -> None:
    entry = of_line(store, "hello: ü", "stderr")
    assert (entry.text, entry.payload, entry.severity) == ("hello: ü", None, "DEFAULT")
    assert entry.log == "projects/p/logs/run.googleapis.com%2Fstderr"
    assert entry.at_ns == entry.received_ns == clock.ns
    assert entry.resource == {
        "project_id": "p", "location": "here", "service_name": "chat",
        "revision_name": "chat-one", "configuration_name": "chat",
    }  # fmt: skip


def test_a_json_object_becomes_json_payload_and_its_special_keys_fields(
    store: LogStore, clock: Clock
) -> None:
    line = {
        "severity": "warning", "message": "hi", "n": 1, "deep": {"a": [1, None, True]},
        "time": "2030-03-17T17:46:40.5Z",
        "logging.googleapis.com/trace": "projects/p/traces/abc",
        "logging.googleapis.com/insertId": "mine",
        "logging.googleapis.com/labels": {"tier": "front", "n": 5},
    }  # fmt: skip
    entry = of_line(store, json.dumps(line))
    assert entry.payload == {"message": "hi", "n": 1, "deep": {"a": [1, None, True]}}
    assert (entry.text, entry.severity, entry.trace, entry.insert_id) == (
        None, "WARNING", "projects/p/traces/abc", "mine",
    )  # fmt: skip
    assert entry.labels == {"tier": "front", "n": "5"}
    assert (entry.at_ns, entry.received_ns) == (1_900_000_000_500_000_000, clock.ns)


@pytest.mark.parametrize(
    "line",
    [
        "",
        " {}",
        'prefix {"message": "x"}',
        '{"message": "x"} suffix',
        '{"message": "x"',
        "[1, 2]",
        '"text"',
        '{"n": NaN}',
        '{"n": 1e999}',
        '{"n": 1' + "0" * 400 + "}",
        '{"half": "\\ud800"}',
        '{"a":' * 5000 + "1" + "}" * 5000,
    ],
)
def test_what_is_not_one_json_object_is_text(store: LogStore, line: str) -> None:
    entry = of_line(store, line)
    assert (entry.text, entry.payload) == (line, None)


@pytest.mark.parametrize("severity", ["nonsense", 5, None, ["ERROR"]])
def test_a_severity_that_is_none_is_the_default(store: LogStore, severity: object) -> None:
    assert of_line(store, json.dumps({"severity": severity, "m": 1})).severity == "DEFAULT"


@pytest.mark.parametrize("moment", ["yesterday", 5, None, "2030-13-01T00:00:00Z"])
def test_a_time_that_is_none_stays_in_the_payload(store: LogStore, clock: Clock, moment: object) -> None:
    entry = of_line(store, json.dumps({"time": moment}))
    assert entry.payload == {"time": moment}
    assert entry.at_ns == clock.ns


@pytest.mark.parametrize(
    ("status", "severity"), [(101, "INFO"), (200, "INFO"), (404, "WARNING"), (500, "ERROR"), (503, "ERROR")]
)
def test_a_request_has_the_severity_of_its_status(store: LogStore, status: int, severity: str) -> None:
    store.request(SERVICE, "chat-one", {"status": status, "requestMethod": "GET"}, "projects/p/traces/t")
    entry = only(store)
    assert (entry.severity, entry.trace) == (severity, "projects/p/traces/t")
    assert entry.request == {"status": status, "requestMethod": "GET"}
    assert entry.log.endswith("%2Frequests")


def test_what_the_platform_did_is_in_its_own_log(store: LogStore) -> None:
    store.system(SERVICE, "chat-one", "Container terminated on signal 9.", "WARNING")
    entry = only(store)
    assert entry.log == "projects/p/logs/run.googleapis.com%2Fvarlog%2Fsystem"
    assert (entry.text, entry.severity) == ("Container terminated on signal 9.", "WARNING")


def test_entries_are_in_order_of_their_own_time(store: LogStore, clock: Clock) -> None:
    store.line(SERVICE, "r", "stdout", "now")
    clock.ns += 10
    store.line(SERVICE, "r", "stdout", json.dumps({"time": "2020-01-01T00:00:00Z"}))
    store.line(SERVICE, "r", "stdout", "later")
    assert [entry.text for entry in store.index.within(EVERYTHING)] == [None, "now", "later"]


def test_between_takes_both_ends_in(store: LogStore, clock: Clock) -> None:
    times = []
    for _ in range(5):
        clock.ns += 100
        times.append(clock.ns)
        store.line(SERVICE, "r", "stdout", str(clock.ns))
    found = store.index.within(Bounds(times[1], times[3]))
    assert [entry.at_ns for entry in found] == times[1:4]
    assert store.index.within(Bounds(times[4] + 1)) == []
    store.line(SERVICE, "r", "stdout", "a later one changes no answer")
    assert len(found) == 3


def test_entries_of_one_moment_keep_their_order(store: LogStore) -> None:
    for number in range(300):
        store.line(SERVICE, "r", "stdout", str(number))
    assert [entry.text for entry in store.index.within(EVERYTHING)] == [str(number) for number in range(300)]


def test_entries_survive_a_restart(tmp_path: Path, clock: Clock) -> None:
    first = LogStore(tmp_path, now_ns=clock)
    first.line(SERVICE, "r", "stdout", json.dumps({"message": "ü", "deep": {"a": [1]}}))
    first.line(SERVICE, "r", "stdout", json.dumps({"smile": "\U0001f600"}))
    first.line(SERVICE, "r", "stderr", "text \ufffd")
    first.request(SERVICE, "r", {"status": 101, "latency": 1.5})
    first.system(SERVICE, "r", "started")
    before = first.index.within(EVERYTHING)
    first.close()
    clock.ns += 1
    again = LogStore(tmp_path, now_ns=clock)
    assert again.index.within(EVERYTHING) == before
    again.line(SERVICE, "r", "stdout", "more")
    assert len({entry.insert_id for entry in again.index.within(EVERYTHING)}) == 6
    again.close()


def test_a_line_that_a_kill_cut_off_is_dropped_alone(tmp_path: Path, clock: Clock) -> None:
    first = LogStore(tmp_path, now_ns=clock)
    for text in ("one", "two"):
        first.line(SERVICE, "r", "stdout", text)
    first.close()
    file = tmp_path / "logs.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    again = LogStore(tmp_path, now_ns=clock)
    assert [entry.text for entry in again.index.within(EVERYTHING)] == ["one"]
    again.close()


def test_what_is_written_after_a_cut_line_is_not_lost_with_it(tmp_path: Path, clock: Clock) -> None:
    first = LogStore(tmp_path, now_ns=clock)
    first.line(SERVICE, "r", "stdout", "one")
    first.close()
    file = tmp_path / "logs.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    clock.ns += 1
    again = LogStore(tmp_path, now_ns=clock)
    again.line(SERVICE, "r", "stdout", "two")
    again.close()
    third = LogStore(tmp_path, now_ns=clock)
    assert [entry.text for entry in third.index.within(EVERYTHING)] == ["two"]
    third.close()


def test_the_files_stay_within_bounds(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "MAX_FILE", 10_000)
    made = LogStore(tmp_path, now_ns=clock)
    for number in range(300):
        made.line(SERVICE, "r", "stdout", f"{number} " + "x" * 100)
    made.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs.jsonl", "logs.older.jsonl"]
    assert all(path.stat().st_size < 11_000 for path in tmp_path.iterdir())
    again = LogStore(tmp_path, now_ns=clock)
    assert str(again.index.within(EVERYTHING)[-1].text).startswith("299 ")
    again.close()


def test_memory_stays_within_bounds(store: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logstore, "MAX_ENTRIES", 100)
    for number in range(1000):
        store.line(SERVICE, "r", "stdout", str(number))
    kept = store.index.within(EVERYTHING)
    assert 90 <= len(kept) <= 100
    assert kept[-1].text == "999"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_costs_the_copy_and_not_the_service(tmp_path: Path, clock: Clock) -> None:
    made = LogStore(tmp_path, now_ns=clock)
    file = tmp_path / "logs.jsonl"
    file.symlink_to("/dev/full")
    made.line(SERVICE, "r", "stdout", "still here")
    made.close()
    assert [entry.text for entry in made.index.within(EVERYTHING)] == ["still here"]


def test_a_tail_hears_what_comes_and_counts_what_it_missed(
    store: LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logstore, "_MAX_WAITING", 3)
    store.line(SERVICE, "r", "stdout", "before")
    with store.tail() as tail:
        for number in range(5):
            store.line(SERVICE, "r", "stdout", str(number))
        entries, missed = tail.take()
        assert ([entry.text for entry in entries], missed) == (["0", "1", "2"], 2)
        assert tail.take() == ([], 0)
    store.line(SERVICE, "r", "stdout", "after")
    assert tail.take() == ([], 0)


def test_a_tail_that_nobody_reads_is_bounded_in_bytes(
    store: LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logstore, "MAX_BYTES", 10_000)
    with store.tail() as tail:
        for _ in range(50):
            store.line(SERVICE, "r", "stdout", "x" * 1000)
    entries, missed = tail.take()
    assert 5 < len(entries) < 10
    assert missed == 50 - len(entries)


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=20)), st.data())
def test_lines_are_the_same_however_they_are_cut(lines: list[str], data: st.DataObject) -> None:
    stream = "".join(f"{line}\n" for line in lines).encode()
    assert _cut(stream, data.draw) == lines


def _cut(stream: bytes, draw: Callable[[Any], Any], limit: int = 1000) -> list[str]:
    cutter, found = LineCutter(limit), []
    while stream:
        size = draw(st.integers(1, len(stream)))
        found += cutter.feed(stream[:size])
        stream = stream[size:]
    return [*found, *cutter.end()]


@settings(deadline=None)
@given(st.integers(1, 40), st.data())
def test_a_long_line_is_cut_once_and_its_neighbours_are_whole(length: int, data: st.DataObject) -> None:
    stream = b"before\n" + b"x" * length + b"\nafter\r\nlast"
    assert _cut(stream, data.draw, limit=10) == ["before", "x" * min(length, 10), "after", "last"]


def moment(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat()


def revisions_of(entries: Any) -> set[str]:
    return {entry.resource["revision_name"] for entry in entries}


OTHER = "projects/p/locations/here/services/other"
SECOND = 1_000_000_000


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
    looked_at = store.index.within(asked.bounds)
    assert 10 <= sum(map(asked.matches, looked_at)) <= 11
    assert len(looked_at) <= 22


def test_a_question_for_one_revision_does_not_look_at_the_others(store: LogStore, clock: Clock) -> None:
    fill(store, clock, 5)
    fill(store, clock, 5, service=OTHER)
    bounds = Bounds(since_ns=clock.ns, services=frozenset({"chat"}), revisions=frozenset({"two"}))
    assert store.index.within(bounds) == []
    bounds = replace(bounds, since_ns=0)
    assert revisions_of(store.index.within(bounds)) == {"two"}
    assert len(store.index.within(bounds)) == 50


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
    found = index.within(bounds)
    assert found == sorted(found, key=lambda e: e.key)
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
    kept = store.index.within(Bounds(services=frozenset({"chat"})))
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
    kept = store.index.within(EVERYTHING)
    assert 150_000 < sum(len(entry.text or "") for entry in kept) < 250_000
    assert len({entry.resource["service_name"] for entry in kept}) == 4
    assert str(kept[-1].text).startswith("1999 ")


def test_what_a_restart_no_longer_has_is_known(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "MAX_FILE", 10_000)
    start = clock.ns
    cuts = []
    for lines in (10, 30, 300, 1):  # one file, two files, the oldest dropped, after another restart
        made = LogStore(tmp_path, now_ns=clock)
        for _ in range(lines):
            clock.ns += SECOND
            made.line(SERVICE, "r", "stdout", "x" * 100)
        made.close()
        again = LogStore(tmp_path, now_ns=clock)
        cuts.append(again.index.is_cut(Bounds(start)))
        assert not again.index.is_cut(Bounds(again.index.within(EVERYTHING)[0].at_ns))
        again.close()
    assert cuts == [False, False, True, True]
