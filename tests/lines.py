"""Telemetry lines as a service writes them, for tests of what is made of them. Times are seconds after ``START``."""

from __future__ import annotations

from datetime import timedelta

from pipeline.model import LogLine
from tests.fakes import START

CANDIDATE, STABLE = "svc-new", "svc-old"
_count = iter(range(10**9))


def line(
    at: float,
    event: str,
    session: str,
    revision: str = CANDIDATE,
    *,
    nonce: str | None = None,
    **values: object,
) -> LogLine:
    payload = {
        "spillway": 1, "session": session, "client": session, "revision": revision, "event": event,
        "nonce": f"n-{revision}" if nonce is None else nonce, "at": (START + timedelta(seconds=at)).timestamp(),
    }  # fmt: skip
    moment = START + timedelta(seconds=at)
    return LogLine(f"i{next(_count)}", moment, revision, "INFO", "", {**payload, **values})


def accept(at: float, session: str, revision: str = CANDIDATE, **values: object) -> LogLine:
    return line(at, "ws_accept", session, revision, **values)  # type: ignore[arg-type]


def start(at: float, session: str, revision: str = CANDIDATE, *, run: int = 1, **values: object) -> LogLine:
    """A run is asked for: version 2 of the lines."""
    return line(at, "agent_start", session, revision, **{"spillway": 2, "run": run, **values})  # type: ignore[arg-type]


def run(
    at: float, outcome: str, session: str, revision: str = CANDIDATE, *, took: float = 0.2, first: float | None = 50.0,
    **values: object,
) -> LogLine:  # fmt: skip
    """A run that began at ``at`` and was decided ``took`` seconds later."""
    started = (START + timedelta(seconds=at)).timestamp()
    return line(
        at + took, "agent_run", session, revision, run=1, started=started, outcome=outcome, first_event_ms=first, **values,
    )  # type: ignore[arg-type]  # fmt: skip


def close(
    at: float, code: int, session: str, revision: str = CANDIDATE, *, by: str = "server", reason: str = "",
    **values: object,
) -> LogLine:  # fmt: skip
    return line(at, "ws_close", session, revision, code=code, closed_by=by, reason=reason, **values)  # type: ignore[arg-type]


def conversation(
    at: float, session: str, revision: str = CANDIDATE, *, ok: bool = True, **values: object
) -> list[LogLine]:
    """A whole short conversation: one run, and a close by the client, or by the server with 1011 when it fails."""
    ending = close(at + 0.3, 1000, session, revision, by="client", **values)
    if not ok:
        ending = close(at + 0.3, 1011, session, revision, **values)
    return [
        accept(at, session, revision, **values),
        run(at, "ok" if ok else "closed", session, revision, **values),  # type: ignore[arg-type]
        ending,
    ]


def text(at: float, said: str, revision: str = CANDIDATE) -> LogLine:
    return LogLine(f"i{next(_count)}", START + timedelta(seconds=at), revision, "ERROR", said)
