"""The copy of the log on disk: what a restart finds, whatever ended the server before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.local.entries import file as logfile
from pipeline.local.entries.index import EVERYTHING, Bounds
from pipeline.local.entries.store import LogStore
from tests.entries import SECOND, SERVICE, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[LogStore]:
    made = LogStore(tmp_path, now_ns=clock)
    yield made
    made.close()


def test_entries_survive_a_restart(tmp_path: Path, clock: Clock) -> None:
    first = LogStore(tmp_path, now_ns=clock)
    first.line(SERVICE, "r", "stdout", json.dumps({"message": "ü", "deep": {"a": [1]}}))
    first.line(SERVICE, "r", "stdout", json.dumps({"smile": "\U0001f600"}))
    first.line(SERVICE, "r", "stderr", "text \ufffd")
    first.request(SERVICE, "r", {"status": 101, "latency": 1.5})
    first.system(SERVICE, "r", "started")
    before = list(first.index.within(EVERYTHING))
    first.close()
    clock.ns += 1
    again = LogStore(tmp_path, now_ns=clock)
    assert list(again.index.within(EVERYTHING)) == before
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
    assert str(list(again.index.within(EVERYTHING))[-1].text).startswith("299 ")
    again.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_costs_the_copy_and_not_the_service(tmp_path: Path, clock: Clock) -> None:
    made = LogStore(tmp_path, now_ns=clock)
    file = tmp_path / "logs.jsonl"
    file.symlink_to("/dev/full")
    made.line(SERVICE, "r", "stdout", "still here")
    made.close()
    assert [entry.text for entry in made.index.within(EVERYTHING)] == ["still here"]


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
        assert not again.index.is_cut(Bounds(next(again.index.within(EVERYTHING)).at_ns))
        again.close()
    assert cuts == [False, False, True, True]
