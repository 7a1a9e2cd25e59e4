"""What the probe met, from the journal: counts by scenario, and the first conversation that failed.  PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.report.journal_lines import Line, mappings, moment, number


@dataclass(frozen=True, slots=True)
class Message:
    at_s: float
    sent: bool
    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The first conversation that failed. ``left_out``: messages of the transcript's middle that were not kept."""

    at: datetime | None
    scenario: str
    outcome: str
    detail: str
    close_code: int | None
    close_reason: str
    transcript: tuple[Message, ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Probed:
    """All probe rounds of the attempt, added up: scenario to (ok, all)."""

    scenarios: Mapping[str, tuple[int, int]]

    @property
    def conversations(self) -> int:
        return sum(every for _, every in self.scenarios.values())

    @property
    def failed(self) -> int:
        return sum(every - ok for ok, every in self.scenarios.values())


def probed_of(journal: Sequence[Line]) -> Probed:
    """What the journal's probe rounds come to."""
    counts: dict[str, tuple[int, int]] = {}
    for line in journal:
        scenarios = line.get("scenarios")
        for name, pair in scenarios.items() if isinstance(scenarios, Mapping) else ():
            if isinstance(pair, list) and len(pair) == 2:
                ok, every = counts.get(str(name), (0, 0))
                counts[str(name)] = (ok + int(number(pair[0])), every + int(number(pair[1])))
    return Probed(counts)


def failure_of(journal: Sequence[Line]) -> Failure | None:
    """The first failed conversation with a transcript, else the first failed one at all."""
    failures = [(line, f) for line in journal for f in mappings(line.get("failures"))]
    line, first = next(
        ((line, f) for line, f in failures if f.get("transcript")), failures[0] if failures else (None, None)
    )
    if line is None or first is None:
        return None
    code = first.get("close_code")
    return Failure(
        at=moment(line.get("started")) or moment(line.get("at")),
        scenario=str(first.get("scenario", "")),
        outcome=str(first.get("outcome", "")),
        detail=str(first.get("detail", "")),
        close_code=code if isinstance(code, int) else None,
        close_reason=str(first.get("close_reason", "")),
        transcript=tuple(
            Message(number(m.get("at_s")), bool(m.get("sent")), str(m.get("text", "")))
            for m in mappings(first.get("transcript"))
        ),
        left_out=int(number(first.get("left_out"))),
    )
