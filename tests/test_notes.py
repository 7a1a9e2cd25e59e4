"""What stands beside the verdict: what was not compared, what the platform said, and no "Promoted" over a failed row."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from checks.finding import Confidence, Finding, Report, Severity
from pipeline.core.rollout import Phase
from pipeline.judging.counts import Counts
from pipeline.judging.exposure import UNKNOWN, Exposure
from pipeline.judging.terms import Criterion
from pipeline.report import banner, document
from pipeline.report import notes as report_notes
from pipeline.report.checklist import State
from tests.reports import CANDIDATE, STABLE, a_rollout, at, exposures, journal_lines


def notes(candidate: Exposure, stable: Exposure) -> str:
    rollout = replace(a_rollout(), borders=(at(10), at(20)), since=at(30), arrived=at(35))
    return "\n".join(report_notes.notes(rollout, {CANDIDATE: candidate, STABLE: stable}))


def test_runs_without_a_partner_are_told_by_when_their_sockets_were_accepted() -> None:
    met = Exposure(sessions=9, windows={UNKNOWN: 2, 0: 3, 2: 40, 4: 5})
    said = notes(met, Exposure(sessions=9, windows={2: 400, 1: 7}))
    assert said.startswith(
        "Not compared: 10 runs of the candidate (2 on sockets accepted at a time that no line tells, "
    )
    assert f"3 on sockets accepted before {at(10):%H:%M:%S} UTC" in said
    assert f"5 on sockets accepted from {at(35):%H:%M:%S} UTC on" in said
    assert notes(replace(met, windows={2: 40}), Exposure(sessions=9, windows={2: 400})) == ""


def test_what_the_platform_said_is_told_of_each_revision() -> None:
    said = notes(Exposure(sessions=1, exits=3, closes={"ignored": 1}), Exposure(sessions=1, turned_away=2))
    assert f"{CANDIDATE}: 3 instances ended though nobody had asked for it." in said
    assert f"{CANDIDATE}: 1 close not held against it, by ignore-reasons." in said
    assert f"{STABLE}: 2 requests answered with 5xx or 429 by the platform." in said


def test_a_hang_and_a_missing_line_are_told_of_their_revision() -> None:
    said = notes(Exposure(sessions=9, hung=2, silent=1, windows={0: 9}), Exposure(sessions=9, windows={0: 9}))
    assert f"{CANDIDATE}: 2 runs hung: not done in time, on a socket that nobody had closed." in said
    assert f"{CANDIDATE}: 1 socket fell silent after the accept: log lines that were due are missing." in said
    assert STABLE not in said


def test_runs_are_told_beside_the_independent_ones_and_first_events_beside_their_limit() -> None:
    rollout = a_rollout()
    terms = replace(
        rollout.plan.terms,
        criteria=(Criterion("first_event", limit=0.05, slower_than=timedelta(milliseconds=500)),),
    )
    rollout = replace(
        rollout,
        plan=replace(rollout.plan, terms=terms),
        judge=replace(rollout.judge, total={"first_event": Counts(candidate_trials=10)}),
    )
    slow = Exposure(sessions=9, runs=95, first_events={123: 95}, windows={0: 9})
    stable = Exposure(sessions=9, first_events={110: 9}, windows={0: 9})
    said = report_notes.notes(rollout, {CANDIDATE: slow, STABLE: stable})
    assert f"{CANDIDATE}: 95 runs, 10 independent: of one client the first in a block is judged." in said
    (line,) = [each for each in said if each.startswith("First event, p95: ")]
    for met, name in ((slow, CANDIDATE), (stable, STABLE)):
        assert f"{met.first_event_p95_ms:,.0f} ms on {name}" in line
    assert line.endswith("slower than 500ms is late, in 5% of the runs at most.")
    bare = replace(rollout, plan=replace(rollout.plan, terms=replace(terms, criteria=())))
    told = report_notes.notes(bare, {CANDIDATE: slow, STABLE: stable})
    assert not [each for each in told if each.startswith("First event")], "it is not judged"


@pytest.mark.parametrize(
    ("percent", "stable", "is_told"),
    [
        (25, Exposure(), True),
        (25, Exposure(forged=7), True),
        (25, Exposure(sessions=1), False),
        (25, Exposure(windows={UNKNOWN: 1}), False),  # of sockets that were there before
        (0, Exposure(), False),
        (100, Exposure(), False),
    ],
)
def test_a_stable_that_says_nothing_is_told(percent: int, stable: Exposure, *, is_told: bool) -> None:
    index = [0, 5, 25, 50, 100].index(percent)
    rollout = a_rollout(percent=percent, stage_index=index)
    met = {CANDIDATE: Exposure(sessions=9, windows={0: 9}), STABLE: stable}
    said = " ".join(report_notes.notes(rollout, met))
    assert (f"No telemetry line from stable {STABLE}" in said) == is_told
    assert ("(7 lines with another nonce): it cannot be compared" in said) == bool(stable.forged)
    assert not report_notes.blind_stable(rollout, {STABLE: stable})


def test_without_telemetry_it_is_said_what_cannot_be_seen() -> None:
    assert "writes no telemetry" in notes(Exposure(requests=4), Exposure(requests=40))
    assert "writes no telemetry" not in notes(Exposure(requests=4), Exposure(sessions=1, requests=40))


def promoted(checks: Report | None, **met: int) -> document.Report:
    seen = {
        CANDIDATE: replace(exposures()[CANDIDATE], affected=0, closes={}, **met),
        STABLE: exposures()[STABLE],
    }
    ended = a_rollout(Phase.PROMOTED, 100, stage_index=4, reached=100)
    return document.build(ended, journal_lines(), seen, at(400), checks=checks)


def test_no_promotion_is_told_over_a_row_that_failed() -> None:
    bad = Finding("single-source", "a.py", 1, 1, Severity.ERROR, Confidence.HIGH, "second definition of tell")
    checks = Report((bad,), files=2, rules=("single-source",))
    told = promoted(checks)
    assert [row.number for row in told.checklist if row.state is State.FAILED] == [1]
    assert told.headline == f"Not proven: {CANDIDATE} has 100 %, and row 1 of the checklist failed"
    assert told.tone is banner.Tone.WAITING
    well = promoted(None)
    assert well.headline.startswith("Promoted")
    assert well.tone is banner.Tone.GOOD


@pytest.mark.parametrize("met", [{"exits": 2}, {"turned_away": 5}])
def test_a_row_over_exits_or_refusals_is_not_ticked(met: dict[str, int]) -> None:
    assert promoted(None, **met).checklist[4].state is State.NOT_SHOWN
