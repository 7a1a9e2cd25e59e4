"""One table row per scenario and side of a finished round.  PURE.

Theory of operation. A row counts how a scenario's conversations ended. Outcomes are named so that a person sees the
cause without a transcript: the kind and, where there is one, the close code or HTTP status (``closed_early 1011``).
A keepalive 1011 is named apart, because it is not the service's error. Percentiles are nearest-rank, of first
events that came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from pipeline.probe.close_class import CloseClass, close_class
from pipeline.probe.conversation import Conversation
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.times import percentile


class Row(Struct, frozen=True):
    """``outcomes`` are (name, count), most frequent first; percentiles of the first event in milliseconds."""

    side: str  # "candidate" or "control"
    scenario: str
    sessions: int
    ok: int
    outcomes: tuple[tuple[str, int], ...]
    p50_ms: float | None
    p95_ms: float | None


def summarise(report: ProbeReport) -> tuple[Row, ...]:
    """Rows in the order candidate, control; scenarios as they first ended."""
    return (*_rows("candidate", report.candidate), *_rows("control", report.control))


def _rows(side: str, conversations: Sequence[Conversation]) -> Iterable[Row]:
    for name in dict.fromkeys(c.scenario for c in conversations):
        mine = [c for c in conversations if c.scenario == name]
        first = sorted(c.first_event_s * 1000 for c in mine if c.first_event_s is not None)
        yield Row(
            side=side,
            scenario=name,
            sessions=len(mine),
            ok=sum(c.is_ok for c in mine),
            outcomes=tuple(Counter(outcome_name(c) for c in mine).most_common()),
            p50_ms=percentile(first, 50) if first else None,
            p95_ms=percentile(first, 95) if first else None,
        )


def outcome_name(conversation: Conversation) -> str:
    """``ok``, ``closed_early 1011``, ``closed_early 1011 keepalive``, ``refused 503`` ..."""
    if conversation.is_ok:
        return "ok"
    code = conversation.close_code or conversation.status
    is_keepalive = (
        close_class(conversation.close_code, conversation.close_reason) is CloseClass.KEEPALIVE_1011
    )
    words = (conversation.kind.value, str(code) if code else "", "keepalive" if is_keepalive else "")
    return " ".join(filter(None, words))
