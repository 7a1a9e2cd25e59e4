"""From log lines to trials: what each agent run was, decided by its deadline.  PURE.

Theory of operation. The middleware writes a line (``telemetry/lines.py``) at accept, one per agent run when it is asked
for and one when it is decided (ok, timeout, closed, idle), one at close. Lines of one socket share a session id. A
*trial* is one agent run, dated by its start; these are trials too, because nobody else would count them:

- an accept after which nothing at all was written: the service or its logger died. It is dated at accept + D, the moment
  by which something was due, so that by the time its block closes the answer cannot come any more;
- a run that was asked for and of whose outcome no line came, though its user was there until the deadline;
- a socket that the server closed with an error before any run was asked for;
- a handshake that the service could not answer.

A socket whose instance exited ended with it, by the server, without a close frame: the process that would have said so
was no more.

A run that the user left by closing is *abandoned*: no trial. So is one whose user vanished (``lost``): had the service
vanished, no line would have been written. But users leave a service that hangs, and how often they leave is counted of
its own (``asked_of``), for the comparison. Lines without the revision's nonce are forged, or at least not ours: counted,
not judged. Our own probes' sockets are marked by the middleware and left out; they are evidence of another kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta

from msgspec import Struct

from pipeline.judging.sockets import Seconds, Socket
from pipeline.telemetry.lines import Run

_NOTHING: frozenset[str] = frozenset()
_NOT_COMPLETED = frozenset({"agent_completed"})
_ABANDONED = frozenset({"abandoned"})


class Trial(Struct, frozen=True):
    """One decided run, or what else is counted (``metrics.Unit``).

    Args:
        failed: names of the metrics it failed.
        first_event_s: None: no first event came.
        accepted: when its socket was; None: not known.
        is_told: its own lines say so, so everybody knows who reads them.
        reason: of the close by the server that it failed by.
    """

    client: str
    session: str
    start: Seconds
    failed: frozenset[str]
    first_event_s: float | None = None
    accepted: Seconds | None = None
    is_told: bool = False
    instance: str = ""
    reason: str = ""


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
        yield _trial(socket, socket.refused, _NOT_COMPLETED, accepted=socket.refused)
    for run in socket.runs:
        if not is_abandoned(socket, run):
            yield _run_trial(socket, run, within_s)
    for start in _unanswered(socket, within_s, now - lateness.total_seconds()):
        if not socket.left_before(start + within_s):
            yield _trial(socket, start, _NOT_COMPLETED | socket.server_broke_it(start, within_s))
    if socket.accepted is None:
        return
    if is_silent(socket, within, now):
        yield _trial(socket, socket.accepted + within_s, _NOT_COMPLETED)
    if socket.runs or socket.starts:
        return
    broken = socket.server_broke_it(socket.accepted, within_s)
    if broken:
        yield _trial(socket, socket.accepted, _NOT_COMPLETED | broken)


def asked_of(
    socket: Socket, within: timedelta, now: Seconds, lateness: timedelta = timedelta()
) -> Iterable[Trial]:
    """Every run of one socket that was asked for, and whether its user left it; arguments as for ``trials_of``."""
    within_s = within.total_seconds()
    for run in socket.runs:
        yield _trial(socket, run.started, _ABANDONED if is_abandoned(socket, run) else _NOTHING)
    for start in _unanswered(socket, within_s, now - lateness.total_seconds()):
        yield _trial(socket, start, _ABANDONED if socket.left_before(start + within_s) else _NOTHING)


def is_silent(socket: Socket, within: timedelta, now: Seconds) -> bool:
    """Nothing at all was written after the accept, though something was due by accept + D: the logger died, or more."""
    if socket.accepted is None or socket.was_idle:
        return False
    # What came later than that says nothing of it: whoever looked before it came must not have seen another thing.
    known = socket.accepted + 2 * within.total_seconds()
    said = [run.started for run in socket.runs] + list(socket.starts.values())
    said += [socket.closed] if socket.closed is not None else []
    return now >= known and all(at > known for at in said)


def is_abandoned(socket: Socket, run: Run) -> bool:
    """The user left, or vanished, before the run was decided."""
    return run.outcome == "closed" and socket.was_left


def _unanswered(socket: Socket, within_s: float, told_until: Seconds) -> Iterator[Seconds]:
    """When each run was asked for that nothing decided by its deadline: the line of it is lost, or what should write it."""
    decided = {run.run for run in socket.runs}
    for number, start in socket.starts.items():
        if number not in decided and told_until >= start + within_s:
            yield start


def _run_trial(socket: Socket, run: Run, within_s: float) -> Trial:
    failed = _NOTHING if run.outcome == "ok" else _NOT_COMPLETED
    failed |= socket.server_broke_it(run.started, within_s)
    first = run.first_event_ms
    return _trial(socket, run.started, failed, None if first is None else first / 1000)


def _trial(
    socket: Socket,
    start: Seconds,
    failed: frozenset[str],
    first_event_s: float | None = None,
    *,
    accepted: Seconds | None = None,
) -> Trial:
    return Trial(
        socket.client,
        socket.session,
        start,
        failed,
        first_event_s,
        socket.since if accepted is None else accepted,
        is_told=accepted is not None or socket.told is not None,
        instance=socket.instance,
        reason=socket.reason if socket.is_broken else "",
    )
