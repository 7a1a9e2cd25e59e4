"""User runs that failed on a revision: how most of them did, and some of them in full.  PURE.

An example is what one needs to find the run in the logs: its session, what came, what was missing, and the line that
says so. Memory is for a few of them, whatever was read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from msgspec import Struct

from pipeline.judging.exposure import failed_runs
from pipeline.judging.metrics import ERROR_PATTERNS
from pipeline.judging.reading import Arm, read_lines
from pipeline.judging.sockets import Socket
from pipeline.judging.terms import Sampling
from pipeline.judging.trials import Trial
from pipeline.model import LogLine
from pipeline.telemetry.lines import Run

MOST = 5
_LINE_CHARS = 1000
_OUTCOMES = {"timeout": "hung", "closed": "the socket ended first"}


class Example(Struct, frozen=True):
    """One failed run.

    Args:
        cause: how it failed, as it is counted.
        came: what was seen of it, in words. ``missing``: events that were expected and did not come.
        line: the log line that says it, as JSON; empty where it is a line's absence that says it.
    """

    revision: str
    session: str
    at: datetime
    cause: str
    came: str
    missing: tuple[str, ...] = ()
    line: str = ""


class Examples:
    """Takes whole sessions in, each once, as ``Timeline`` does.

    Args:
        ignored: patterns of closes' reasons that are somebody else's doing.
    """

    def __init__(self, sampling: Sampling, ignored: Iterable[str] = ()) -> None:
        self._sampling = sampling
        self._ignored = tuple(ignored)
        self._causes: dict[str, Counter[str]] = {}
        self._kept: dict[str, list[Example]] = {}

    def add(self, lines: Iterable[LogLine], arm: Arm, now: datetime) -> None:
        of_arm = list(lines)
        reading = read_lines(of_arm, arm.revision, arm.nonce, ERROR_PATTERNS)
        for socket in reading.sockets.values():
            if socket.accepted is None and socket.refused is None:
                continue
            for trial in failed_runs(socket, self._sampling, now.timestamp(), self._ignored):
                cause = cause_of(socket, trial)
                self._causes.setdefault(arm.revision, Counter())[cause] += 1
                kept = self._kept.setdefault(arm.revision, [])
                if len(kept) < MOST:
                    own = (line for line in of_arm if line.payload.get("session") == socket.session)
                    kept.append(_example(arm.revision, socket, trial, cause, own))

    def of(self, revision: str) -> tuple[Example, ...]:
        """Some of them, the earliest first."""
        return tuple(sorted(self._kept.get(revision, ()), key=lambda each: each.at))

    def causes(self, revision: str) -> Mapping[str, int]:
        """How often each was the cause, the most frequent first."""
        return dict(self._causes.get(revision, Counter()).most_common())


def cause_of(socket: Socket, trial: Trial) -> str:
    """The close code, the event that is missing, or the silence that a failed run came to."""
    if socket.refused is not None:
        return "the handshake was not answered"
    if socket.is_broken:
        said = f' "{socket.reason[:80]}"' if socket.reason else ""
        return f"closed by the server with {socket.code}{said}"
    run = _run_of(socket, trial)
    if run is None:
        told = bool(socket.runs or socket.starts or socket.closed is not None)
        return "no log line of its outcome" if told else "no log line after its accept"
    missing = f", {run.missing[0]} missing" if run.missing else ""
    return f"{_OUTCOMES.get(run.outcome, run.outcome)}{missing}"


def _run_of(socket: Socket, trial: Trial) -> Run | None:
    return next((run for run in socket.runs if run.started == trial.start), None)


def _example(revision: str, socket: Socket, trial: Trial, cause: str, lines: Iterable[LogLine]) -> Example:
    run = _run_of(socket, trial)
    return Example(
        revision=revision,
        session=socket.session,
        at=datetime.fromtimestamp(trial.start, UTC),
        cause=cause,
        came=_came(socket, run),
        missing=run.missing if run else (),
        line=_line_of(run, lines),
    )


def _came(socket: Socket, run: Run | None) -> str:
    first = run.first_event_ms if run else None
    parts = [
        "" if run is None else f"run {run.run} {run.outcome}",
        "" if run is None else f"first event after {first:.0f} ms" if first is not None else "no event",
        f"closed by the {socket.closed_by or 'server'} with {socket.code}"
        if socket.closed is not None
        else "",
        "the socket is open" if socket.closed is None and socket.accepted is not None else "",
    ]
    return ", ".join(filter(None, parts))


def _line_of(run: Run | None, lines: Iterable[LogLine]) -> str:
    """The run's own line, else the socket's close."""
    wanted = "agent_run" if run is not None else "ws_close"
    for line in lines:
        is_run = run is None or line.payload.get("run") == run.run or "run" not in line.payload
        if line.payload.get("event") == wanted and is_run:
            shown = {key: value for key, value in line.payload.items() if key != "nonce"}
            return json.dumps(shown, default=str)[:_LINE_CHARS]
    return ""
