"""The job of ``probes.from: job`` in virtual time: a fake with behaviour, its log, and what can go wrong with both."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from pipeline.errors import SpillwayError
from pipeline.probe import result_lines
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.course import Held, course
from pipeline.probe.job_round import CLOUD, JobRound, RunState
from pipeline.probe.order import Order
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.scenario import Scenario
from tests.fakes import START, FakeClock

Payload = Mapping[str, Any]
Talk = Callable[[Scenario, Address], Conversation]


def payload_of(line: str) -> Payload:
    """As Cloud Logging gives it back: every number is a double."""
    row: dict[str, Any] = json.loads(line, parse_int=float)
    return row


@dataclass
class FakeJobs:
    """Holds an order's round when it is run, and says so in its log once the run has ended.

    Args:
        talk: what a conversation comes to.
        takes: how long a run takes.
        late: how long after that its lines can be found.
        refuses: raised by ``run``; ``blind``: by ``state``, so often; ``deaf``: by ``said``, so often.
        dies_after: so many lines, and the run fails.
        logged: 5xx that the request log has, by ``User-Agent`` and revision.
        spoilt: what becomes of the lines in the log.
    """

    clock: FakeClock
    scenarios: Sequence[Scenario]
    talk: Talk
    takes: timedelta = timedelta(seconds=30)
    late: timedelta = timedelta(0)
    refuses: SpillwayError | None = None
    blind: list[SpillwayError] = field(default_factory=list)
    deaf: list[SpillwayError] = field(default_factory=list)
    dies_after: int | None = None
    logged: Callable[[str, str], int] = lambda agent, revision: 0
    spoilt: Callable[[list[Payload]], list[Payload]] = lambda lines: lines
    orders: list[Order] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    searches: int = 0
    looks: int = 0
    _ends: datetime = START
    _lines: list[Payload] = field(default_factory=list)

    def run(self, order: str, within: timedelta) -> str:
        if self.refuses is not None:
            raise self.refuses
        assert within > timedelta(0)
        self.texts.append(order)
        self.orders.append(Order.decode(order))
        self._ends = self.clock.now() + self.takes
        lines = [payload_of(line) for line in self._round(self.orders[-1])]
        self._lines = self.spoilt(lines[: self.dies_after])
        return f"projects/p/locations/l/jobs/agent-chat-probe/executions/run-{len(self.orders)}"

    def _round(self, order: Order) -> list[str]:
        steps, lines = course(order.ask_with(self.scenarios), START), []
        turns = next(steps)
        for batch in range(10):
            held: Held = [tuple(self.talk(turn.scenario, a) for a in turn.addresses) for turn in turns]
            lines += result_lines.lines_of(order, batch, held)
            try:
                turns = steps.send(held)
            except StopIteration:
                break
        return [*lines, result_lines.end_line(order, 2.5)]

    def state(self, run: str) -> RunState:
        self.looks += 1
        if self.blind:
            raise self.blind.pop()
        is_over = self.clock.now() >= self._ends or run in self.cancelled
        is_good = is_over and self.dies_after is None
        words = (
            "" if is_good else "The container exited with code 137." if is_over else "Waiting for the image."
        )
        return RunState(is_over, is_good, words)

    def cancel(self, run: str) -> None:
        self.cancelled.append(run)

    def errors(self, agent: str, revision: str, since: datetime) -> int:
        assert since <= self.clock.now()
        return self.logged(agent, revision)

    def said(self, run: str, round_id: str, since: datetime) -> Sequence[Payload]:
        self.searches += 1
        if self.deaf:
            raise self.deaf.pop()
        return self._lines if self.clock.now() >= self._ends + self.late else []


def held_by(jobs: FakeJobs, ask: ProbeAsk, within: timedelta = timedelta(minutes=5)) -> ProbeReport:
    return round_of(jobs, ask, within).hold()


def round_of(jobs: FakeJobs, ask: ProbeAsk, within: timedelta = timedelta(minutes=5)) -> JobRound:
    clock = jobs.clock
    return JobRound(
        ask, jobs, "abc", within, clock.now, CLOUD, lambda seconds: clock.sleep(timedelta(seconds=seconds))
    )


@dataclass
class JobProber:
    """``ports.Prober`` whose rounds a job holds at once, in virtual time."""

    jobs: FakeJobs
    _done: ProbeReport | None = None
    is_busy: bool = False

    def start(self, ask: ProbeAsk) -> None:
        self._done = held_by(self.jobs, ask, timedelta(seconds=60))

    def poll(self) -> ProbeReport | None:
        report, self._done = self._done, None
        return report


def marked(mark: str | None) -> Conversation:
    """A good one, whose answers carried this mark."""
    return Conversation("agent-run", Kind.OK, 0.1, close_code=1000, first_event_s=0.05, marks=(mark, mark))


def failed(mark: str | None) -> Conversation:
    return replace(marked(mark), kind=Kind.CLOSED_EARLY, detail="server closed with 1011", close_code=1011)
