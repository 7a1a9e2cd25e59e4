"""What had to be shown before a deployment counts as proven, ticked from evidence and from nothing else.  PURE.

Twelve rows. Each is *shown* (evidence is named), *failed* (evidence says the opposite) or *not shown*: the absence of
a complaint is no evidence, and what this rollout did not measure it does not tick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from pipeline import judge
from pipeline.evidence import Exposure
from pipeline.judge import Verdict
from pipeline.model import LOCAL_PROJECT
from pipeline.report.lines import Line
from pipeline.report.probed import Probed, probed_of
from pipeline.rollout import Event, Phase, Rollout
from pipeline.units import format_duration

STAGING_SOAK = timedelta(hours=24)


class State(StrEnum):
    SHOWN = "shown"
    FAILED = "failed"
    NOT_SHOWN = "not shown"


@dataclass(frozen=True, slots=True)
class Item:
    """One row. ``evidence`` says what was measured, or what would have to be."""

    number: int
    title: str
    state: State
    evidence: str


@dataclass(frozen=True, slots=True)
class _Evidence:
    rollout: Rollout
    probed: Probed
    met: Exposure | None
    checks: Mapping[str, object] | None


Answer = tuple[State, str]


def items(
    rollout: Rollout, journal: Sequence[Line], met: Exposure | None, checks: Mapping[str, object] | None
) -> tuple[Item, ...]:
    """The twelve rows in order. ``met``: what users met on the candidate."""
    evidence = _Evidence(rollout, probed_of(journal), met, checks)
    return tuple(
        Item(number, title, *answer(evidence)) for number, (title, answer) in enumerate(_ROWS, start=1)
    )


def _check(*rules: str) -> Callable[[_Evidence], Answer]:
    def answer(e: _Evidence) -> Answer:
        if e.checks is None:
            return State.NOT_SHOWN, "no static check was handed to this report"
        found = e.checks.get("findings")
        mine = [f for f in found if isinstance(f, Mapping)] if isinstance(found, list | tuple) else []
        bad = [f for f in mine if f.get("rule") in rules and f.get("severity") == "error"]
        sure = [f for f in bad if f.get("confidence", "high") == "high"]
        for state, those in ((State.FAILED, sure), (State.NOT_SHOWN, bad)):
            if those:
                more = f", and {len(those) - 1} more" if len(those) > 1 else ""
                first = those[0]
                return state, f"{first.get('path')}:{first.get('line')}: {first.get('message')}{more}"
        ran = e.checks.get("rules")
        missing = [r for r in rules if not isinstance(ran, list | tuple) or r not in ran]
        if missing:
            return State.NOT_SHOWN, f"did not run: {', '.join(missing)}"
        return (
            State.SHOWN,
            f"{' and '.join(rules)} ran over {e.checks.get('files', '?')} files without an error",
        )

    return answer


def _deployed(e: _Evidence) -> Answer:
    at = next((s.at for s in e.rollout.history if s.event is Event.DEPLOYED), None)
    if at is None:
        return State.NOT_SHOWN, "the candidate was not seen ready behind its tag"
    if e.rollout.plan.ref.project == LOCAL_PROJECT:
        return State.NOT_SHOWN, f"ready on the local Cloud Run at {at:%H:%M:%S} UTC: no cloud was used"
    return State.SHOWN, f"ready at 0 % in {e.rollout.plan.ref.parent} at {at:%H:%M:%S} UTC"


def _connects(e: _Evidence) -> Answer:
    seen = e.met.closes.get("server_error_1011", 0) if e.met else 0
    if e.rollout.judge.probes_bad or e.probed.failed:
        return State.FAILED, f"{_probes(e)} ended badly"
    if seen:
        return State.FAILED, f"{seen} user sockets on the candidate were closed with 1011"
    if not _has_probes(e):
        return State.NOT_SHOWN, "no probe conversation was held"
    if e.rollout.reached and e.met is None:
        return State.NOT_SHOWN, f"{_probes(e)} ok; what users met could not be read"
    users = f"; 0 of {e.met.sessions:,} user sockets closed with 1011" if e.met and e.met.sessions else ""
    return State.SHOWN, f"{_probes(e)} ok{users}"


def _completes(e: _Evidence) -> Answer:
    if e.rollout.judge.probes_bad or e.probed.failed:
        return State.FAILED, f"{_probes(e)} did not complete"
    if not _has_probes(e):
        return State.NOT_SHOWN, "no probe conversation was held"
    return State.SHOWN, f"{_probes(e)} went from the request to the expected close"


def _events(e: _Evidence) -> Answer:
    state, _ = _completes(e)
    if state is State.SHOWN and not e.probed.conversations:
        return State.NOT_SHOWN, "the journal with the scenarios' counts is missing"
    each = ", ".join(f"{name} {ok}/{every}" for name, (ok, every) in e.probed.scenarios.items())
    words = {
        State.SHOWN: f"every expected event came, in order: {each}",
        State.FAILED: f"expected events did not all come: {each or _probes(e)}",
        State.NOT_SHOWN: "no probe conversation was held",
    }
    return state, words[state]


def _logs(e: _Evidence) -> Answer:
    if e.met is None:
        return State.NOT_SHOWN, "the logs could not be read"
    if e.met.errors or e.met.silent:
        return (
            State.FAILED,
            f"{e.met.errors} lines with the error, {e.met.silent} sockets whose lines are missing",
        )
    if not e.met.sessions:
        return State.NOT_SHOWN, "no user session on the candidate wrote a log line"
    return State.SHOWN, f"no such line from {e.met.sessions:,} sessions, and none of their lines is missing"


def _metrics(e: _Evidence) -> Answer:
    rollout = e.rollout
    if rollout.phase is Phase.ROLLED_BACK:
        return State.SHOWN, f"traffic went back and was read back: {rollout.reason}"
    if rollout.phase is Phase.ROLLING_BACK:
        return State.FAILED, "traffic was given back and has not been read back"
    certified = judge.certify(rollout.judge, rollout.plan)
    if rollout.phase is Phase.PROMOTED and certified.criteria and certified.verdict is Verdict.PASS:
        return State.SHOWN, certified.reason
    return State.NOT_SHOWN, "nothing was certified" if not certified.criteria else certified.reason


def _soaked(e: _Evidence) -> Answer:
    took = (e.rollout.history[-1].at if e.rollout.history else e.rollout.started) - e.rollout.started
    words = f"this rollout took {format_duration(timedelta(seconds=round(took.total_seconds())))}"
    if e.rollout.phase is Phase.PROMOTED and took >= STAGING_SOAK:
        return State.SHOWN, words
    return State.NOT_SHOWN, f"{words}; 24 h are asked for"


def _alerts(e: _Evidence) -> Answer:
    del e
    return (
        State.NOT_SHOWN,
        "alert policies are declared by the Pulumi program; a rollout does not look at them",
    )


def _papers(e: _Evidence) -> Answer:
    del e
    return State.SHOWN, "this document: roll-back plan, risks, writes, before and after"


def _has_probes(e: _Evidence) -> bool:
    return bool(e.probed.conversations or e.rollout.judge.probes_ok)


def _probes(e: _Evidence) -> str:
    """``3 of 40 probe conversations``; from the record alone when there is no journal."""
    state = e.rollout.judge
    failed = e.probed.failed or state.probes_bad
    every = e.probed.conversations or state.probes_ok + state.probes_bad
    return f"{failed} of {every:,} probe conversations" if failed else f"{every:,} probe conversations"


_ROWS: Sequence[tuple[str, Callable[[_Evidence], Answer]]] = (
    ("One definition of each shared helper, and every user imports that one", _check("single-source")),
    ("Every message type is mapped, to the right member", _check("event-map")),
    ("Log payloads are JSON-safe; nothing that exists breaks", _check("json-safe-logs", "additive")),
    ("Deployed on Cloud Run at 0 %, behind a tag", _deployed),
    ("WebSocket connections succeed, no 1011", _connects),
    ("The request is routed, and a run completes end to end", _completes),
    ("Every expected event reaches the client", _events),
    ("Structured logs show no JSON serialisation error, and no line is missing", _logs),
    ("The success metrics hold, or traffic goes back", _metrics),
    ("24 to 48 hours in staging, then production", _soaked),
    ("Lasting alerts on the 1011 rate", _alerts),
    ("Roll-back plan, risk assessment, deployment report", _papers),
)
