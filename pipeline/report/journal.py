"""The journal of one rollout attempt: JSON lines on this machine, for the report. Losing it loses no rollout.

A line is written with one unbuffered call, so a kill leaves at most one broken line at the end; readers skip
it, and the next writer starts on a line of its own. A full or read-only disk is said once and otherwise ignored: a
rollout never waits for its journal.

A file belongs to one attempt, and so does each line in it. The number alone does not tell attempts apart: an image that
comes back after another one had the service is the same rollout, and its first attempt again. When it started does.

Kept is what the record on the service has no room for: every write with its etag, each change of the judgement (and
samples of it, ever further apart), and the transcripts of the first conversations that failed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from pipeline import private
from pipeline.core.rollout import Rollout
from pipeline.events import Look, Looked, Probed, RolloutEvent
from pipeline.probe.conversation import Conversation
from pipeline.probe.probe_report import ProbeReport
from pipeline.redact import SINK
from pipeline.report.journal_lines import Line, line_of

MAX_LINE_BYTES = 256 * 1024
MAX_TRANSCRIPTS = 5  # of one attempt; the first failures tell, the rest repeat
MAX_MESSAGES = 60  # of one transcript: the beginning and the end are kept
MAX_TEXT = 1024
SAMPLE_EVERY = timedelta(seconds=2)
SAMPLES_PER_AGE = 100  # a sample of an old rollout waits until a hundredth of its age has passed


def file_name(rollout_id: str) -> str:
    """The id as a file may be called: it comes from the service, and never leaves the folder."""
    is_plain = re.fullmatch(r"[\w-]{1,64}", rollout_id, re.ASCII)
    return (
        rollout_id
        if is_plain
        else hashlib.sha256(rollout_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    )


class Attempt(Struct, frozen=True):
    """One attempt of one rollout, and nothing else: what its journal, its report and their lines are named after."""

    rollout_id: str
    number: int
    started: datetime

    @classmethod
    def of(cls, rollout: Rollout) -> Attempt:
        return cls(rollout.plan.rollout_id, rollout.attempt, rollout.started)

    @property
    def name(self) -> str:
        """``4cc2fceeea11-1-20260101T120000.000``: the start in whole milliseconds, as the record has it."""
        started = self.started.astimezone(UTC)
        stamp = f"{started:%Y%m%dT%H%M%S}.{started.microsecond // 1000:03d}"
        return f"{file_name(self.rollout_id)}-{self.number}-{stamp}"

    def path(self, folder: Path, suffix: str = ".jsonl") -> Path:
        """Where its journal (or its report, by the suffix) lives."""
        return folder / f"{self.name}{suffix}"


class Journal:
    """A listener that appends what happens to the attempt's file.

    Args:
        say: told once when the file cannot be written. ``all_the_same``: what holds without it, in words.
    """

    def __init__(
        self,
        folder: Path,
        attempt: Attempt,
        say: Callable[[str], None] = lambda _: None,
        all_the_same: str = "the rollout goes on",
    ) -> None:
        self.path = attempt.path(folder)
        self._attempt = attempt
        self._say = say
        self._all_the_same = all_the_same
        self._has_complained = False
        self._transcripts = 0
        self._began: datetime | None = None
        self._last_sample: tuple[datetime, object] | None = None

    def __call__(self, event: RolloutEvent, /) -> None:
        if (more := self._data(event)) is None:
            return
        head = {"at": event.at.isoformat(), "of": self._attempt.name, "kind": event.kind}
        line = {**head, "text": SINK.cut(event.text, MAX_TEXT), **more}
        data = json.dumps(SINK.values(line)).encode() + b"\n"
        if len(data) > MAX_LINE_BYTES:
            return
        try:
            _append(self.path, data)
        except OSError as error:
            if not self._has_complained:
                self._has_complained = True
                self._say(f"no journal: {error} ({self._all_the_same}; its report will know less)")

    def _data(self, event: RolloutEvent) -> Mapping[str, object] | None:
        """What is kept of an event beside its text; None: nothing is kept."""
        match event:
            case Looked(at, look):
                return self._sample(at, look) if self._is_ours(look.situation.rollout) else None
            case Probed(_, report, rollout):
                return self._probe(report) if self._is_ours(rollout) else None
            case _:
                return event.details

    def _is_ours(self, rollout: Rollout | None) -> bool:
        """A driver that was superseded sees, and probes, the next attempt once before it notices: that is not ours."""
        return rollout is None or Attempt.of(rollout) == self._attempt

    def _sample(self, at: datetime, look: Look) -> Mapping[str, object] | None:
        """A judgement that says something new, or one now and then."""
        self._began = self._began or at
        s = look.situation
        key = (
            s.rollout.phase, s.rollout.stage_index, s.stage_verdict.verdict, s.drift, bool(s.blind),
            tuple(c.verdict for c in s.stage_verdict.criteria),
        )  # fmt: skip
        if self._last_sample is not None:
            # The pause grows with the rollout's age, so the file grows with its logarithm only.
            pause = max(SAMPLE_EVERY, (at - self._began) / SAMPLES_PER_AGE)
            if key == self._last_sample[1] and at - self._last_sample[0] < pause:
                return None
        self._last_sample = (at, key)
        return {
            "phase": s.rollout.phase.value,
            "stage": s.rollout.stage_index,
            "percent": s.rollout.stage.percent,
            "drift": s.drift,
            "blind": s.blind,
            "judgement": s.stage_verdict.to_json(),
            "certification": s.certification.to_json() if s.certification else None,
        }

    def _probe(self, report: ProbeReport) -> Mapping[str, object]:
        return {
            "conversations": len(report.held),
            "failed": len(report.failures),
            "confirming": [
                {"candidate": _by_scenario(block.candidate), "control": _by_scenario(block.control)}
                for block in report.confirming
            ],
            "blind": report.is_blind,
            "warm_up": _by_scenario(report.warm_up),
            "scenarios": _by_scenario(report.held),
            "control": _by_scenario(report.control),
            "started": report.started.isoformat(),
            "failures": [self._failure(each) for each in report.failures[:MAX_TRANSCRIPTS]],
        }

    def _failure(self, conversation: Conversation) -> Mapping[str, object]:
        messages = conversation.transcript if self._transcripts < MAX_TRANSCRIPTS else ()
        self._transcripts += bool(messages)
        half = MAX_MESSAGES // 2
        left_out = max(0, len(messages) - MAX_MESSAGES)
        kept = (*messages[:half], *messages[-half:]) if left_out else messages
        return {
            "scenario": conversation.scenario,
            "outcome": conversation.kind.value,
            "detail": SINK.cut(conversation.detail, MAX_TEXT),
            "status": conversation.status,
            "close_code": conversation.close_code,
            "close_reason": SINK.cut(conversation.close_reason, MAX_TEXT),
            "seconds": round(conversation.seconds, 3),
            "left_out": left_out,
            "transcript": [
                {"at_s": round(m.at_s, 3), "sent": m.sent, "text": SINK.cut(m.text, MAX_TEXT)} for m in kept
            ],
        }  # fmt: skip


def _by_scenario(conversations: Iterable[Conversation]) -> dict[str, list[int]]:
    """Scenario to [ok, all]."""
    counts: dict[str, list[int]] = {}
    for conversation in conversations:
        count = counts.setdefault(conversation.scenario, [0, 0])
        count[0] += conversation.is_ok
        count[1] += 1
    return counts


def _append(path: Path, line: bytes) -> None:
    """One call for the line; and one for an end of line before it, where a killed writer left none."""
    private.make_folder(path.parent)
    with private.open_append(path, "ab+") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")
        if file.write(line) != len(line):
            raise OSError(f"{path}: the disk took half a line")


def read(folder: Path, attempt: Attempt) -> tuple[Line, ...]:
    """The attempt's lines in order of time, each once, whoever wrote them; a missing file is empty.

    Lines that are broken, not ours or of another attempt are left out. Raises: OSError when the file is there and
    cannot be read.
    """
    lines: dict[object, Line] = {}
    try:
        with attempt.path(folder).open("rb") as file:
            while raw := file.readline(MAX_LINE_BYTES):
                line = line_of(raw)
                if line is not None and line.of == attempt.name:
                    # A double is the same text, or the same write, whoever told it and when.
                    is_write = line.kind == "wrote" and line.etag
                    lines.setdefault((line.epoch, line.etag) if is_write else raw.strip(), line)
    except FileNotFoundError:
        return ()
    return tuple(sorted(lines.values(), key=lambda line: line.at))
