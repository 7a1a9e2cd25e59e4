"""The telemetry line: what a service writes about each of its WebSockets, as values, and how it is read back.  PURE.

A line is one JSON object. All lines of a socket share ``session``; ``at`` is in seconds since the epoch, by the service's
clock. What a line says stands in the classes below; who wrote it in ``spillway`` (the version), ``revision``, ``nonce``,
``client`` (a hash), ``accepted`` (when its socket was), ``instance`` where the environment names one and, for a probe's
socket, ``probe``. Lines of version 1 are read too: they have no ``accepted``, and no line at a run's start. Standard
library only: the middleware brings this file along.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

VERSION = 2
_READ = (1, 2)
_MOST_MISSING = 20  # of a run's events; a forged line may name any number


@dataclass(frozen=True, slots=True)
class _Dated:
    """What all lines have: seconds since the epoch, by the service's clock."""

    at: float


@dataclass(frozen=True, slots=True)
class Accepted(_Dated):
    """The handshake was answered with 101."""

    path: str = ""


@dataclass(frozen=True, slots=True)
class Refused(_Dated):
    """The service could not answer the handshake: ``status`` is 5xx."""

    status: int = 500
    path: str = ""


@dataclass(frozen=True, slots=True)
class Started(_Dated):
    """A run was asked for; ``run`` is its number among those of the socket, from 1. Its ``Run`` follows within D.

    Without it a crash in a socket's second run would leave nothing that anybody could miss.
    """

    run: int


@dataclass(frozen=True, slots=True)
class Run(_Dated):
    """An agent run, once it is decided.

    Args:
        run: its number among those of the socket, from 1.
        outcome: "ok", "timeout", "closed" (the socket ended first), or "idle": nobody asked for a run in time.
        missing: expected events that did not come.
        first_event_ms: from the request to the first of them; None when none came.
    """

    run: int
    started: float
    outcome: str
    missing: tuple[str, ...] = ()
    first_event_ms: float | None = None
    total_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Closed(_Dated):
    """The socket's end. ``closed_by``: "server", "client", or "lost" when the peer vanished."""

    code: int
    reason: str = ""
    closed_by: str = ""
    seconds: float = 0.0
    runs: int = 0


@dataclass(frozen=True, slots=True)
class Unasked(_Dated):
    """Sockets come, and nobody has ever asked this process for anything that it knows: it may know the wrong words.

    Of no socket: the line has no session. ``sockets`` counts those since the line before it.
    """

    sockets: int
    starts: tuple[str, ...] = ()


Line = Accepted | Refused | Started | Run | Closed | Unasked

_EVENTS = {
    Accepted: "ws_accept", Refused: "ws_refused", Started: "agent_start", Run: "agent_run", Closed: "ws_close",
    Unasked: "ws_unasked",
}  # fmt: skip


def to_payload(line: Line) -> dict[str, object]:
    """The part of the JSON object that the line itself makes up."""
    event = _EVENTS[type(line)]
    values = {
        field.name: getattr(line, field.name) for field in fields(line)
    }  # no copy: a reason may be anything
    if values.get("total_ms", 0) is None:
        del values["total_ms"]
    message = f"{event} {values.get('outcome', values.get('code', ''))}".strip()
    return {"message": message, "at": line.at, "event": event, **values}


def is_telemetry(payload: Mapping[str, object]) -> bool:
    """Whether a log entry's payload claims to be such a line; ``nonce`` says whether it is this revision's."""
    return payload.get("spillway") in _READ


def version_of(payload: Mapping[str, object]) -> int:
    """Of a line that ``is_telemetry``."""
    return 1 if payload.get("spillway") == 1 else VERSION


def accepted_of(payload: Mapping[str, object]) -> float | None:
    """When the line's socket was accepted, in seconds since the epoch; None where the line does not say it.

    Any line that has come says it, whether or not the socket's first one did.
    """
    if payload.get("event") == "ws_accept":
        return _number(payload.get("at"))
    return _number(payload.get("accepted"))


def from_payload(payload: Mapping[str, object]) -> Line | None:
    """The line of a JSON object that ``is_telemetry``; None for one that is broken in any way, or of no known kind."""
    at = _number(payload.get("at"))
    if at is None:
        return None
    match payload.get("event"):
        case "ws_accept":
            return Accepted(at, str(payload.get("path", "")))
        case "ws_refused":
            return Refused(at, int(_number(payload.get("status")) or 500), str(payload.get("path", "")))
        case "agent_start":
            number = int(_number(payload.get("run")) or 0)
            return Started(at, number) if number > 0 else None
        case "agent_run":
            return _run(at, payload)
        case "ws_unasked":
            starts = payload.get("starts")
            said = tuple(map(str, starts)) if isinstance(starts, list | tuple) else ()
            return Unasked(at, int(_number(payload.get("sockets")) or 0), said)
        case "ws_close":
            code = int(_number(payload.get("code")) or 0)
            return Closed(at, code, str(payload.get("reason", "")), str(payload.get("closed_by", "")))
    return None


def _run(at: float, payload: Mapping[str, object]) -> Run | None:
    started, outcome = _number(payload.get("started")), str(payload.get("outcome", ""))
    if started is None and outcome != "idle":
        return None
    first, number = _number(payload.get("first_event_ms")), int(_number(payload.get("run")) or 0)
    said = payload.get("missing")
    missing = tuple(map(str, said[:_MOST_MISSING])) if isinstance(said, list | tuple) else ()
    return Run(at, number, at if started is None else started, outcome, missing, first)


def _number(value: object) -> float | None:
    """A finite number of a size that a time (of a year from 1 to 9999) or a code may have; forged lines hold anything."""
    if type(value) not in (float, int):  # a bool is neither
        return None
    return float(value) if -6e10 < value < 2.5e11 else None  # type: ignore[operator, arg-type]  # NaN is not
