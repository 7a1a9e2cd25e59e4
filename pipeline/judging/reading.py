"""The log lines of one revision, sorted by what they speak of: sockets, complaints, instances, requests.  PURE.

Order, repetition and lateness of the lines change nothing: what is read is the set of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from math import inf, isfinite

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.judging.instances import Instance, is_exit
from pipeline.judging.sockets import Seconds, Socket
from pipeline.model import REQUEST_LOG, SYSTEM_LOG, LogLine
from pipeline.telemetry.lines import (
    Accepted,
    Closed,
    Refused,
    Run,
    Started,
    Unasked,
    accepted_of,
    from_payload,
    is_telemetry,
    version_of,
)

TOO_MANY = 429


class Arm(Struct, frozen=True):
    """One revision, and the nonce that its telemetry lines carry."""

    revision: str
    nonce: str


class Complaint(Struct, frozen=True):
    """A log line that matches an error pattern; ``session`` where it names one."""

    at: Seconds
    instance: str = ""
    session: str = ""


class Ended(Struct, frozen=True):
    """A request of the request log: a socket that ended (101), or one that was refused."""

    key: str
    client: str
    began: Seconds
    ended: Seconds
    status: int
    instance: str = ""

    @property
    def is_refused(self) -> bool:
        return self.status != 101


class Reading(Struct):
    """What the lines of one revision came to. ``probes``: the sockets of our own conversations."""

    sockets: dict[str, Socket] = field(default_factory=dict)
    probes: dict[str, Socket] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)
    instances: dict[str, Instance] = field(default_factory=dict)
    requests: dict[str, Ended] = field(default_factory=dict)
    forged: int = 0
    heard: dict[int, list[Seconds]] = field(default_factory=dict)  # when each version of the format was
    unasked: Counter[str] = field(default_factory=Counter)  # sockets, by what none of them asked for
    last_line_at: Seconds | None = None

    @property
    def errors_at(self) -> list[Seconds]:
        """When the service complained, without what it said of our own conversations."""
        return sorted(c.at for c in self.complaints if c.session not in self.probes)

    def version(self, start: Seconds, end: Seconds) -> int:
        """The newest version of the format that was written in [start, end); 0: nothing was."""
        versions = (v for v, at in self.heard.items() if bisect_left(at, start) < bisect_left(at, end))
        return max(versions, default=0)

    def without_starts(self) -> Reading:
        """As if no line had said that a run was asked for."""
        sockets = {name: replace(socket, starts={}) for name, socket in self.sockets.items()}
        return replace(self, sockets=sockets)

    def as_version_1(self) -> Reading:
        """As if its lines were of version 1, which tell no run's start, and of no old socket when it was accepted."""
        bare = self.without_starts()
        return replace(bare, sockets={name: replace(s, told=None) for name, s in bare.sockets.items()})


def read_lines(
    lines: Iterable[LogLine],
    revision: str,
    nonce: str,
    patterns: Iterable[str],
    since: Seconds = -inf,
) -> Reading:
    """Sort one revision's lines. Lines that are broken in any way are left out, never guessed at.

    Args:
        since: of what was written before, only that an instance was there is taken, and when a socket was accepted.
    """
    wanted, accepts = tuple(patterns), dict[str, Seconds | None]()
    own = [line for line in lines if line.revision == revision]
    reading = Reading(last_line_at=max([line.at for line in own]).timestamp() if own else None)
    for line in own:
        at = line.at.timestamp()
        if at >= since:
            _take(reading, line, at, nonce, wanted)
            continue
        _note_instance(reading, line, at)
        if is_telemetry(line.payload) and line.payload.get("nonce", "") == nonce:
            _hear(reading, line.payload, at)
            if line.payload.get("event") == "ws_accept":
                accepts[_text(line.payload.get("session"))] = accepted_of(line.payload)
    for instance in reading.instances.values():
        instance.settle()
    for moments in reading.heard.values():
        moments.sort()
    for socket in (*reading.sockets.values(), *reading.probes.values()):
        socket.runs.sort(key=lambda run: (run.started, run.run))
        socket.accepted = accepts.get(socket.session) if socket.accepted is None else socket.accepted
        if socket.instance in reading.instances:
            socket.died_with(reading.instances[socket.instance])
    return reading


def _note_instance(reading: Reading, line: LogLine, at: Seconds) -> None:
    if line.instance:
        instance = reading.instances.get(line.instance)
        if instance is None:
            instance = reading.instances[line.instance] = Instance(line.instance)
        if line.log == SYSTEM_LOG and is_exit(line.text):
            instance.ends.append((at, line.text))
        else:
            instance.seen.append(at)
            if line.log in (SYSTEM_LOG, REQUEST_LOG) or is_telemetry(line.payload):
                instance.used.append(at)


def _take(reading: Reading, line: LogLine, at: Seconds, nonce: str, patterns: tuple[str, ...]) -> None:
    payload = line.payload
    _note_instance(reading, line, at)
    if line.log == REQUEST_LOG:
        _note_request(reading, line, at)
    elif line.log == SYSTEM_LOG:
        return
    elif not is_telemetry(payload):
        text = line.text or str(payload.get("message", ""))
        if any(pattern in text for pattern in patterns):
            reading.complaints.append(Complaint(at, line.instance, _text(payload.get("session"))))
    elif payload.get("nonce", "") != nonce:
        reading.forged += 1
    else:
        _hear(reading, payload, at)
        _note(reading, reading.probes if payload.get("probe") else reading.sockets, payload, line.instance)


def _hear(reading: Reading, payload: Mapping[str, object], at: Seconds) -> None:
    reading.heard.setdefault(version_of(payload), []).append(at)


def _note_request(reading: Reading, line: LogLine, at: Seconds) -> None:
    request = line.request
    if request is None or not isfinite(request.seconds) or request.seconds < 0:
        return
    if request.status in (101, TOO_MANY) or request.status >= 500:
        reading.requests[line.insert_id] = Ended(
            line.insert_id, request.client, at - request.seconds, at, request.status, line.instance
        )


def _note(reading: Reading, sockets: dict[str, Socket], payload: Mapping[str, object], instance: str) -> None:
    session, said = payload.get("session"), from_payload(payload)
    if isinstance(said, Unasked):
        reading.unasked[", ".join(said.starts)] += said.sockets
    if not isinstance(session, str) or said is None:
        return
    socket = sockets.setdefault(session, Socket(session))
    socket.client = socket.client or str(payload.get("client", ""))
    socket.instance = socket.instance or instance
    socket.told = socket.told or (accepted_of(payload) if "accepted" in payload else None)
    match said:
        case Accepted():
            socket.accepted = said.at
        case Refused():
            socket.refused = said.at
        case Started():
            socket.starts[said.run] = said.at
        case Run(outcome="idle"):
            socket.was_idle = True
        case Run():
            if said not in socket.runs:
                socket.runs.append(said)
        case Closed():
            socket.closed, socket.code = said.at, said.code
            socket.reason, socket.closed_by = said.reason, said.closed_by


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
