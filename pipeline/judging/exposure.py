"""What users met on one revision, from its log lines.  PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from math import ceil, log

from msgspec import Struct, field

from pipeline.judging.cohorts import is_ignored
from pipeline.judging.metrics import ERROR_PATTERNS
from pipeline.judging.reading import Arm, Reading, read_lines
from pipeline.judging.sockets import ERROR_CLOSES, Seconds, Socket
from pipeline.judging.spans import Windows
from pipeline.judging.terms import Sampling
from pipeline.judging.trials import Trial, is_abandoned, is_silent, trials_of
from pipeline.model import LogLine
from pipeline.probe.close_class import CloseClass

STEP = 1.05
UNKNOWN = -1  # the window of a socket whose beginning nobody told


class Exposure(Struct, frozen=True):
    """What users met on one revision. Counts are of the same sessions: those that began while it was looked at.

    Args:
        sessions: sockets that were accepted, and handshakes that the service could not answer (``refused``).
        closes: by class; 1011 and 1006 are the server's alone, what a client or its network did is "by_client" or
            "lost", and "ignored" what the configuration calls somebody else's doing.
        affected: distinct sockets with a failed trial.
        errors: log lines that match an error pattern.
        silent: accepts after which nothing was written though something was due: missing log lines.
        hung: runs that were not done by their deadline, on sockets that nobody had closed.
        first_events: runs by when their first event came, in steps of a twentieth: n is about ``STEP ** n`` milliseconds.
        unasked: sockets on which nobody asked for a run while nobody ever had, by the words that would have asked.
        windows: runs by the window of splits in which their socket was accepted, those of older sessions among them:
            only what lies in one window with runs of the other revision is compared. ``UNKNOWN``: nobody told.
        turned_away: requests that the platform answered with 5xx or 429.
        exits: instances whose container ended unasked.
        requests: sockets that ended and requests that were refused, as the request log has them.
        newest_open_at: when the youngest of the sockets that are open was accepted.
        cut: runs that were under way when the service closed their socket with 1012, because it stops or drains.
    """

    sessions: int = 0
    refused: int = 0
    affected: int = 0
    open_sockets: int = 0
    runs: int = 0
    closes: Mapping[str, int] = field(default_factory=dict)
    abandoned: int = 0
    forged: int = 0
    last_line_at: datetime | None = None
    first_bad_at: datetime | None = None
    last_close_at: datetime | None = None
    errors: int = 0
    silent: int = 0
    hung: int = 0
    first_events: Mapping[int, int] = field(default_factory=dict)
    unasked: Mapping[str, int] = field(default_factory=dict)
    windows: Mapping[int, int] = field(default_factory=dict)
    turned_away: int = 0
    exits: int = 0
    requests: int = 0
    newest_open_at: datetime | None = None
    cut: int = 0

    @property
    def first_event_p95_ms(self) -> float | None:
        """By nearest rank, to a twentieth; None where no first event came."""
        left = ceil(0.95 * sum(self.first_events.values()))
        for step, runs in sorted(self.first_events.items()):
            left -= runs
            if left <= 0:
                return STEP**step
        return None


def exposure(
    lines: Iterable[LogLine],
    arm: Arm,
    sampling: Sampling,
    now: datetime,
    *,
    windows: Windows | None = None,
    ignored: Iterable[str] = (),
) -> Exposure:
    """What users met on one revision, from all its lines.

    A session whose beginning is not among them began before: it is nobody's figure here, neither its close nor its runs.

    Args:
        ignored: patterns of closes' reasons that are somebody else's doing.
    """
    reading, patterns = read_lines(lines, arm.revision, arm.nonce, ERROR_PATTERNS), tuple(ignored)
    moment = now.timestamp()
    # All counts are of these, so that no part is larger than the whole.
    sockets = [s for s in reading.sockets.values() if s.accepted is not None or s.refused is not None]
    broken = [s for s in sockets if s.is_broken and not is_ignored(s.reason, patterns)]
    bad = [t for s in sockets for t in failed_runs(s, sampling, moment, patterns)]
    ended = [s for s in sockets if s.closed is not None and s.accepted is not None]
    broken_at = [s.closed for s in broken if s.closed is not None]
    return Exposure(
        sessions=len(sockets),
        refused=sum(s.accepted is None for s in sockets),
        affected=len({t.session for t in bad} | {s.session for s in broken}),
        open_sockets=sum(s.accepted is not None and s.closed is None for s in sockets),
        runs=sum(len(s.runs) for s in sockets),
        closes=dict(Counter(_ignored(s, patterns) or close_word(s) for s in ended)),
        abandoned=sum(is_abandoned(s, run) for s in sockets for run in s.runs),
        forged=reading.forged,
        last_line_at=_moment(reading.last_line_at),
        first_bad_at=_moment(min([t.start for t in bad] + broken_at, default=None)),
        last_close_at=_moment(max((s.closed for s in sockets if s.closed is not None), default=None)),
        errors=len(reading.errors_at),
        silent=sum(is_silent(s, sampling.within, moment) for s in sockets),
        hung=sum(run.outcome == "timeout" for s in sockets for run in s.runs),
        first_events=dict(
            Counter(
                round(log(max(run.first_event_ms, 1.0), STEP))
                for s in sockets
                for run in s.runs
                if run.first_event_ms is not None
            )
        ),
        unasked=dict(reading.unasked),
        windows=_by_window(reading, windows or Windows()),
        turned_away=sum(each.is_refused for each in reading.requests.values()),
        exits=sum(each.exited is not None for each in reading.instances.values()),
        requests=len(reading.requests),
        newest_open_at=_moment(
            max((s.accepted for s in sockets if s.accepted is not None and s.closed is None), default=None)
        ),
        cut=sum(run.outcome == "closed" for s in sockets if _was_restarted(s) for run in s.runs),
    )


def failed_runs(socket: Socket, sampling: Sampling, now: Seconds, ignored: Iterable[str]) -> Iterator[Trial]:
    """A socket's runs that failed their user; a close that is somebody else's doing is no failure."""
    for trial in trials_of(socket, sampling.within, now, sampling.lateness):
        if trial.failed - (ERROR_CLOSES if is_ignored(trial.reason, ignored) else frozenset()):
            yield trial


def close_word(socket: Socket) -> str:
    """How it ended, in a report's words: what is counted as the server's 1011 or 1006 is what ``is_broken`` counts."""
    if socket.close_class in ERROR_CLOSES and not socket.is_broken:
        return "lost" if socket.closed_by == "lost" else "by_client"
    return socket.close_class.value


def _ignored(socket: Socket, patterns: tuple[str, ...]) -> str:
    return "ignored" if socket.is_broken and is_ignored(socket.reason, patterns) else ""


def _was_restarted(socket: Socket) -> bool:
    return socket.closed_by == "server" and socket.close_class is CloseClass.RESTART_1012


def _by_window(reading: Reading, windows: Windows) -> Mapping[int, int]:
    found: Counter[int] = Counter()
    for socket in reading.sockets.values():
        if socket.runs:
            found[UNKNOWN if socket.since is None else windows.of(socket.since)] += len(socket.runs)
    return dict(found)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
