"""What had to be shown before a deployment counts as proven, ticked from evidence and from nothing else.  PURE.

Twelve rows. Each is *shown* (evidence is named), *failed* (evidence says the opposite) or *not shown*: the absence of
a complaint is no evidence, and what this rollout did not measure it does not tick. Probes and users speak together: a
row over runs that failed is never ticked. Where the rollout ended well in spite of some, because the criteria allow
them, the row says so and stays open: "none" was not shown, and "failed" would deny the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import StrEnum

from msgspec import Struct

from checks.finding import Report, Severity
from pipeline.core.rollout import Event, Phase, Rollout
from pipeline.judging import judge
from pipeline.judging.exposure import Exposure
from pipeline.judging.judgement import Verdict
from pipeline.model import Outcome
from pipeline.report.banner import short
from pipeline.report.facts import sent_back
from pipeline.report.figures import Figures

STAGING_SOAK = timedelta(hours=24)


class State(StrEnum):
    SHOWN = "shown"
    FAILED = "failed"
    NOT_SHOWN = "not shown"


class Item(Struct, frozen=True):
    """One row. ``evidence`` says what was measured, or what would have to be.

    Args:
        where: the section of the report that holds it, as the anchor of its heading; empty where none does.
    """

    number: int
    title: str
    state: State
    evidence: str
    where: str = ""


class Evidence(Struct, frozen=True):
    """What the rows are ticked from.

    Args:
        checks: None: no static check was handed to the report.
        missing: what row 12 asks for and the report does not hold, in words.
        alerts: titles of the alert policies on the service; None: nobody could look.
    """

    figures: Figures
    checks: Report | None
    missing: Sequence[str]
    alerts: Sequence[str] | None = None

    @property
    def rollout(self) -> Rollout:
        return self.figures.rollout


Answer = tuple[State, str]


def items(evidence: Evidence) -> tuple[Item, ...]:
    """The twelve rows in order."""
    return tuple(
        Item(number, title, *answer(evidence), "" if where == _CHECKS and evidence.checks is None else where)
        for number, (title, answer, where) in enumerate(_ROWS, start=1)
    )


def _check(*rules: str) -> Callable[[Evidence], Answer]:
    def answer(e: Evidence) -> Answer:
        if e.checks is None:
            return State.NOT_SHOWN, "no static check was handed to this report"
        bad = [f for f in e.checks.findings if f.rule in rules and f.severity is Severity.ERROR]
        sure = [f for f in bad if f.fails_gate]
        if bad:
            first, *others = sure or bad
            more = f", and {len(others)} more" if others else ""
            state = State.FAILED if sure else State.NOT_SHOWN
            return state, f"{first.path}:{first.line}: {first.message}{more}"
        missing = [rule for rule in rules if rule not in e.checks.rules]
        if missing:
            return State.NOT_SHOWN, f"did not run: {', '.join(missing)}"
        return State.SHOWN, f"{' and '.join(rules)} ran over {e.checks.files} files without an error"

    return answer


def _bad(e: Evidence, words: str) -> Answer:
    """Something failed: FAILED, unless the rollout ended well in spite of it."""
    if e.figures.is_healthy:
        return State.NOT_SHOWN, f"{words}: within what the criteria allow, and not none"
    return State.FAILED, words


def _deployed(e: Evidence) -> Answer:
    at = next((s.at for s in e.rollout.history if s.event is Event.DEPLOYED), None)
    if e.rollout.plan.candidate == e.rollout.plan.stable:
        return State.NOT_SHOWN, "a first revision: it had 100 % at once, and nothing stood beside it"
    if at is None:
        never = e.figures.outcome is Outcome.STOPPED_AT_ZERO
        words = f"the candidate was not seen ready behind its tag{f': {e.rollout.reason}' if never else ''}"
        return (State.FAILED if never else State.NOT_SHOWN), words
    if _is_gone(e):
        return State.FAILED, f"ready at {at:%H:%M:%S} UTC, and no longer: {e.rollout.reason}"
    if e.rollout.plan.ref.is_local:
        return State.NOT_SHOWN, f"ready on the local Cloud Run at {at:%H:%M:%S} UTC: no cloud was used"
    return State.SHOWN, f"ready at 0 % in {e.rollout.plan.ref.parent} at {at:%H:%M:%S} UTC"


def _is_gone(e: Evidence) -> bool:
    """It was sent back, and neither probes nor users nor anybody's wish are why: the revision broke, or was deleted."""
    f, back = e.figures, sent_back(e.rollout)
    is_judged = f.probes_failed or e.rollout.blamed or any(gate.verdict == "fail" for gate in f.gates)
    is_wish = back is not None and back.by
    return f.outcome in (Outcome.ROLLED_BACK, Outcome.STOPPED_AT_ZERO) and not is_judged and not is_wish


def _connects(e: Evidence) -> Answer:
    f, metrics = e.figures, ("server_error_1011", "abnormal_1006")
    bad = [f"{_probes(e)} ended badly"] if f.probes_failed else []
    met = f.users or Exposure()
    broken = f"{f.broken:,} of {met.sessions:,} user sockets were closed with 1011 or dropped"
    bad += [broken] if f.broken else _judged(e, *metrics)
    others = (
        (met.refused, "handshakes were not answered"),
        (met.turned_away, "requests were answered with 5xx or 429"),
        (met.exits, "instances ended though nobody had asked for it"),
    )
    bad += [f"{number:,} {words}" for number, words in others if number]
    users = f"; 0 of {met.sessions:,} user sockets closed with 1011" if met.sessions else ""
    return _runs(e, bad, f"{_probes(e)} ok{users}")


def _completes(e: Evidence) -> Answer:
    f = e.figures
    bad = [f"{_probes(e)} did not complete"] if f.probes_failed else []
    users = f"; none of {f.users.sessions:,} user sessions failed" if f.users and f.users.sessions else ""
    return _runs(
        e, bad + _failed_users(e), f"{_probes(e)} went from the request to the expected close{users}"
    )


def _events(e: Evidence) -> Answer:
    f = e.figures
    each = ", ".join(f"{name} {ok}/{every}" for name, (ok, every) in f.scenarios.items())
    bad = [f"expected events did not all come: {each or _probes(e)}"] if f.probes_failed else []
    bad += _failed_users(e) + _convicted(e, "first_event")
    if f.probes and not f.scenarios and not bad:
        return State.NOT_SHOWN, "the journal with the scenarios' counts is missing"
    return _runs(e, bad, f"every expected event came, in order: {each}")


def _runs(e: Evidence, bad: Sequence[str], words: str) -> Answer:
    """What failed; where nothing did, whether that was seen."""
    f = e.figures
    if bad:
        return _bad(e, "; ".join(bad))
    if f.outcome is Outcome.FIRST_DEPLOYMENT_UNHEALTHY:
        return State.FAILED, f"its first conversations failed: {e.rollout.reason}"
    if not f.probes:
        return State.NOT_SHOWN, "no probe conversation was held"
    if e.rollout.reached and f.users is None:
        return State.NOT_SHOWN, f"{_probes(e)} ok; what users met could not be read"
    if e.rollout.reached and not f.is_whole:
        return State.NOT_SHOWN, f"{_probes(e)} ok; the logs hold only a part of what users met"
    return State.SHOWN, words


def _failed_users(e: Evidence) -> list[str]:
    """User sessions that failed, as the logs have them; without them, the judged runs of the record."""
    f = e.figures
    if f.users and f.users.affected:
        return [f"{f.users.affected:,} of {f.users.sessions:,} user sessions failed"]
    return _judged(e, "agent_completed", "server_error_1011", "abnormal_1006")


def _judged(e: Evidence, *metrics: str) -> list[str]:
    runs, failed = e.figures.failed_runs(*metrics)
    return [f"{failed:,} of {runs:,} judged user runs failed"] if failed else _convicted(e, *metrics)


def _convicted(e: Evidence, *metrics: str) -> list[str]:
    """What the judge sent it back for; from its reason alone where the record had no room for more."""
    if e.rollout.blamed in metrics:
        return [e.rollout.reason]
    worse = (gate for gate in e.figures.gates if gate.metric in metrics and gate.verdict == "fail")
    return [f"{gate.metric}: {gate.detail}" for gate in worse]


def _logs(e: Evidence) -> Answer:
    met = e.figures.users
    if met is None:
        return State.NOT_SHOWN, "the logs could not be read"
    if met.errors or met.silent:
        return _bad(e, f"{met.errors:,} lines with the error, {met.silent:,} sockets whose lines are missing")
    if judged := _judged(e, "log_serialisation_errors"):
        return _bad(e, judged[0])
    if not met.sessions:
        return State.NOT_SHOWN, "no user session on the candidate wrote a log line"
    if not e.figures.is_whole:
        return State.NOT_SHOWN, "the logs hold only a part of what users met"
    return State.SHOWN, f"no such line from {met.sessions:,} sessions, and none of their lines is missing"


def _metrics(e: Evidence) -> Answer:
    rollout = e.rollout
    if rollout.phase is Phase.ROLLED_BACK:
        return State.SHOWN, f"traffic went back and was read back: {rollout.reason}"
    if rollout.phase is Phase.ROLLING_BACK:
        return State.FAILED, "traffic was given back and has not been read back"
    certified = judge.certify(rollout.judge, rollout.plan)
    if rollout.phase is Phase.PROMOTED and certified.criteria and certified.verdict is Verdict.PASS:
        return State.SHOWN, certified.reason
    return State.NOT_SHOWN, "nothing was certified" if not certified.criteria else certified.reason


def _soaked(e: Evidence) -> Answer:
    if e.rollout.admission is not None:  # it comes after another environment
        return (State.NOT_SHOWN if e.rollout.admission.by else State.SHOWN), e.rollout.admission.told
    words = f"this rollout took {short(e.figures.took)}"
    if e.figures.outcome is Outcome.PROMOTED and e.figures.took >= STAGING_SOAK:
        return State.SHOWN, words
    return State.NOT_SHOWN, f"{words}; 24 h are asked for"


def _alerts(e: Evidence) -> Answer:
    if e.alerts is None:
        return State.NOT_SHOWN, "nobody could look for alert policies on this service"
    if not any("1011" in title for title in e.alerts):
        return State.NOT_SHOWN, "no alert policy of this service watches for 1011"
    return State.SHOWN, f"{len(e.alerts)} alert policies: {'; '.join(e.alerts)}"


def _papers(e: Evidence) -> Answer:
    if e.missing:
        return State.NOT_SHOWN, f"missing here: {'; '.join(e.missing)}"
    return State.SHOWN, "this document: roll-back plan, risks, every write, what changed, before and after"


def _probes(e: Evidence) -> str:
    """``3 of 40 probe conversations``."""
    f = e.figures
    failed = f"{f.probes_failed:,} of " if f.probes_failed else ""
    return f"{failed}{f.probes:,} probe conversations"


_CHECKS, _MET, _HISTORY = "static-checks", "what-users-met", "history"
_ROWS: Sequence[tuple[str, Callable[[Evidence], Answer], str]] = (
    (
        "One definition of each shared helper, and every user imports that one",
        _check("single-source"),
        _CHECKS,
    ),
    ("Every message type is mapped, to the right member", _check("event-map"), _CHECKS),
    ("Log payloads are JSON-safe; nothing that exists breaks", _check("json-safe-logs", "additive"), _CHECKS),
    ("Deployed on Cloud Run at 0 %, behind a tag", _deployed, _HISTORY),
    ("WebSocket connections succeed, no 1011", _connects, _MET),
    ("The request is routed, and a run completes end to end", _completes, _MET),
    ("Every expected event reaches the client", _events, _MET),
    ("Structured logs show no JSON serialisation error, and no line is missing", _logs, _MET),
    ("The success metrics hold, or traffic goes back", _metrics, "gates"),
    ("24 to 48 hours in staging, then production", _soaked, _HISTORY),
    ("Lasting alerts on the 1011 rate", _alerts, ""),
    ("Roll-back plan, risk assessment, deployment report", _papers, "rolling-back"),
)
