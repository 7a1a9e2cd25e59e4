"""The journal survives kills and bad disks, stays small, and keeps no secret."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline import journal
from pipeline.journal import Journal, path_of, read
from pipeline.judge import Verdict
from pipeline.probe.scenario import Message
from pipeline.progress import Progress
from pipeline.redact import SINK
from pipeline.rollout import Phase
from tests.fakes import START
from tests.reports import a_judgement, a_look, a_probe, a_rollout, at
from tests.rollouts import Scene


def happened(kind: str = "shifted", text: str = "0% -> 5%", seconds: float = 0, **data: object) -> Progress:
    return Progress(at(seconds), kind, text, data)


def kinds(path: Path) -> list[object]:
    return [line["kind"] for line in read(path)]


def test_what_happens_is_read_back(tmp_path: Path) -> None:
    keep = Journal(tmp_path / "a" / "b", "abc", 1)
    keep(happened(percent=5))
    keep(happened("wrote", "epoch 2", etag='"e1"', traffic={"r": 100}))
    first, second = read(keep.path)
    assert first == {"at": START.isoformat(), "kind": "shifted", "text": "0% -> 5%", "percent": 5}
    assert (second["etag"], second["traffic"]) == ('"e1"', {"r": 100})


def test_a_kill_at_any_byte_loses_the_broken_line_alone(tmp_path: Path) -> None:
    keep = Journal(tmp_path, "abc", 1)
    for n in range(3):
        keep(happened(f"k{n}", "some text"))
    whole = keep.path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        keep.path.write_bytes(whole[:cut])
        complete = sum(end <= cut for end in ends)
        assert kinds(keep.path)[:complete] == [f"k{n}" for n in range(complete)]
        Journal(tmp_path, "abc", 1)(happened("resumed"))
        found = kinds(keep.path)
        assert found[-1] == "resumed"
        assert found[:complete] == [f"k{n}" for n in range(complete)]


def test_rubbish_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    good = json.dumps({"at": START.isoformat(), "kind": "k"})
    rubbish = [
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"kind":"k"}',
        b'{"at":"2026-01-01T00:00:00","kind":"naive"}',
        b"[" * 100_000,
    ]
    path.write_bytes(
        b"\n".join([*rubbish, b"", good.encode(), b"x" * (2 * journal.MAX_LINE_BYTES), good.encode()])
    )
    assert kinds(path) == ["k", "k"]


def test_a_missing_file_is_an_empty_journal(tmp_path: Path) -> None:
    assert read(tmp_path / "none.jsonl") == ()


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    blocked = tmp_path / "file"
    blocked.touch()
    keep = Journal(blocked / "rollouts", "abc", 1, said.append)
    for _ in range(3):
        keep(happened())
    assert len(said) == 1
    assert "the rollout goes on" in said[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_is_said_once_and_used_again_when_it_has_room(tmp_path: Path) -> None:
    said: list[str] = []
    keep = Journal(tmp_path, "abc", 1, said.append)
    keep.path.symlink_to("/dev/full")
    keep(happened())
    keep(happened())
    keep.path.unlink()
    keep(happened("later"))
    assert len(said) == 1
    assert kinds(keep.path) == ["later"]


def test_a_rollout_ends_the_same_without_a_journal(tmp_path: Path) -> None:
    outcomes = []
    for folder in (tmp_path / "good", tmp_path / "file" / "bad"):
        (tmp_path / "file").touch()
        scene = Scene()
        keep = Journal(folder, "abc", 1)
        scene.told = Told(keep)
        outcomes.append(scene.roll())
    assert outcomes[0] is outcomes[1]
    assert "promoted" in kinds(tmp_path / "good" / "abc-1.jsonl")


class Told(list[Progress]):
    """What the engine told, told on."""

    def __init__(self, on: Journal) -> None:
        super().__init__()
        self._on = on

    def append(self, progress: Progress, /) -> None:
        super().append(progress)
        self._on(progress)


@pytest.mark.parametrize("hostile", ["../../etc/passwd", "a/b", "", "x" * 200, "a\0b", "\ud800", "a\n"])
def test_an_id_from_the_service_never_leaves_the_folder(tmp_path: Path, hostile: str) -> None:
    path = path_of(tmp_path, hostile, 1)
    assert path.parent == tmp_path
    Journal(tmp_path, hostile, 1)(happened())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_no_secret_is_written(tmp_path: Path) -> None:
    SINK.learn("journal-secret-1")
    keep = Journal(tmp_path, "abc", 1)
    keep(happened("probed", "journal-secret-1", report=a_probe(failing=True, text="journal-secret-1")))
    assert "journal-secret-1" not in keep.path.read_text()
    assert "[redacted]" in keep.path.read_text()


def test_a_probe_round_keeps_counts_and_the_first_transcripts(tmp_path: Path) -> None:
    keep = Journal(tmp_path, "abc", 1)
    for n in range(10):
        keep(happened("probed", "", n, report=a_probe(failing=True)))
    lines = read(keep.path)
    assert all(line["scenarios"] == {"agent-run": [2, 3]} for line in lines)
    assert all(line["confirmed"] for line in lines)
    transcripts = [bool(failure["transcript"]) for line in lines for failure in line["failures"]]  # type: ignore[attr-defined]
    assert transcripts == [True] * journal.MAX_TRANSCRIPTS + [False] * 5


def test_a_long_transcript_keeps_its_ends(tmp_path: Path) -> None:
    probe = a_probe(failing=True)
    long = tuple(Message(n, sent=False, text=f"{n} " + "x" * 5000) for n in range(500))
    failed = replace(probe.candidate[-1], transcript=long)
    keep = Journal(tmp_path, "abc", 1)
    keep(happened("probed", "", report=replace(probe, candidate=(failed,))))
    (line,) = read(keep.path)
    (failure,) = line["failures"]  # type: ignore[misc]
    said = [message["text"] for message in failure["transcript"]]  # type: ignore[index]
    assert failure["left_out"] == 500 - journal.MAX_MESSAGES  # type: ignore[index]
    assert said[0].startswith("0 ")
    assert said[-1].startswith("499 ")
    assert keep.path.stat().st_size < journal.MAX_LINE_BYTES


def test_every_change_of_the_judgement_is_kept(tmp_path: Path) -> None:
    keep = Journal(tmp_path, "abc", 1)
    looks = [
        a_look(),
        a_look(),
        a_look(stage_verdict=a_judgement(Verdict.FAIL, "bad")),
        a_look(a_rollout(Phase.PAUSED)),
        a_look(drift="traffic was set"),
    ]
    for n, look in enumerate(looks):
        keep(happened("looked", "", n / 100, look=look))
    lines = read(keep.path)
    assert [(line["phase"], line["judgement"]["verdict"], line["drift"]) for line in lines] == [  # type: ignore[index]
        ("rolling", "inconclusive", ""),
        ("rolling", "fail", ""),
        ("paused", "inconclusive", ""),
        ("rolling", "inconclusive", "traffic was set"),
    ]


def test_two_days_of_looks_fit_in_a_small_file(tmp_path: Path) -> None:
    keep, look = Journal(tmp_path, "abc", 1), a_look()
    for n in range(48 * 360):
        keep(Progress(START + n * timedelta(seconds=10), "looked", "", {"look": look}))
    lines = read(keep.path)
    assert 300 < len(lines) < 1500
    assert keep.path.stat().st_size < 3_000_000
