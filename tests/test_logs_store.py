"""What a line, a request or a deed of the platform becomes as a log entry, and who hears of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.local.entries import store as logstore
from pipeline.local.entries.entry import Entry
from pipeline.local.entries.filter import compile_filter
from pipeline.local.entries.index import EVERYTHING, Bounds
from pipeline.local.entries.store import LogStore
from tests.entries import SERVICE, Clock


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


def test_what_says_that_it_is_of_the_last_day_there_is_is_found(store: LogStore) -> None:
    store.line(SERVICE, "r", "stdout", json.dumps({"time": "9999-12-31T23:59:59Z", "message": "m"}))
    assert only(store).payload == {"message": "m"}
    assert compile_filter('timestamp>="2020-01-01T00:00:00Z"').bounds.until_ns > only(store).at_ns


def test_between_takes_both_ends_in(store: LogStore, clock: Clock) -> None:
    times = []
    for _ in range(5):
        clock.ns += 100
        times.append(clock.ns)
        store.line(SERVICE, "r", "stdout", str(clock.ns))
    found = list(store.index.within(Bounds(times[1], times[3])))
    assert [entry.at_ns for entry in found] == times[1:4]
    assert not list(store.index.within(Bounds(times[4] + 1)))
    store.line(SERVICE, "r", "stdout", "a later one changes no answer")
    assert len(found) == 3


def test_entries_of_one_moment_keep_their_order(store: LogStore) -> None:
    for number in range(300):
        store.line(SERVICE, "r", "stdout", str(number))
    assert [entry.text for entry in store.index.within(EVERYTHING)] == [str(number) for number in range(300)]


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


def test_an_entry_says_of_which_instance_it_is(store: LogStore) -> None:
    store.line(SERVICE, "r", "stdout", '{"logging.googleapis.com/labels": {"a": "1"}}', "proxy", "i1")
    store.request(SERVICE, "r", {"status": 101}, instance="i1")
    store.system(SERVICE, "r", "Container called exit(1).", "ERROR", "i1")
    store.system(SERVICE, "r", "of none")
    assert [dict(entry.labels) for entry in store.index.within(EVERYTHING)] == [
        {"a": "1", "instanceId": "i1", "container_name": "proxy"}, {"instanceId": "i1"}, {"instanceId": "i1"}, {},
    ]  # fmt: skip
