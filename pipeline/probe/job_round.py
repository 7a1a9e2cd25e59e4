"""One round that a Cloud Run job holds inside the network: started, waited for, and read from the log.

Theory of operation. The job is run once, with the round's order; what it says in its log is read when it has ended, and
again for a while, since lines come late. Whatever goes wrong with a job is no fault of the service's: it may not start,
may not be allowed to, may die midway, and its lines may be lost. Then the round says nothing, and tells why.

A run that nobody waits for any more is cancelled. One whose driver was killed ends by itself, since the time limit of the
round is its own too; its lines bear another round's name than those that anybody reads.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from threading import Event
from typing import Any, Protocol

from msgspec import Struct

from pipeline.errors import PlatformUnavailable, SpillwayError
from pipeline.probe import request_log, result_lines
from pipeline.probe.ask import ClockNow, ProbeAsk
from pipeline.probe.order import Order
from pipeline.probe.probe_report import ProbeReport
from pipeline.units import format_duration


class RunState(Struct, frozen=True):
    """How a run of the job stands. Args: words: what the platform says of it."""

    is_over: bool
    is_good: bool = False
    words: str = ""


class Jobs(Protocol):
    """The one job that holds rounds. Each raises as calls of the platform do (``errors.py``)."""

    def run(self, order: str, within: timedelta) -> str:
        """Start it, with this order in its environment. Returns the run's name.

        Args:
            within: after so long the platform ends it.
        """

    def state(self, run: str) -> RunState: ...

    def cancel(self, run: str) -> None: ...

    def errors(self, agent: str, revision: str, since: datetime) -> int:
        """How many requests of this ``User-Agent`` the platform's log has with a 5xx under a revision."""

    def said(self, run: str, round_id: str, since: datetime) -> Sequence[Mapping[str, Any]]:
        """Payloads of the round's lines that can be found by now; one search of the log's quota, or a few."""


class Pace(Struct, frozen=True):
    """How often a run is asked about.

    Args:
        look: between two questions, each a call of a quota.
        late: so long after the run's end its lines may come.
    """

    look: timedelta = timedelta(seconds=10)
    late: timedelta = timedelta(minutes=1)


CLOUD = Pace()
LOCAL = Pace(timedelta(milliseconds=200), timedelta(seconds=5))


class JobRound:
    """Implements ``prober.Round``.

    Args:
        scenarios: the fingerprint of those that the rollout holds.
        within: how long a run may take, the container's start included.
        sleep: seconds; None: until ``abort`` is called, at most.
    """

    def __init__(
        self,
        ask: ProbeAsk,
        jobs: Jobs,
        scenarios: str,
        within: timedelta,
        now: ClockNow,
        pace: Pace = CLOUD,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._ask, self._jobs, self._within, self._now, self._pace = ask, jobs, within, now, pace
        self._order = Order.of(ask, scenarios, round_id=secrets.token_hex(16), key=secrets.token_hex(32))
        self._aborted = Event()
        self._sleep = sleep or self._aborted.wait

    def abort(self) -> None:
        self._aborted.set()

    def hold(self) -> ProbeReport:
        """Never raises for what a job does, or what the platform does with it."""
        started = self._now()
        try:
            run = self._jobs.run(self._order.encode(), self._within)
        except SpillwayError as error:
            return self._blind(started, f"the probes' job was not started: {error.in_a_line}")
        try:
            state = self._ended(run, started + self._within)
        except SpillwayError as error:
            self._give_up(run)
            return self._blind(started, f"{_short(run)} cannot be looked at: {error.in_a_line}")
        if not state.is_over:
            self._give_up(run)
            said = f" ({state.words})" if state.words else ""
            return self._blind(
                started,
                f"{_short(run)} did not end within {format_duration(self._within)}{said}, and was cancelled",
            )
        return self._read(run, state, started)

    def _ended(self, run: str, give_up: datetime) -> RunState:
        """How it stands once it is over, or when nobody waits any more. Raises what no other look would mend."""
        state = RunState(is_over=False)
        while self._now() < give_up and not self._aborted.is_set():
            self._sleep(self._pace.look.total_seconds())
            with suppress(PlatformUnavailable):
                state = self._jobs.state(run)
            if state.is_over:
                break
        return state

    def _give_up(self, run: str) -> None:
        """Failing here costs what is left of its time limit."""
        with suppress(SpillwayError):
            self._jobs.cancel(run)

    def _read(self, run: str, state: RunState, started: datetime) -> ProbeReport:
        """Its lines. Of a run that failed none may be missing: who looks on has one more look."""
        give_up = self._now() + (self._pace.late if state.is_good else self._pace.look)
        unread, results = "", result_lines.Results()
        while True:
            try:
                results, unread = (
                    result_lines.read(self._jobs.said(run, self._order.round_id, started), self._order),
                    "",
                )
            except SpillwayError as error:
                unread = f"; its log cannot be read: {error.in_a_line}"
            if results.refused:
                return self._blind(started, f"{_short(run)} held no round: {results.refused}")
            if report := result_lines.report_of(results, self._ask, started):
                return self._by_the_log(results, report, started)
            if self._now() >= give_up or self._aborted.is_set():
                break
            self._sleep(self._pace.look.total_seconds())
        return self._blind(started, self._missing(run, state, results) + unread)

    def _by_the_log(
        self, results: result_lines.Results, report: ProbeReport, started: datetime
    ) -> ProbeReport:
        """The report, once the request log proves whose the answers without a mark were; as it is where it does not."""
        give_up, route = self._now() + self._pace.late, self._ask.candidate.route
        while route is not None and request_log.is_to_be_asked(report, self._ask):
            with suppress(SpillwayError):
                logged = self._jobs.errors(request_log.agent(self._order.round_id), route.revision, started)
                report = result_lines.report_of(results, self._ask, started, logged) or report
            if not report.unspoken or self._now() >= give_up or self._aborted.is_set():
                break
            self._sleep(self._pace.look.total_seconds())
        return report

    def _missing(self, run: str, state: RunState, results: result_lines.Results) -> str:
        strange = f"; {results.strange} that it did not sign count for nothing" if results.strange else ""
        seen = f"{len(results.conversations)} of its result lines came{strange}"
        if not state.is_good:
            return f"{_short(run)} failed: {state.words or 'the platform does not say why'}; {seen}"
        late = format_duration(self._pace.late)
        return f"{_short(run)} ended, and not all of its result lines came within {late}: {seen}"

    def _blind(self, started: datetime, why: str) -> ProbeReport:
        return ProbeReport(
            started, (self._now() - started).total_seconds(), (), control_wanted=self._ask.control is not None,
            obstacle=why,
        )  # fmt: skip


def _short(run: str) -> str:
    return f"the probes' job {run.rpartition('/')[2]}"
