"""The journal survives kills and bad disks, stays small, and keeps no secret."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.core.rollout import Phase
from pipeline.events import Looked, Probed, RolloutEvent, Said, Shifted, Wrote
from pipeline.judging.judgement import Verdict
from pipeline.probe.conversation import Message
from pipeline.probe.probe_report import Confirming
from pipeline.redact import SINK
from pipeline.report import journal
from pipeline.report.journal import Attempt, Journal, read
from tests.fakes import START
from tests.reports import a_judgement, a_look, a_probe, a_rollout, at
from tests.rollouts import Scene


def happened(text: str = "reading again", seconds: float = 0) -> Said:
    return Said(at(seconds), "retrying", text)


def wrote(etag: str, seconds: float, epoch: int = 4) -> Wrote:
    return Wrote(at(seconds), a_rollout(epoch=epoch), etag, {"r": 100})


ABC = Attempt("abc", 1, START)
JUDGED = Attempt.of(a_rollout())


def kinds(folder: Path) -> list[str]:
    return [line.kind for line in read(folder, ABC)]


def texts(folder: Path, attempt: Attempt = ABC) -> list[str]:
    return [line.text for line in read(folder, attempt)]


def written(path: Path) -> list[dict[str, Any]]:
    """The lines as they stand in the file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_what_happens_is_read_back(tmp_path: Path) -> None:
    keep = Journal(tmp_path / "a" / "b", ABC)
    keep(Shifted(at(0), 1, 0, 5, by="ada"))
    keep(wrote('"e1"', 0))
    first, second = read(keep.path.parent, ABC)
    assert (first.at, first.kind, first.text) == (START, "shifted", "stage 1: 0% -> 5%")
    assert (second.epoch, second.etag, second.traffic) == (4, '"e1"', {"r": 100})
    assert written(keep.path)[0] == {
        "at": START.isoformat(),
        "of": ABC.name,
        "kind": "shifted",
        "text": "stage 1: 0% -> 5%",
        "stage": 1,
        "percent": 5,
        "by": "ada",
    }


def test_a_kill_at_any_byte_loses_the_broken_line_alone(tmp_path: Path) -> None:
    keep = Journal(tmp_path, ABC)
    for n in range(3):
        keep(happened(f"k{n}", n))
    whole = keep.path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        keep.path.write_bytes(whole[:cut])
        complete = sum(end <= cut for end in ends)
        assert texts(keep.path.parent)[:complete] == [f"k{n}" for n in range(complete)]
        Journal(tmp_path, ABC)(happened("resumed", 9))
        found = texts(keep.path.parent)
        assert found[-1] == "resumed"
        assert found[:complete] == [f"k{n}" for n in range(complete)]


def test_rubbish_is_left_out(tmp_path: Path) -> None:
    path = ABC.path(tmp_path)
    good, better = (json.dumps({"at": START.isoformat(), "of": ABC.name, "kind": kind}) for kind in "kl")
    rubbish = [
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"kind":"k"}',
        b'{"at":"2026-01-01T00:00:00","kind":"naive"}',
        b"[" * 100_000,
    ]
    path.write_bytes(
        b"\n".join([*rubbish, b"", good.encode(), b"x" * (2 * journal.MAX_LINE_BYTES), better.encode()])
    )
    assert kinds(tmp_path) == ["k", "l"]


def test_a_missing_file_is_an_empty_journal(tmp_path: Path) -> None:
    assert read(tmp_path, ABC) == ()


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    blocked = tmp_path / "file"
    blocked.touch()
    keep = Journal(blocked / "rollouts", ABC, said.append)
    for _ in range(3):
        keep(happened())
    assert len(said) == 1
    assert "the rollout goes on" in said[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
def test_a_full_disk_is_said_once_and_used_again_when_it_has_room(tmp_path: Path) -> None:
    said: list[str] = []
    keep = Journal(tmp_path, ABC, said.append)
    keep.path.symlink_to("/dev/full")
    keep(happened())
    keep(happened())
    keep.path.unlink()
    keep(happened("later"))
    assert len(said) == 1
    assert texts(keep.path.parent) == ["later"]


def test_a_rollout_ends_the_same_without_a_journal(tmp_path: Path) -> None:
    outcomes = []
    for folder in (tmp_path / "good", tmp_path / "file" / "bad"):
        (tmp_path / "file").touch()
        scene = Scene()
        keep = Journal(folder, ABC)
        scene.told = Told(keep)
        outcomes.append(scene.roll())
    assert outcomes[0] is outcomes[1]
    assert "promoted" in kinds(tmp_path / "good")


class Told(list[RolloutEvent]):
    """What the engine told, told on."""

    def __init__(self, on: Journal) -> None:
        super().__init__()
        self._on = on

    def append(self, event: RolloutEvent, /) -> None:
        super().append(event)
        self._on(event)


@pytest.mark.parametrize("hostile", ["../../etc/passwd", "a/b", "", "x" * 200, "a\0b", "\ud800", "a\n"])
def test_an_id_from_the_service_never_leaves_the_folder(tmp_path: Path, hostile: str) -> None:
    attempt = Attempt(hostile, 1, START)
    path = attempt.path(tmp_path)
    assert path.parent == tmp_path
    Journal(tmp_path, attempt)(happened())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_followed_a_failure_is_kept_in_figures_and_words(tmp_path: Path) -> None:
    report, good = a_probe(failing=True), a_probe().candidate[0]
    bad = report.failures[0]
    blocks = (Confirming((bad,) * 5, (good,) * 5), Confirming((bad,) * 5, (good,) * 4 + (bad,)))
    keep = Journal(tmp_path, ABC)
    keep(Probed(at(0), replace(report, confirming=blocks, warm_up=(bad, good))))
    (line,) = written(keep.path)
    assert line["text"].startswith(
        "a conversation failed (1 of 2 before them, while it was cold, failed); "
        "confirming with 5 on each: 5 of 5 against 0 of 5; again: 5 of 5 against 1 of 5: closed_early"
    )
    assert line["confirming"][1] == {"candidate": {"agent-run": [0, 5]}, "control": {"agent-run": [4, 5]}}
    assert (line["conversations"], line["failed"]) == (13, 11)
    assert line["warm_up"] == {"agent-run": [1, 2]}
    assert line["scenarios"] == {"agent-run": [2, 13]}


def test_no_secret_is_written(tmp_path: Path) -> None:
    SINK.learn("journal-secret-1")
    keep = Journal(tmp_path, ABC)
    keep(Probed(at(0), a_probe(failing=True, text="journal-secret-1")))
    assert "journal-secret-1" not in keep.path.read_text()
    assert "[redacted]" in keep.path.read_text()


def test_a_probe_round_keeps_counts_and_the_first_transcripts(tmp_path: Path) -> None:
    keep = Journal(tmp_path, ABC)
    for n in range(10):
        keep(Probed(at(n), a_probe(failing=True)))
    lines = read(keep.path.parent, ABC)
    assert all(line.scenarios == {"agent-run": (2, 3)} for line in lines)
    transcripts = [bool(failure.transcript) for line in lines for failure in line.failures]
    assert transcripts == [True] * journal.MAX_TRANSCRIPTS + [False] * 5


def test_a_long_transcript_keeps_its_ends(tmp_path: Path) -> None:
    probe = a_probe(failing=True)
    long = tuple(Message(n, sent=False, text=f"{n} " + "x" * 5000) for n in range(500))
    failed = replace(probe.candidate[-1], transcript=long)
    keep = Journal(tmp_path, ABC)
    keep(Probed(at(0), replace(probe, candidate=(failed,))))
    (line,) = read(keep.path.parent, ABC)
    (failure,) = line.failures
    said = [message.text for message in failure.transcript]
    assert failure.left_out == 500 - journal.MAX_MESSAGES
    assert said[0].startswith("0 ")
    assert said[-1].startswith("499 ")
    assert keep.path.stat().st_size < journal.MAX_LINE_BYTES


def test_every_change_of_the_judgement_is_kept(tmp_path: Path) -> None:
    keep = Journal(tmp_path, JUDGED)
    looks = [
        a_look(),
        a_look(),
        a_look(stage_verdict=a_judgement(Verdict.FAIL, "bad")),
        a_look(a_rollout(Phase.PAUSED)),
        a_look(drift="traffic was set"),
    ]
    for n, look in enumerate(looks):
        keep(Looked(at(n / 100), look))
    assert len(read(tmp_path, JUDGED)) == 4
    lines = written(keep.path)
    assert [(line["phase"], line["judgement"]["verdict"], line["drift"]) for line in lines] == [
        ("rolling", "inconclusive", ""),
        ("rolling", "fail", ""),
        ("paused", "inconclusive", ""),
        ("rolling", "inconclusive", "traffic was set"),
    ]


def test_two_days_of_looks_fit_in_a_small_file(tmp_path: Path) -> None:
    keep, look = Journal(tmp_path, JUDGED), a_look()
    for n in range(48 * 360):
        keep(Looked(START + n * timedelta(seconds=10), look))
    lines = read(tmp_path, JUDGED)
    assert 300 < len(lines) < 1500
    assert keep.path.stat().st_size < 3_000_000


def test_two_processes_are_one_story_in_order_of_time_without_doubles(tmp_path: Path) -> None:
    one, two = Journal(tmp_path, ABC), Journal(tmp_path, ABC)
    one(happened("a", 1))
    two(happened("c", 3))
    one(happened("b", 2))
    two(wrote("e4", 4))
    one(wrote("e4", 4.2))  # told again
    one(wrote("e9", 5))  # an epoch that came back
    one.path.write_bytes(one.path.read_bytes() * 2)  # an artefact of a CI job, put back
    assert texts(tmp_path) == [
        "a", "b", "c", "epoch 4, etag e4", "epoch 4, etag e9",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [replace(ABC, number=2), replace(ABC, rollout_id="abd"), replace(ABC, started=at(60))],
    ids=["number", "rollout", "start"],
)
def test_lines_of_another_attempt_never_enter(tmp_path: Path, other: Attempt) -> None:
    ours, theirs = Journal(tmp_path, ABC), Journal(tmp_path, other)
    ours(happened("ours"))
    theirs(happened("theirs"))
    assert ours.path != theirs.path
    ours.path.write_bytes(ours.path.read_bytes() + theirs.path.read_bytes())
    nobodys = {"at": START.isoformat(), "kind": "probed", "text": "nobody's"}
    ours.path.write_text(ours.path.read_text() + json.dumps(nobodys) + "\n")
    assert texts(tmp_path) == ["ours"]


def test_what_is_told_of_another_attempt_is_not_kept(tmp_path: Path) -> None:
    keep = Journal(tmp_path, JUDGED)
    keep(Probed(at(1), a_probe(), a_rollout()))
    keep(Probed(at(2), a_probe(), a_rollout(attempt=2)))
    keep(Looked(at(3), a_look(a_rollout(started=at(1)))))
    assert [line.at for line in read(tmp_path, JUDGED)] == [at(1)]


def test_no_secret_is_kept_in_half(tmp_path: Path) -> None:
    SINK.learn("journal-secret-in-two")
    text = "x" * (journal.MAX_TEXT - 10) + "journal-secret-in-two"
    keep = Journal(tmp_path, ABC)
    keep(happened(text))
    keep(Probed(at(0), a_probe(failing=True, text=text)))
    assert "journal-s" not in keep.path.read_text()
    assert len(read(tmp_path, ABC)) == 2
