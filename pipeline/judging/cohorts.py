"""Of what began in one block: what is judged, of whom, and in which stratum.  PURE.

Theory of operation. Of one client only the first trial in a block, over both arms together, is judged, and none any more
once it failed in this epoch (``clients.py``): one broken client that reconnects twenty times, or that keeps its socket
for a day, must not send a healthy candidate back. Of an office behind one address (``offices.py``) its sockets are the
clients. An address of whose sockets most failed in a block is out after it, like any client: it may be one that retries
in a loop.

What is compared was accepted in the same window (``spans.Windows``), and newcomers of the epoch are compared with
newcomers, those that were counted before with one another: whoever stays is healthier than who comes, and how many of
those who stay an arm has is chance once, not in each block anew. A trial whose socket's beginning is not known is shown
and not compared.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from msgspec import Struct, field

from pipeline.judging.clients import Memory
from pipeline.judging.counts import Counts
from pipeline.judging.instances import LOOKBACK, Instance
from pipeline.judging.metrics import Unit, unit_of
from pipeline.judging.offices import split_offices
from pipeline.judging.reading import Complaint, Ended, Reading
from pipeline.judging.sockets import ERROR_CLOSES, Seconds, Socket
from pipeline.judging.spans import Windows
from pipeline.judging.terms import Criterion, Sampling
from pipeline.judging.trials import Trial, asked_of, trials_of

_LOOKBACK_S = LOOKBACK.total_seconds()


class Side(Struct):
    """One arm: its trials by unit in order of start, and what else its lines told. Empty where there is no such arm."""

    trials: dict[Unit, list[Trial]] = field(default_factory=dict)
    instances: Sequence[Instance] = ()
    complaints: Sequence[Complaint] = ()  # in order of time
    began: Mapping[str, Sequence[tuple[Seconds, str]]] = field(default_factory=dict)
    within_s: float = 0.0

    @classmethod
    def of(cls, reading: Reading, sampling: Sampling, now: Seconds) -> Side:
        """Args: now: nothing is called missing before its time."""
        ended, within_s = reading.requests.values(), sampling.within.total_seconds()
        sockets, terms = reading.sockets.values(), (sampling.within, now, sampling.lateness)
        trials = {
            Unit.RUN: [t for socket in sockets for t in trials_of(socket, *terms)],
            Unit.ASKED: [t for socket in sockets for t in asked_of(socket, *terms)],
            Unit.REQUEST: [_ended(each, "refused_requests", has_failed=each.is_refused) for each in ended],
            Unit.SOCKET: [
                _ended(each, "ended_early", has_failed=each.ended - each.began < within_s)
                for each in ended
                if not each.is_refused
            ],
        }
        for each in trials.values():
            each.sort(key=_order)
        return cls(
            trials,
            sorted(reading.instances.values(), key=lambda each: each.name),
            sorted(reading.complaints, key=lambda c: (c.at, c.instance, c.session)),
            _began((*reading.sockets.values(), *reading.probes.values())),
            within_s,
        )

    def between(self, unit: Unit, start: Seconds, end: Seconds) -> list[Trial]:
        """What began in [start, end); of instances, which were there."""
        if start >= end:  # the whole block is warm-up
            return []
        if unit is Unit.INSTANCE:
            return [_instance(i, start, end) for i in self.instances if i.risk_in(start, end) is not None]
        trials = self.trials.get(unit, [])
        first, last = (bisect_left(trials, at, key=lambda t: t.start) for at in (start, end))
        return trials[first:last]

    def complained(self, start: Seconds, end: Seconds, *, is_capped: bool) -> set[str]:
        """Sessions whose service complained in [start, end).

        A line of text names no session: it is held against the run that its instance began last, be it a probe's. Of
        the candidate one of those counts for an instance (``is_capped``): one run may write twenty lines while others
        begin. Of stable all do: that errs on the candidate's side, and asks for no two instances to be equally busy.
        """
        found, capped = set(), set()
        first, last = (bisect_left(self.complaints, at, key=lambda c: c.at) for at in (start, end))
        for complaint in self.complaints[first:last]:
            if complaint.session:
                found.add(complaint.session)
            elif not (is_capped and complaint.instance in capped):
                capped.add(complaint.instance)
                found |= self._last_begun(complaint)
        return found

    def _last_begun(self, complaint: Complaint) -> set[str]:
        began = self.began.get(complaint.instance, [])
        before = bisect_right(began, complaint.at, key=lambda run: run[0])
        is_due = before > 0 and complaint.at - began[before - 1][0] <= self.within_s
        return {began[before - 1][1]} if is_due else set()


def _began(sockets: Iterable[Socket]) -> dict[str, list[tuple[Seconds, str]]]:
    """By instance, in order of time: when each socket's accept and runs were, and its session."""
    found: defaultdict[str, list[tuple[Seconds, str]]] = defaultdict(list)
    for socket in sockets:
        moments = {run.started for run in socket.runs} | set(socket.starts.values())
        moments |= {socket.accepted} if socket.accepted is not None else set()
        found[socket.instance] += [(at, socket.session) for at in moments]
    return {instance: sorted(began) for instance, began in found.items()}


def _ended(ended: Ended, metric: str, *, has_failed: bool) -> Trial:
    """Of the request log. Dated by its end: while it was open nobody knew of it.

    Of one window, both arms' ends are as comparable.
    """
    failed = frozenset({metric}) if has_failed else frozenset()
    return Trial(
        ended.client, ended.key, ended.ended, failed, accepted=ended.began, is_told=True, instance=ended.instance,
    )  # fmt: skip


def _instance(instance: Instance, start: Seconds, end: Seconds) -> Trial:
    failed = frozenset({"container_exits"}) if instance.exits_in(start, end) else frozenset()
    return Trial(instance.name, instance.name, start, failed, instance=instance.name)


def _order(trial: Trial) -> tuple[Seconds, str]:
    return trial.start, trial.session


class _First(NamedTuple):
    """A client's first trial in a block. ``arm``: 1 is stable. ``stratum``: the place of its table."""

    arm: int
    client: str
    trial: Trial
    is_known: bool
    stratum: int


class Tables(NamedTuple):
    """One metric in one block: a table for each stratum, and what is of clients that were not seen before."""

    strata: tuple[Counts, ...]
    fresh: Counts


class Cohort(Struct):
    """What began in [start, end) on both arms, and who was counted before.

    Args:
        warm: from when on trials are judged.
        is_alone: nothing runs beside the candidate.
    """

    sides: tuple[Side, Side]
    start: Seconds
    end: Seconds
    warm: Seconds
    windows: Windows
    memory: Memory
    is_alone: bool = False
    _failed: set[tuple[str, str]] = field(default_factory=set)
    _firsts: dict[Unit, list[_First]] = field(default_factory=dict)
    _offices: dict[Unit, set[str]] = field(default_factory=dict)

    def tally(self, criterion: Criterion) -> Tables:
        metric, unit = criterion.metric, unit_of(criterion.metric)
        has_failed, firsts = self._failing(criterion), self._firsts_of(unit)
        strata, fresh = [[0] * 4 for _ in range(self._strata(unit))], [0] * 4
        office, lost = self._offices[unit], Counter[str]()
        for arm, client, trial, is_known, stratum in firsts:
            is_office = trial.client in office
            if self.memory.is_out(client, metric) or (is_office and self.memory.is_out(trial.client, metric)):
                continue
            is_bad = has_failed(arm, trial)
            for table in (strata[stratum],) if is_known else (strata[stratum], fresh):
                table[2 * arm] += 1
                table[2 * arm + 1] += is_bad
            if is_bad:
                self._failed.add((client, metric))
            if is_office:
                lost[trial.client] += 1 if is_bad else -1
        self._failed |= {(address, metric) for address, most in lost.items() if most > 0}
        return Tables(tuple(Counts(*table) for table in strata), Counts(*fresh))

    @property
    def new_clients(self) -> int:
        """Of the candidate, those with a run that were not seen before in this epoch."""
        return sum(not (first.arm or first.is_known) for first in self._firsts_of(Unit.RUN))

    @property
    def came(self) -> Counts:
        """Of both arms, clients not seen before in this epoch who asked for a run on a socket accepted in the block."""
        asked = [first for first in self._firsts_of(Unit.ASKED) if not first.is_known]
        arms = Counter(first.arm for first in asked if (first.trial.accepted or 0.0) >= self.start)
        return Counts(candidate_trials=arms[0], stable_trials=arms[1])

    @property
    def shown(self) -> int:
        """The candidate's runs that were seen and are of clients that were judged by another, or of a warm-up."""
        all_runs = len(self.sides[0].between(Unit.RUN, self.start, self.end))
        return all_runs - sum(not first.arm for first in self._firsts_of(Unit.RUN))

    def remember(self) -> None:
        """Once all of the block is counted."""
        for unit, firsts in self._firsts.items():
            for first in firsts if unit is not Unit.ASKED else ():
                self.memory.saw(first.client)
        for client, metric in self._failed:
            self.memory.failed(client, metric)

    def _firsts_of(self, unit: Unit) -> list[_First]:
        """Each client's first trial over both arms."""
        if unit not in self._firsts:
            # Over both arms: a client that connects again lands on either, and would be judged once in each.
            start = max(self.start, self.warm)
            both = [(arm, t) for arm in (0, 1) for t in self.sides[arm].between(unit, start, self.end)]
            both.sort(key=lambda each: (*_order(each[1]), each[0]))
            office = split_offices(both, self.windows, is_alone=self.is_alone)
            self._offices[unit] = office
            firsts: dict[str, _First] = {}
            for arm, trial in both:
                # Who asked is the same person as who had a run judged, and needs no bit of his own.
                kind = Unit.RUN if unit is Unit.ASKED else unit
                client = f"{kind}/{trial.session if trial.client in office else trial.client}"
                if client not in firsts:
                    is_known = self.memory.is_known(client)
                    stratum = self._stratum(unit, arm, trial, is_known=is_known)
                    firsts[client] = _First(arm, client, trial, is_known, stratum)
            self._firsts[unit] = list(firsts.values())
        return self._firsts[unit]

    def _strata(self, unit: Unit) -> int:
        return 2 if unit is Unit.INSTANCE else 2 + 2 * len(self.windows)

    def _stratum(self, unit: Unit, arm: int, trial: Trial, *, is_known: bool) -> int:
        """The place of its table. The first two are of one arm each, where nothing is compared."""
        if unit is Unit.INSTANCE:
            return self._age(arm, trial)
        # What the reader of a later stretch of lines cannot know, nobody may.
        if trial.accepted is None or not (trial.is_told or trial.accepted >= self.start - _LOOKBACK_S):
            return arm
        # A bit that a newcomer shares must not put him among those who stay: his socket tells.
        stayed = is_known and trial.accepted < self.start
        return 2 + 2 * self.windows.of(trial.accepted) + stayed

    def _age(self, arm: int, trial: Trial) -> int:
        instance = next(i for i in self.sides[arm].instances if i.name == trial.instance)
        return instance.risk_in(max(self.start, self.warm), self.end) or 0

    def _failing(self, criterion: Criterion) -> Callable[[int, Trial], bool]:
        metric, bound = criterion.metric, criterion.slower_than
        if metric == "log_serialisation_errors":
            start = max(self.start, self.warm)
            complained = [s.complained(start, self.end, is_capped=not n) for n, s in enumerate(self.sides)]
            return lambda arm, trial: trial.session in complained[arm]
        if metric == "first_event" and bound is not None:
            bound_s = bound.total_seconds()  # what never came is later than any bound
            return lambda _, trial: trial.first_event_s is None or trial.first_event_s > bound_s
        ignored = criterion.ignore_reasons if metric in ERROR_CLOSES else ()
        return lambda _, trial: metric in trial.failed and not is_ignored(trial.reason, ignored)


def is_ignored(reason: str, patterns: Iterable[str]) -> bool:
    """Whether a close with this reason is somebody else's doing, as the configuration says."""
    return any(fnmatchcase(reason, pattern) for pattern in patterns)
