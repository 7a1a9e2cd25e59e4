"""From telemetry lines to trials: what each agent run was, decided by its deadline.  PURE.

Theory of operation. The middleware writes a line (``telemetry/lines.py``) at accept, one per agent run when it is asked
for and one when it is decided (ok, timeout, closed, idle), one at close. Lines of one socket share a session id. A
*trial* is one agent run, dated by its start; these are trials too, because nobody else would count them:

- an accept after which nothing at all was written: the service or its logger died. It is dated at accept + D, the moment
  by which something was due, so that by the time its block closes the answer cannot come any more;
- a run that was asked for and of whose outcome no line came, though its user was there until the deadline;
- a socket that the server closed with an error before any run was asked for;
- a handshake that the service could not answer.

A run that the user left by closing is *abandoned*: no trial. So is one whose user vanished (``lost``): had the service
vanished, no line would have been written. Lines without the revision's nonce are forged, or at least not ours: counted,
not judged. Our own probes' sockets are marked by the middleware and left out; they are evidence of another kind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from pipeline.model import LogLine
from pipeline.probe.scenario import CloseClass, close_class
from pipeline.telemetry.lines import (
    Accepted,
    Closed,
    Refused,
    Run,
    Started,
    Unasked,
    from_payload,
    is_telemetry,
)

#: (seconds since the epoch, float) is how lines tell time; evidence keeps it so and never mixes in arrival times.
Seconds = float

_NOTHING: frozenset[str] = frozenset()
_NOT_COMPLETED = frozenset({"agent_completed"})
ERROR_CLOSES = frozenset({CloseClass.SERVER_ERROR_1011, CloseClass.ABNORMAL_1006})


@dataclass(frozen=True, slots=True)
class Trial:
    """One decided run. ``failed`` names the metrics it failed; latency None: no first event came."""

    client: str
    session: str
    start: Seconds
    failed: frozenset[str]
    first_event_s: float | None = None


@dataclass(slots=True)
class Socket:
    """The lines of one session."""

    session: str
    client: str = ""
    accepted: Seconds | None = None
    refused: Seconds | None = None
    starts: dict[int, Seconds] = field(default_factory=dict)  # by the run's number
    runs: list[Run] = field(default_factory=list)
    was_idle: bool = False
    closed: Seconds | None = None
    code: int = 0
    reason: str = ""
    closed_by: str = ""

    @property
    def close_class(self) -> CloseClass:
        return close_class(self.code, self.reason)

    @property
    def was_left(self) -> bool:
        """Its user closed it, or vanished."""
        return self.closed_by in ("client", "lost")

    @property
    def is_broken(self) -> bool:
        """The server closed it with 1011, or dropped it."""
        return self.closed_by == "server" and self.close_class in ERROR_CLOSES

    def server_broke_it(self, start: Seconds, within_s: float) -> frozenset[str]:
        """The metric of an error close by the server inside [start, start + D]; empty when there was none."""
        is_inside = self.closed is not None and start <= self.closed <= start + within_s
        return frozenset({self.close_class.value}) if self.is_broken and is_inside else _NOTHING


@dataclass(slots=True)
class Reading:
    """What the lines of one revision came to."""

    sockets: dict[str, Socket] = field(default_factory=dict)
    errors_at: list[Seconds] = field(default_factory=list)  # lines that match an error pattern
    forged: int = 0
    unasked: Counter[str] = field(default_factory=Counter)  # sockets, by what none of them asked for
    last_line_at: Seconds | None = None


def read_lines(lines: Iterable[LogLine], revision: str, nonce: str, patterns: Iterable[str]) -> Reading:
    """Group one revision's lines by socket. Lines that are broken in any way are left out, never guessed at."""
    wanted = tuple(patterns)
    own = [line for line in lines if line.revision == revision]
    reading = Reading(last_line_at=max([line.at for line in own]).timestamp() if own else None)
    for line in own:
        payload = line.payload
        if not is_telemetry(payload):
            text = line.text or str(payload.get("message", ""))
            if any(pattern in text for pattern in wanted):
                reading.errors_at.append(line.at.timestamp())
        elif payload.get("nonce", "") != nonce:
            reading.forged += 1
        elif not payload.get("probe"):
            _note(reading, payload)
    return reading


def _note(reading: Reading, payload: Mapping[str, object]) -> None:
    session, said = payload.get("session"), from_payload(payload)
    if isinstance(said, Unasked):
        reading.unasked[", ".join(said.starts)] += said.sockets
    if not isinstance(session, str) or said is None:
        return
    socket = reading.sockets.setdefault(session, Socket(session))
    socket.client = socket.client or str(payload.get("client", ""))
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
            socket.runs.append(said)
        case Closed():
            socket.closed, socket.code = said.at, said.code
            socket.reason, socket.closed_by = said.reason, said.closed_by


def trials_of(
    socket: Socket, within: timedelta, now: Seconds, lateness: timedelta = timedelta()
) -> Iterable[Trial]:
    """The decided trials of one socket.

    Args:
        within: D.
        now: nothing is called missing before its time, which is up to ``lateness`` after it was written.
    """
    within_s = within.total_seconds()
    if socket.refused is not None:
        yield Trial(socket.client, socket.session, socket.refused, _NOT_COMPLETED)
    for run in socket.runs:
        if not is_abandoned(socket, run):
            yield _run_trial(socket, run, within_s)
    yield from _unanswered(socket, within_s, now - lateness.total_seconds())
    if socket.runs or socket.starts or socket.accepted is None:
        return
    broken = socket.server_broke_it(socket.accepted, within_s)
    if broken:
        yield Trial(socket.client, socket.session, socket.accepted, _NOT_COMPLETED | broken)
    elif is_silent(socket, within, now):
        yield Trial(socket.client, socket.session, socket.accepted + within_s, _NOT_COMPLETED)


def is_silent(socket: Socket, within: timedelta, now: Seconds) -> bool:
    """Nothing at all was written after the accept, though something was due by accept + D: the logger died, or more."""
    if socket.accepted is None or socket.runs or socket.was_idle or socket.closed is not None:
        return False
    if socket.starts:
        return False
    return now >= socket.accepted + 2 * within.total_seconds()


def is_abandoned(socket: Socket, run: Run) -> bool:
    """The user left, or vanished, before the run was decided."""
    return run.outcome == "closed" and socket.was_left


def _unanswered(socket: Socket, within_s: float, told_until: Seconds) -> Iterator[Trial]:
    """Runs that were asked for and never decided: what should have said so died with them."""
    decided = {run.run for run in socket.runs}
    for number, start in socket.starts.items():
        deadline = start + within_s
        has_left = socket.was_left and socket.closed is not None and socket.closed <= deadline
        if number not in decided and not has_left and told_until >= deadline:
            failed = _NOT_COMPLETED | socket.server_broke_it(start, within_s)
            yield Trial(socket.client, socket.session, start, failed)


def _run_trial(socket: Socket, run: Run, within_s: float) -> Trial:
    failed = _NOTHING if run.outcome == "ok" else _NOT_COMPLETED
    failed |= socket.server_broke_it(run.started, within_s)
    first = run.first_event_ms
    return Trial(socket.client, socket.session, run.started, failed, None if first is None else first / 1000)
