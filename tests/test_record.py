"""The record survives being written and read, fits, and says what is wrong with one that does not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline import record
from pipeline.rollout import Event, Phase
from tests.fakes import START
from tests.rollouts import Scene
from tests.test_rollout import a_rollout


def test_what_was_written_is_read() -> None:
    current = a_rollout(epoch=3, drift="x", last={"verdict": "pass"}).on(
        Event.RAISED, START, reason="ok", by="ada"
    )
    assert record.decode(record.encode(current)) == current


def test_a_record_of_a_real_rollout_is_small() -> None:
    scene = Scene()
    scene.roll()
    text = scene.live.record_text or ""
    assert record.decode(text) == scene.rollout
    assert len(text.encode()) < record.MAX_BYTES / 2


def test_a_long_history_loses_its_middle_not_its_ends() -> None:
    current = a_rollout()
    for number in range(300):
        now = START + timedelta(seconds=number)
        current = current.on(Event.RAISED, now, reason=f"step {number} " + "x" * 50)
    text = record.encode(current)
    assert len(text.encode()) <= record.MAX_BYTES
    kept = record.decode(text).history
    assert kept[0].reason.startswith("step 0 ")
    assert kept[-1].reason.startswith("step 299 ")


def test_what_cannot_fit_is_refused() -> None:
    with pytest.raises(record.RecordUnreadable, match="16,384 are allowed"):
        record.encode(replace(a_rollout(), reason="x" * 20_000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"v": 2}', "version '2', this Spillway reads 1"),
        ('{"v": 1}', "plan"),
        ("[" * 100_000, "cannot be read"),
        (json.dumps({"v": 1, "phase": "flying"}), "cannot be read"),
    ],
)
def test_what_is_no_record(text: str, words: str) -> None:
    with pytest.raises(record.RecordUnreadable) as caught:
        record.decode(text)
    assert words in str(caught.value)
    assert "spillway rollback" in caught.value.fix


def test_a_phase_is_kept_by_name() -> None:
    assert json.loads(record.encode(a_rollout(Phase.PAUSED)))["phase"] == "paused"
