"""The lines of a journal as values.  PURE.

They come from a file that anybody may have edited: a line that has not the expected shape is left out, never an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.core import codec
from pipeline.probe.conversation import Message

_MOST = 1e12  # of anything that is counted or measured


class Failure(Struct, frozen=True):
    """A conversation that failed. ``left_out``: messages of the transcript's middle that were not kept."""

    at: datetime | None = None
    scenario: str = ""
    outcome: str = ""
    detail: str = ""
    close_code: int | None = None
    close_reason: str = ""
    transcript: tuple[Message, ...] = ()
    left_out: int = 0


class Line(Struct, frozen=True):
    """What is read of a line; what else it holds is for people.

    Args:
        of: the attempt's name.
        epoch, etag, traffic: of a write; traffic None: the record alone was written.
        calls: of Google's APIs, by method, of a driver that ended.
        started, scenarios, failures: of a probe round; scenario to (ok, all) conversations with the candidate.
        name, percent, exit_code, seconds, said: of a command of the team's own that ended, and of its stage.
    """

    at: datetime
    kind: str
    of: str = ""
    text: str = ""
    epoch: int | None = None
    etag: str = ""
    traffic: Mapping[str, int] | None = None
    started: datetime | None = None
    scenarios: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    calls: Mapping[str, int] = field(default_factory=dict)
    name: str = ""
    percent: int = 0
    exit_code: int | None = None
    seconds: float = 0.0
    said: str = ""


class Validation(Struct, frozen=True):
    """A command of the team's own, as it ended. ``exit_code`` None: it was ended after its time."""

    at: datetime
    percent: int
    name: str
    exit_code: int | None
    seconds: float
    said: str

    @property
    def is_ok(self) -> bool:
        return self.exit_code == 0


def validations_of(journal: Sequence[Line]) -> tuple[Validation, ...]:
    """The team's own commands that ended, oldest first."""
    return tuple(
        Validation(line.at, line.percent, line.name, line.exit_code, line.seconds, line.said)
        for line in journal
        if line.kind == "verified"
    )


def line_of(raw: bytes) -> Line | None:
    """The line; None for what has not the shape of one."""
    try:
        line = codec.made(
            Line, json.loads(raw, parse_int=_number, parse_float=_number, parse_constant=_number)
        )
    except (ValueError, RecursionError):
        return None
    return line if line.at.tzinfo else None


def _number(text: str) -> float:
    """An int where it is one. Raises ValueError for NaN, infinity and what else nobody measures."""
    if not abs(float(text)) <= _MOST:
        raise ValueError(text)
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def scenarios_of(journal: Sequence[Line]) -> Mapping[str, tuple[int, int]]:
    """All probe rounds added up: scenario to (ok, all)."""
    counts: dict[str, tuple[int, int]] = {}
    for line in journal:
        for name, (ok, every) in line.scenarios.items():
            before = counts.get(name, (0, 0))
            counts[name] = (before[0] + ok, before[1] + every)
    return counts


def failure_of(journal: Sequence[Line]) -> Failure | None:
    """The first failed conversation with a transcript, else the first failed one at all."""
    failures = [replace(f, at=line.started or line.at) for line in journal for f in line.failures]
    return next((f for f in failures if f.transcript), failures[0] if failures else None)
