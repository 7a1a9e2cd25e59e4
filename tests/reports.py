"""A rollout as reports and views see it, made by hand: fixed values, no engine, so that a picture changes only when
the picture is changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from pipeline.core.decision import Situation
from pipeline.core.rollout import Event, Phase, Rollout, Step
from pipeline.events import Look
from pipeline.judging import judge
from pipeline.judging.counts import Counts
from pipeline.judging.exposure import Exposure
from pipeline.judging.judgement import CriterionJudgement, Judgement, Verdict
from pipeline.judging.judgestate import JudgeState
from pipeline.judging.probes import Probes
from pipeline.judging.terms import Criterion, Plan, Stage, Terms
from pipeline.model import LiveService, Readiness, Revision, ServiceRef, Split
from pipeline.probe.conversation import Conversation, Kind, Message
from pipeline.probe.probe_report import ProbeReport
from pipeline.report import document
from pipeline.report.document import Report
from pipeline.report.gates import Combined, Gate
from pipeline.report.journal_lines import Line, line_of
from pipeline.report.timeline import Closes
from tests.fakes import START

REF = ServiceRef("acme-prd", "us-central1", "agent-chat")
CANDIDATE, STABLE = "agent-chat-9f3c1e", "agent-chat-77ab02"
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
STAGES = tuple(Stage(p, 5 * MINUTE if p else timedelta(0)) for p in (0, 5, 25, 50, 100))
CRITERIA = (
    Criterion("server_error_1011", limit=0.001, certify=0.01),
    Criterion("agent_completed", certify=0.01),
    Criterion("first_event", limit=0.05, slower_than=timedelta(milliseconds=500)),
    Criterion("log_serialisation_errors", limit=0.001),
)
FIVE = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def a_plan(**changes: object) -> Plan:
    plan = Plan(
        rollout_id="4cc2fceeea11", ref=REF, stable=STABLE, stable_uid="u-s", candidate=CANDIDATE,
        image="europe-docker.pkg.dev/acme/chat@sha256:0a1b", terms=Terms(STAGES, CRITERIA, ("agent-run",)),
    )  # fmt: skip
    return replace(plan, **changes)  # type: ignore[arg-type]


def a_rollout(phase: Phase = Phase.ROLLING, percent: int = 25, **changes: object) -> Rollout:
    """At the 25 % stage, six minutes in."""
    plan = a_plan()
    made = Rollout(
        plan=plan, phase=phase, started=START, since=at(312), arrived=at(312), heartbeat=at(370),
        split=Split.between(STABLE, CANDIDATE, percent), judge=judge.begin(plan), driver="ci/1", stage_index=2, epoch=9,
        reached=25,
        history=(
            Step(at(4), Event.DEPLOYED, 0, "no green probe round at this stage yet"),
            Step(at(9), Event.RAISED, 5, "10 probe conversations ok"),
            Step(at(312), Event.RAISED, 25, "212 agent runs, not worse than stable"),
        ),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def rolled_back(**changes: object) -> Rollout:
    """Sent back by the judge a minute after it reached 25 %."""
    before = a_rollout()
    reason = "server_error_1011: 9/31 failed against 0/412 on stable"
    steps = (
        Step(at(371.2), Event.FAILED, 0, reason),
        Step(at(371.9), Event.RESTORED, 0, reason),
    )
    return a_rollout(
        Phase.ROLLED_BACK, 0, reason=reason, blamed="server_error_1011", since=at(371.2),
        history=(*before.history, *steps), **changes,
    )  # fmt: skip


def a_judgement(
    verdict: Verdict = Verdict.INCONCLUSIVE, reason: str = "31 of 50 agent runs at this stage"
) -> Judgement:
    few = Verdict.INCONCLUSIVE
    return Judgement(
        verdict,
        reason,
        (
            CriterionJudgement("server_error_1011", few, 31, 1, 412, 0, 12.5, 4000.0, 19, "1/31 failed"),
            CriterionJudgement(
                "agent_completed", Verdict.PASS, 431, 1, 1230, 3, 0.9, 4000.0, None, "1/431 failed"
            ),
            CriterionJudgement("first_event", few, 31, 4, 412, 50, 0.5, 4000.0, 19, "4/31 failed"),
            CriterionJudgement(
                "log_serialisation_errors", few, 31, 0, 412, 0, 0.5, 4000.0, 19, "0/31 failed"
            ),
        ),
        blamed="server_error_1011" if verdict is Verdict.FAIL else "",
    )


def exposures() -> dict[str, Exposure]:
    return {
        CANDIDATE: Exposure(
            sessions=412, affected=9, open_sockets=37, runs=431, closes={"normal": 366, "server_error_1011": 9},
            first_bad_at=at(318.4), last_close_at=at(371), last_line_at=at(371), abandoned=3,
        ),
        STABLE: Exposure(
            sessions=1709, open_sockets=1204, runs=1800, closes={"normal": 505}, last_close_at=at(371), last_line_at=at(371)
        ),
    }  # fmt: skip


def a_probe(*, failing: bool = False, text: str = "internal error") -> ProbeReport:
    said = Message(0.01, True, '{"type":"execute_agent"}')  # fmt: skip
    good = Conversation("agent-run", Kind.OK, 0.4, close_code=1000, first_event_s=0.182, events=FIVE)
    bad = Conversation(
        "agent-run", Kind.CLOSED_EARLY, 0.1, f'server closed with 1011 "{text}"; still awaited: {", ".join(FIVE[1:])}',
        close_code=1011, close_reason=text, first_event_s=0.05, events=FIVE[:1],
        transcript=(said, Message(0.05, False, f'{{"type":"agent_started","note":"{text}"}}')),
    )  # fmt: skip
    held = (good, good, bad if failing else good)
    return ProbeReport(at(366), 0.5, held, (good, good, good) if failing else ())


def a_look(rollout: Rollout | None = None, **changes: object) -> Look:
    current = rollout or a_rollout()
    live = LiveService(
        ref=REF, uid="u", etag="e9", generation=9, wanted=current.split, serving=current.split, annotations={},
        uri="https://agent-chat.example", latest_ready=CANDIDATE, latest_created=CANDIDATE,
    )  # fmt: skip
    situation = Situation(
        rollout=current, live=live, now=at(372), candidate=Revision(CANDIDATE, "u-c", at(3), Readiness.READY),
        stable=Revision(STABLE, "u-s", START - timedelta(days=9), Readiness.READY), stage_verdict=a_judgement(),
    )  # fmt: skip
    parts = {
        "judge": JudgeState(probes=Probes(ok=40)),
        "probe": a_probe(),
    }
    mine = {key: changes.pop(key) for key in tuple(changes) if key in parts}
    return Look(replace(situation, **changes), **{**parts, **mine})  # type: ignore[arg-type]


def a_line(**fields: object) -> Line:
    """A line as it is read back from the file."""
    line = line_of(json.dumps({"at": at(0).isoformat(), "kind": "probed", **fields}).encode())
    assert line
    return line


def journal_lines(text: str = "internal error") -> list[Line]:
    """What the journal of ``rolled_back`` holds, as ``journal.read`` gives it."""
    wrote: list[tuple[float, Mapping[str, int] | None]] = [
        (0.2, {STABLE: 100}),
        (4.1, {STABLE: 100}),
        (9.1, {STABLE: 95, CANDIDATE: 5}),
        (29, None),
        (312.1, {STABLE: 75, CANDIDATE: 25}),
        (371.4, {STABLE: 100}),
        (371.9, None),
    ]
    lines: list[Mapping[str, object]] = [
        {
            "at": at(seconds).isoformat(),
            "kind": "wrote",
            "text": "",
            "epoch": n,
            "etag": f'"e{n}"',
            "traffic": traffic,
        }
        for n, (seconds, traffic) in enumerate(wrote, start=1)
    ]
    failure = {
        "scenario": "agent-run", "outcome": "closed_early", "detail": f'server closed with 1011 "{text}"',
        "close_code": 1011, "close_reason": text, "left_out": 0,
        "transcript": [
            {"at_s": 0.011, "sent": True, "text": '{"type":"execute_agent"}'},
            {"at_s": 0.052, "sent": False, "text": f'{{"type":"agent_started","note":"{text}"}}'},
        ],
    }  # fmt: skip
    probed = {
        "at": at(366.5).isoformat(), "kind": "probed", "text": "", "started": at(366).isoformat(), "failures": [failure],
        "scenarios": {"agent-run": [39, 40]},
    }  # fmt: skip
    return [a_line(**each) for each in (*lines, probed)]


def a_report(rollout: Rollout | None = None, journal: Sequence[Line] | None = None) -> Report:
    """The report of ``rolled_back``, with gates made by hand."""
    current = rollout or rolled_back()
    closes = (
        Closes(CANDIDATE, at(316), at(324), 8, 2),
        Closes(CANDIDATE, at(364), at(372), 20, 7),
        Closes(STABLE, at(316), at(324), 30, 0),
    )
    made = document.build(
        current, journal_lines() if journal is None else journal, exposures(), at(400), closes=closes
    )
    gates = (
        Gate("server_error_1011", "a run whose socket the server closed", "0.1%", (31, 9), (412, 0), "fail", "9/31", 16_000.0, 4000.0),
        Gate("agent_completed", "a run that did not complete", "stable's rate", (31, 9), (412, 3), "undecided", "9/31", 800.0, 4000.0),
    )  # fmt: skip
    return replace(made, gates=gates, combined=Combined(4200.0, 1000.0, current.reason))


def counts(n: int, x: int) -> Counts:
    return Counts(n, x, 10 * n, 0)
