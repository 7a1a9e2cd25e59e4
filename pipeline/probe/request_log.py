"""What the platform's request log proves of a round that a job held: answers that carry no mark of a revision.  PURE.

A container that crashes before it answers gives no mark. Cloud Run says 503 in its place, and so may whoever stands in
the network. But Cloud Run writes each request down under the revision that was to answer it, and the requests of a round
call themselves by the round's name. Where the log has as many 5xx of the round under the candidate as the job met, no
other can have given one of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.probe.ask import USER_AGENT, ProbeAsk
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.route import Route

_ERROR = 500  # and above


def agent(round_id: str) -> str:
    """The ``User-Agent`` of a round's requests."""
    return f"{USER_AGENT}/{round_id}"


def errors_met(report: ProbeReport) -> int:
    """How many 5xx its conversations with the candidate met, whoever gave them."""
    return sum((each.status or 0) >= _ERROR for each in _with_candidate(report))


def is_to_be_asked(report: ProbeReport, ask: ProbeAsk) -> bool:
    """Whether the log could make a round count that says nothing as it is.

    Not where a scenario wants an error for an answer: the log would have more of them than the conversations tell.
    """
    route = ask.candidate.route
    if route is None or not route.revision or not report.unspoken:
        return False
    wants_errors = any(step.status >= _ERROR for each in ask.scenarios for step in each.http)
    doubted = [each for each in _with_candidate(report) if each.kind is Kind.UNPROVEN]
    return bool(doubted) and not wants_errors and all(is_unmarked_error(each, route) for each in doubted)


def is_unmarked_error(conversation: Conversation, route: Route) -> bool:
    """Whether it ended with a 5xx without any mark, all answers before it being the revision's."""
    *before, last = conversation.marks or ("",)
    is_error = (conversation.status or 0) >= _ERROR
    return is_error and last is None and all(mark == route.mark for mark in before)


def _with_candidate(report: ProbeReport) -> Iterator[Conversation]:
    yield from report.warm_up
    yield from report.held
