"""The report says what the record says, and no more than was seen."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from checks.finding import Confidence, Finding, Severity
from checks.finding import Report as Checked
from checks.output.document import as_dict, from_json
from pipeline.core.promoted import Admission
from pipeline.core.rollout import Event, Phase, Rollout, Step
from pipeline.judging.exposure import Exposure
from pipeline.model import LOCAL_PROJECT, Outcome, ServiceRef
from pipeline.report import checklist, document, facts, render
from pipeline.report.checklist import State
from pipeline.report.journal_lines import line_of
from tests.reports import (
    CANDIDATE,
    STABLE,
    a_line,
    a_plan,
    a_report,
    a_rollout,
    at,
    exposures,
    journal_lines,
    rolled_back,
)
from tests.rollouts import CANDIDATE as SCENE_CANDIDATE
from tests.rollouts import Scene

WORDS = {
    Outcome.PROMOTED: ("Promoted:", "good"),
    Outcome.PAUSED: ("Paused:", "waiting"),
    Outcome.ROLLED_BACK: ("Rolled back:", "bad"),
    Outcome.ROLLED_BACK_BY_HAND: ("Rolled back by hand:", "waiting"),
    Outcome.STOPPED_AT_ZERO: ("Stopped at 0 %:", "bad"),
}


def made(rollout: Rollout, journal: list[Any] | None = None) -> document.Report:
    return document.build(rollout, journal or [], exposures(), at(400))


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("reached", [0, 5, 100])
@pytest.mark.parametrize("phase", Phase)
def test_the_outcome_is_the_records(phase: Phase, reached: int, by_hand: bool) -> None:
    rollout = a_rollout(phase, reached=reached, by_hand=by_hand)
    said = made(rollout)
    outcome = rollout.outcome
    assert said.outcome == (outcome.label if outcome else "under_way")
    if outcome is None:
        assert not any(said.headline.startswith(words) for words, _ in WORDS.values())
        assert said.tone.value != "good"
    else:
        words, tone = WORDS[outcome]
        assert said.headline.startswith(words)
        assert said.tone.value == tone


@pytest.mark.parametrize("phase", [p for p in Phase if p is not Phase.ROLLED_BACK])
def test_only_traffic_that_was_read_back_is_called_back(phase: Phase) -> None:
    said = made(a_rollout(phase))
    assert "read back and seen" not in said.headline
    assert said.clocks.safe is None


@pytest.mark.parametrize("bad", ["nothing", "probes", "users"])
def test_a_real_rollout_and_its_report_agree(bad: str) -> None:
    scene = Scene()
    if bad == "probes":
        scene.prober.failing.add("http://candidate")
    if bad == "users":
        scene.users.failing[SCENE_CANDIDATE] = 0.5
    outcome = scene.roll()
    said = document.build(scene.rollout, [], {}, scene.clock.now())
    assert said.outcome == outcome.label
    assert [step.percent for step in said.steps] == [step.percent for step in scene.rollout.history]
    moved = [after for before, after in pairwise(scene.shares) if before != after]
    assert [write.traffic.get(SCENE_CANDIDATE, 0) for write in said.writes] == moved


def test_the_impact_counts_sessions_and_close_codes() -> None:
    assert a_report().impact == "412 user sessions met the candidate; 9 of them failed: 9 sessions saw 1011."


@pytest.mark.parametrize(
    ("met", "words"),
    [
        (None, "not shown: the logs could not be read"),
        ({}, "The logs hold no user session on the candidate."),
        ({CANDIDATE: Exposure(sessions=1)}, "1 user session met the candidate; none of them failed."),
        (
            {CANDIDATE: Exposure(sessions=9, affected=2, closes={"abnormal_1006": 1})},
            "9 user sessions met the candidate; 2 of them failed: 1 session saw 1006 (no close frame).",
        ),
        (
            {CANDIDATE: Exposure(sessions=9, affected=2)},
            "9 user sessions met the candidate; 2 of them failed.",
        ),
    ],
)
def test_the_impact_claims_no_more_than_was_seen(met: dict[str, Exposure] | None, words: str) -> None:
    assert words in document.build(rolled_back(), [], met, at(400)).impact


def test_a_candidate_without_traffic_met_nobody() -> None:
    assert made(a_rollout(Phase.DEPLOYING, 0, reached=0)).impact.startswith(
        "412"
    )  # the logs are the better witness
    said = document.build(a_rollout(Phase.DEPLOYING, 0, reached=0), [], {}, at(400))
    assert said.impact == "No user session was sent to the candidate."


def test_the_two_clocks_are_two() -> None:
    clocks = a_report().clocks
    assert clocks.to_safe == timedelta(seconds=53.5)
    assert (clocks.left, clocks.drained) == (37, None)
    gone = exposures() | {CANDIDATE: replace(exposures()[CANDIDATE], open_sockets=0)}
    assert document.build(rolled_back(), [], gone, at(400)).clocks.drained == at(371)


def test_writes_carry_etags_and_commands() -> None:
    writes = a_report().writes
    assert [(w.etag, w.traffic.get(CANDIDATE, 0)) for w in writes] == [
        ('"e1"', 0), ('"e2"', 0), ('"e3"', 5), ('"e5"', 25), ('"e6"', 0),
    ]  # fmt: skip
    assert writes[3].repeat.endswith(f"--to-revisions={STABLE}=75,{CANDIDATE}=25")
    assert writes[3].undo.endswith(f"--to-revisions={STABLE}=95,{CANDIDATE}=5")
    assert a_report().quiet_writes == 2


def test_a_write_that_the_journal_did_not_see_is_told_without_its_etag() -> None:
    by_hand = Step(at(500), Event.FAILED, 0, "changed our mind", "ada", by_hand=True)
    promoted = a_rollout(Phase.ROLLED_BACK, 0, history=(*a_rollout().history, by_hand), by_hand=True)
    lines = [line for line in journal_lines() if line.traffic != {STABLE: 100}]
    last = made(promoted, lines).writes[-1]
    assert (last.at, last.etag, last.traffic) == (at(500), None, {STABLE: 100})


def test_without_a_journal_the_history_speaks_and_the_report_says_so() -> None:
    said = a_report(journal=[])
    assert [w.traffic.get(CANDIDATE, 0) for w in said.writes] == [5, 25, 0]
    assert all(w.etag is None for w in said.writes)
    assert "not shown" in said.missing[0]
    assert said.failure is None


def test_names_from_a_service_are_quoted_for_a_shell() -> None:
    hostile = a_plan(stable="s; rm -rf /", ref=ServiceRef("p", "l", "$(id)"))
    lines = [step.line for step in made(a_rollout(plan=hostile)).rollback]
    assert lines[0] == "spillway rollback 'projects/p/locations/l/services/$(id)'"
    assert "'--to-revisions=s; rm -rf /=100'" in lines[1]


def test_the_local_cloud_run_is_told_by_spillway_alone() -> None:
    local = a_plan(ref=ServiceRef(LOCAL_PROJECT, "local", "chat"))
    said = made(rolled_back(plan=local), journal_lines())
    commands = [c.line for c in (*said.rollback, *said.next_steps)] + [w.repeat for w in said.writes]
    assert not any("gcloud" in line for line in commands)
    assert f"spillway rollback projects/local/locations/local/services/chat --to {STABLE}" in commands


NOT_MAPPED = Finding("event-map", "types.py", 9, 1, Severity.ERROR, Confidence.HIGH, "not mapped")


class TestChecklist:
    def states(
        self, rollout: Rollout, journal: list[Any], met: Exposure | None, checks: Any = None
    ) -> dict[int, State]:
        return {i.number: i.state for i in self.rows(rollout, journal, met, checks)}

    def rows(
        self, rollout: Rollout, journal: list[Any], met: Exposure | None, checks: Any = None
    ) -> tuple[checklist.Item, ...]:
        """``met``: on the candidate, beside a stable that nobody complained of."""
        both = {CANDIDATE: met, STABLE: exposures()[STABLE]} if met is not None else None
        return document.build(rollout, journal, both, at(400), checks=checks).checklist

    def test_nothing_seen_is_nothing_ticked(self) -> None:
        states = self.states(a_rollout(Phase.DEPLOYING, history=()), [], None)
        assert states == dict.fromkeys(range(1, 13), State.NOT_SHOWN)

    def test_no_users_and_no_probes_is_no_evidence(self) -> None:
        states = self.states(a_rollout(), [], Exposure())
        assert [n for n, state in states.items() if state is State.SHOWN] == [4]

    def test_good_probes_and_clean_logs_are_evidence(self) -> None:
        probed = [a_line(scenarios={"agent-run": [40, 40]})]
        states = self.states(a_rollout(), probed, Exposure(sessions=400))
        assert [n for n, state in states.items() if state is State.SHOWN] == [4, 5, 6, 7, 8]

    @pytest.mark.parametrize(
        ("met", "row"),
        [
            (Exposure(sessions=9, closes={"server_error_1011": 1}), 5),
            (Exposure(sessions=9, errors=1), 8),
            (Exposure(sessions=9, silent=1), 8),
        ],
    )
    def test_one_bad_thing_is_enough(self, met: Exposure, row: int) -> None:
        assert self.states(a_rollout(), [a_line(scenarios={"a": [9, 9]})], met)[row] is State.FAILED

    def test_a_failed_probe_fails_its_three_rows(self) -> None:
        states = self.states(rolled_back(), journal_lines(), exposures()[CANDIDATE])
        assert [n for n, state in states.items() if state is State.FAILED] == [5, 6, 7]
        assert states[9] is State.SHOWN

    def test_the_local_cloud_run_proves_nothing_of_a_cloud(self) -> None:
        local = a_plan(ref=ServiceRef(LOCAL_PROJECT, "local", "chat"))
        assert self.states(a_rollout(plan=local), [], None)[4] is State.NOT_SHOWN

    def test_a_rule_that_did_not_run_ticks_nothing(self) -> None:
        ran = Checked((), files=9, rules=("single-source", "additive"))
        states = self.states(a_rollout(), [], None, ran)
        assert (states[1], states[2], states[3]) == (State.SHOWN, State.NOT_SHOWN, State.NOT_SHOWN)

    def test_a_finding_fails_its_row(self) -> None:
        checks = Checked((NOT_MAPPED,), rules=("event-map",))
        (row,) = [i for i in self.rows(a_rollout(), [], None, checks) if i.number == 2]
        assert (row.state, row.evidence) == (State.FAILED, "types.py:9: not mapped")

    def test_a_finding_that_nobody_is_sure_of_neither_ticks_nor_fails(self) -> None:
        found = replace(NOT_MAPPED, confidence=Confidence.MEDIUM)
        states = self.states(a_rollout(), [], None, Checked((found,), rules=("event-map",)))
        assert states[2] is State.NOT_SHOWN

    @pytest.mark.parametrize(
        ("alerts", "state", "evidence"),
        [
            (None, State.NOT_SHOWN, "nobody could look for alert policies on this service"),
            ((), State.NOT_SHOWN, "no alert policy of this service watches for 1011"),
            (("chat: cpu",), State.NOT_SHOWN, "no alert policy of this service watches for 1011"),
            (
                ("chat: closed with 1011", "chat: cpu"),
                State.SHOWN,
                "2 alert policies: chat: closed with 1011; chat: cpu",
            ),
        ],
    )
    def test_alerts_are_those_that_are_there(
        self, alerts: tuple[str, ...] | None, state: State, evidence: str
    ) -> None:
        row = document.build(a_rollout(), [], None, at(400), alerts=alerts).checklist[10]
        assert (row.state, row.evidence) == (state, evidence)

    def test_the_papers_are_those_that_are_there(self) -> None:
        additive = Checked((), rules=("additive",), additive_only=True)
        lines, met = journal_lines(), exposures()[CANDIDATE]
        assert self.states(rolled_back(), lines, met, additive)[12] is State.SHOWN
        for rollout, journal, seen, checks, words in (
            (rolled_back(), lines, met, None, "what changed"),
            (rolled_back(), [], met, additive, "etags of 3 of 3 writes"),
            (rolled_back(), lines, None, additive, "risks as users met them"),
            (a_rollout(plan=a_plan(stable=CANDIDATE)), lines, met, additive, "no revision to go back to"),
        ):
            row = self.rows(rollout, journal, seen, checks)[11]
            assert row.state is State.NOT_SHOWN
            assert words in row.evidence

    def test_a_day_of_soak_counts_once_it_is_promoted(self) -> None:
        day = (*a_rollout().history, Step(at(90_000), Event.PROMOTED, 100))
        assert self.states(a_rollout(Phase.PROMOTED, 100, history=day), [], None)[10] is State.SHOWN
        assert self.states(a_rollout(Phase.PAUSED, 100, history=day), [], None)[10] is State.NOT_SHOWN


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("at", "kind", "traffic", "epoch", "etag", "failures", "scenarios", "started", "transcript", "at_s")
LINES = st.lists(
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5)
    | st.fixed_dictionaries({"at": st.just(at(0).isoformat()), "kind": st.just("wrote"), "traffic": JSON})
    | st.fixed_dictionaries(
        {
            "failures": st.lists(
                st.dictionaries(st.sampled_from((*FIELDS, "left_out")), JSON, max_size=4), max_size=2
            )
        }
    ),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(LINES)
def test_no_journal_breaks_a_report(lines: list[Any]) -> None:
    read = [line for each in lines if (line := line_of(json.dumps(each).encode()))]
    json.dumps(made(rolled_back(), read).to_json(), allow_nan=False)


@settings(max_examples=50, deadline=None)
@given(JSON)
def test_no_check_document_breaks_a_report(found: Any) -> None:
    """Each key holds whatever JSON can; what does not come back as a report of the checks is none."""
    plain = as_dict(Checked((NOT_MAPPED,), rules=("event-map",)))
    for broken in (found, *({**plain, key: found} for key in plain), {**plain, "findings": [found]}):
        try:
            checks = from_json(json.dumps(broken))
        except ValueError:
            continue
        json.dumps(document.build(rolled_back(), [], {}, at(400), checks=checks).to_json())


def test_json_carries_plain_values() -> None:
    document = json.loads(json.dumps(a_report().to_json()))
    assert document["outcome"] == "rolled_back"
    assert document["tone"] == "bad"
    assert document["clocks"]["left"] == 37
    assert document["started"] == "2026-01-01T12:00:00+00:00"


def test_the_axis_goes_a_little_beyond_the_end_and_never_beyond_now() -> None:
    rollout = rolled_back()
    assert facts.end_of_axis(rollout, at(373)) == at(373)
    assert facts.end_of_axis(rollout, at(9999)) == at(371.9 * 1.2)
    assert facts.end_of_axis(a_rollout(), at(9999)) == at(9999)
    assert facts.shares_of(rollout, at(380))[-1].at == at(380)


def test_a_failure_after_the_way_back_is_not_what_the_clock_starts_at() -> None:
    """On a socket that was left behind; both forms name what is counted from."""
    late = exposures() | {CANDIDATE: replace(exposures()[CANDIDATE], first_bad_at=at(380))}
    said = document.build(rolled_back(), [], late, at(400))
    assert said.clocks.to_safe == timedelta(seconds=0.7)
    assert said.tiles[1].words == "from the decision until new connections were safe"
    assert "0.7 s after the decision" in render.markdown(said)


def test_risks_are_what_was_measured() -> None:
    said = a_report()
    assert said.risks[0] == f"37 sockets are still open on {CANDIDATE}: their users are not safe yet."
    assert "Never tried with more than 25 % of new connections." in said.risks
    assert "Whether the change is additive was not checked." in said.risks
    checked = document.build(rolled_back(), [], {}, at(400), checks=Checked((), additive_only=True))
    assert "Additive only: yes." in checked.risks


def test_words_that_nobody_ever_said_are_a_risk_until_somebody_says_them() -> None:
    met = {CANDIDATE: Exposure(sessions=37, unasked={"execute_agent": 37})}
    (said,) = [risk for risk in document.build(rolled_back(), [], met, at(400)).risks if "none asked" in risk]
    assert said.startswith("37 sockets, none asked for `execute_agent`")
    met = {CANDIDATE: replace(met[CANDIDATE], runs=1)}
    assert not [
        risk for risk in document.build(rolled_back(), [], met, at(400)).risks if "none asked" in risk
    ]


def test_a_first_revision_has_nothing_to_go_back_to() -> None:
    first = a_rollout(Phase.PROMOTED, 100, plan=a_plan(stable=CANDIDATE), history=())
    said = made(first)
    assert [step.line for step in said.rollback] == [""]
    assert [u.role for u in said.users] == ["first revision"]


@pytest.mark.parametrize(
    ("admission", "state"),
    [
        (Admission("a soaked in staging for 1d"), State.SHOWN),
        (Admission("without a soak: 1011 since noon", "ada"), State.NOT_SHOWN),
    ],
)
def test_why_an_image_was_let_in_is_said(admission: Admission, state: State) -> None:
    said = made(a_rollout(Phase.PROMOTED, 100, admission=admission))
    row = next(item for item in said.checklist if "staging" in item.title)
    assert (row.state, row.evidence) == (state, admission.told)
    overridden = "It was let in without a soak: 1011 since noon (ada)."
    assert (overridden in said.risks) is (state is State.NOT_SHOWN)
