"""Exposures kept up to date from log lines as they come, in memory that does not grow with the rollout.  PURE.

Theory of operation. An exposure is a sum over sessions. A session whose close was written some time ago changes no
more: it is counted into the settled sum and its lines are let go. What is kept are the lines of sessions that are open,
the ids of the last lines, because the reader asks for a stretch of them again each time, and of each instance when it
was last heard of and how it ended: sockets ended with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct, field, structs
from msgspec.structs import replace

from pipeline.judging.exposure import Exposure, exposure
from pipeline.judging.instances import is_exit
from pipeline.judging.reading import Arm
from pipeline.judging.spans import Windows
from pipeline.judging.terms import Sampling
from pipeline.model import SYSTEM_LOG, LogLine
from pipeline.telemetry.lines import Closed, from_payload

if TYPE_CHECKING:
    from pipeline.report.examples import Examples
    from pipeline.report.timeline import Closes, Timeline

OVERLAP = timedelta(seconds=30)  # a line may be found this much later than others of its time
_CHOICES = {"first_bad_at": min, "last_line_at": max, "last_close_at": max, "newest_open_at": max}
_ALIVE = timedelta(minutes=5)  # an instance that was heard of so lately is there
_WITNESSES = 200  # lines that say that an instance was not idle


class _Instance(Struct):
    """When it wrote something, and the lines that say how it ended."""

    seen: deque[LogLine] = field(default_factory=lambda: deque(maxlen=_WITNESSES))
    ends: list[LogLine] = field(default_factory=list)


class Tally:
    """What users met on some revisions in a stretch of time. ``newest``: the time of the newest line.

    Args:
        arms: the revisions.
        start, end: of the attempt. Sessions that begin in it are counted, and followed until they end; None: it goes on.
        axis: counts their closes over time as well.
        examples: keeps some of the runs that failed.
        windows: of the rollout's splits. ``ignored``: patterns of closes' reasons that are somebody else's doing.
    """

    def __init__(
        self,
        arms: Iterable[Arm],
        sampling: Sampling,
        start: datetime,
        end: datetime | None = None,
        axis: Timeline | None = None,
        *,
        windows: Windows | None = None,
        ignored: Iterable[str] = (),
        examples: Examples | None = None,
    ) -> None:
        self._arms = tuple(arms)
        self._end = end
        self._axis = axis
        self._examples = examples
        self._sampling = sampling
        self.windows = windows
        self._ignored = tuple(ignored)
        self._instances: dict[tuple[str, str], _Instance] = {}
        self.newest = self._start = start
        self._known: dict[str, datetime] = {}
        self._open: dict[tuple[str, str], list[LogLine]] = {}
        self._settled = {arm.revision: Exposure() for arm in self._arms}
        self._fresh_since = start
        self._fresh = dict.fromkeys(self._settled, 0)

    @property
    def since(self) -> datetime:
        """From when on lines are wanted; it never goes back."""
        return max(self._start, self.newest - OVERLAP)

    def add(self, lines: Iterable[LogLine]) -> None:
        """Take lines in; those that were taken in before are left out."""
        for line in lines:
            if line.insert_id in self._known or line.at < self._start:
                continue
            self._known[line.insert_id] = line.at
            self.newest = max(self.newest, line.at)
            if line.instance:
                self._note_instance(line)
            key = (line.revision, _session(line))
            # After the attempt's end only sessions that began in it are followed: what begins later is not its doing.
            if self._end is None or line.at <= self._end or key in self._open:
                self._open.setdefault(key, []).append(line)
        # An id is needed as long as its line can be read again, and no longer.
        self._known = {key: at for key, at in self._known.items() if at >= self.since}

    def closes(self) -> tuple[Closes, ...]:
        """Over the axis; those of sessions that are not settled yet among them. Empty without an axis."""
        if self._axis is None:
            return ()
        axis = deepcopy(self._axis)
        for arm in self._arms:
            axis.add([*self._lines_of(arm), *self._context(arm)], arm)
        return axis.closes

    def examples(self, now: datetime) -> Examples | None:
        """Of all sessions; those that are not settled yet among them."""
        whole = deepcopy(self._examples)
        if whole is not None:
            for arm in self._arms:
                whole.add([*self._lines_of(arm), *self._context(arm)], arm, now)
        return whole

    def exposures(self, now: datetime) -> Mapping[str, Exposure]:
        """By revision, since the start."""
        self.settle(now)
        return {arm.revision: self._with(self._lines_of(arm), arm, now) for arm in self._arms}

    def _with(self, lines: Iterable[LogLine], arm: Arm, now: datetime) -> Exposure:
        """What was settled, and these lines' sessions. An instance's end is counted from all that is known of it."""
        context = self._context(arm)
        met = self._of([*lines, *context], arm, now)
        whole, exits = add(self._settled[arm.revision], met), self._of(context, arm, now).exits
        return replace(whole, exits=exits)

    def _of(self, lines: Iterable[LogLine], arm: Arm, now: datetime) -> Exposure:
        return exposure(lines, arm, self._sampling, now, windows=self.windows, ignored=self._ignored)

    def _context(self, arm: Arm) -> list[LogLine]:
        """What is known of the instances that ended."""
        ended = [i for (name, _), i in self._instances.items() if name == arm.revision and i.ends]
        return [line for instance in ended for line in (*instance.seen, *instance.ends)]

    def _note_instance(self, line: LogLine) -> None:
        instance = self._instances.setdefault((line.revision, line.instance), _Instance())
        if line.log == SYSTEM_LOG and is_exit(line.text):
            instance.ends.append(line)
        else:
            stub = LogLine(line.insert_id, line.at, line.revision, log=SYSTEM_LOG, instance=line.instance)
            instance.seen.append(stub)

    def instances(self, now: datetime) -> Mapping[str, int]:
        """By revision, those that wrote something lately and have not ended."""
        alive = [
            name
            for (name, _), each in self._instances.items()
            if not each.ends and each.seen and now - each.seen[-1].at < _ALIVE
        ]
        return {arm.revision: alive.count(arm.revision) for arm in self._arms}

    def fresh(self, since: datetime, now: datetime) -> Mapping[str, int]:
        """Connections accepted since a moment, by revision. The moment may go forward from call to call, not back."""
        if since > self._fresh_since:
            self._fresh_since = since
            self._fresh = dict.fromkeys(self._settled, 0)
        return {
            arm.revision: self._fresh[arm.revision] + self._accepted(self._lines_of(arm), arm, now)
            for arm in self._arms
        }

    def _accepted(self, lines: Iterable[LogLine], arm: Arm, now: datetime) -> int:
        late = (line for line in lines if line.at >= self._fresh_since)
        return self._of(late, arm, now).sessions

    def _lines_of(self, arm: Arm) -> Iterator[LogLine]:
        return (line for (name, _), lines in self._open.items() if name == arm.revision for line in lines)

    def settle(self, now: datetime) -> None:
        """Count what changes no more by now, and let its lines go."""
        old = now - OVERLAP - self._sampling.within
        done = [key for key, lines in self._open.items() if self._is_done(key, lines, old)]
        for arm in self._arms:
            lines = [line for key in done if key[0] == arm.revision for line in self._open[key]]
            self._settled[arm.revision] = self._with(lines, arm, now)
            self._fresh[arm.revision] += self._accepted(lines, arm, now)
            if self._axis is not None:
                self._axis.add([*lines, *self._context(arm)], arm)
            if self._examples is not None:
                self._examples.add([*lines, *self._context(arm)], arm, now)
        for key in done:
            del self._open[key]

    def _is_done(self, key: tuple[str, str], lines: list[LogLine], old: datetime) -> bool:
        """It ended by its own line, or with its instance, and late lines of it have come."""
        if max(line.at for line in lines) >= old:  # asked first: so it is of nearly all
            return False
        if not key[1].startswith("s "):
            return True
        instances = {(line.revision, line.instance) for line in lines}
        has_died = any(i.ends for name in instances if (i := self._instances.get(name)))
        return has_died or any(isinstance(from_payload(each.payload), Closed) for each in lines)


def _session(line: LogLine) -> str:
    """Telemetry lines by their session; every other line is one of its own."""
    session = line.payload.get("session")
    return f"s {session}" if isinstance(session, str) else f"l {line.insert_id}"


def add(one: Exposure, other: Exposure) -> Exposure:
    """The exposure of two disjoint sets of sessions."""
    changes: dict[str, object] = {}
    for each in structs.fields(Exposure):
        a, b = getattr(one, each.name), getattr(other, each.name)
        if choose := _CHOICES.get(each.name):
            changes[each.name] = choose((at for at in (a, b) if at is not None), default=None)
        elif isinstance(a, Mapping):
            changes[each.name] = {key: a.get(key, 0) + b.get(key, 0) for key in {**a, **b}}
        else:
            changes[each.name] = a + b
    return replace(one, **changes)
