"""A report as JUnit: an XML reader finds the rollout, its checks, scenarios and gates, and nothing denies the outcome."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from msgspec.structs import replace

from pipeline.core.rollout import Phase
from pipeline.report import junit
from pipeline.report.banner import Tone
from pipeline.report.document import Finding, Report
from pipeline.report.journal_lines import Failure, Validation
from tests.reports import a_report, a_rollout, at

HOSTILE = "]]>\x1b[2J\x00\ufffe <b> & \"'\n::error::x ##[error]x"
FOUND = Finding("app/ws.py:7", "json-safe-logs", "warning", "ws.client_state is an enum", "Log its name")


def suites(report: Report) -> dict[str, ET.Element]:
    root = ET.fromstring(junit.render(report))
    assert root.get("name") == f"spillway {report.rollout_id}.{report.attempt}"
    found = {str(suite.get("name")): suite for suite in root}
    for suite in found.values():
        cases = suite.findall("testcase")
        assert int(suite.get("tests", "")) == len(cases)
        for kind, name in (("failures", "failure"), ("skipped", "skipped")):
            assert int(suite.get(kind, "")) == sum(case.find(name) is not None for case in cases)
    return found


def results(suite: ET.Element) -> dict[str, str]:
    """Case to "failure", "skipped" or ""."""
    kinds = ("failure", "skipped")
    return {
        str(case.get("name")): next((kind for kind in kinds if case.find(kind) is not None), "")
        for case in suite.findall("testcase")
    }


def test_a_roll_back_fails_where_it_was_decided() -> None:
    report = replace(a_report(), findings=(FOUND,))
    found = suites(report)
    assert list(results(found["rollout"]).values()) == ["failure"]
    assert results(found["checks"]) == {"app/ws.py:7 json-safe-logs": "skipped"}
    assert results(found["scenarios"]) == {"agent-run": "failure"}
    assert results(found["gates"]) == {"server_error_1011": "failure", "agent_completed": "skipped"}
    told = found["scenarios"].find("testcase/failure")
    assert told is not None
    assert str(told.get("message")).startswith("39 of 40 conversations ok")
    assert report.transcript_lines()[0] in str(told.text)


@pytest.mark.parametrize(
    ("phase", "tone", "result"),
    [(Phase.PAUSED, Tone.WAITING, "skipped"), (Phase.PROMOTED, Tone.GOOD, "")],
)
def test_no_case_denies_the_outcome(phase: Phase, tone: Tone, result: str) -> None:
    report = replace(a_report(a_rollout(phase)), tone=tone, gates=())
    found = suites(report)
    assert list(results(found["rollout"]).values()) == [result]
    assert results(found["scenarios"]) == {"agent-run": "failure" if tone is not Tone.GOOD else "skipped"}


def test_the_teams_own_commands_are_cases() -> None:
    ended = [Validation(at(1), 5, "smoke", code, 2.0, "line one\nline two") for code in (0, 3, None)]
    suite = suites(replace(a_report(), validations=tuple(ended)))["commands"]
    kinds = [case.find("failure") for case in suite.findall("testcase")]
    assert [None if kind is None else kind.get("message") for kind in kinds] == [
        None,
        "exit 3",
        "ended after its time",
    ]
    assert kinds[1] is not None
    assert kinds[1].text == "line one\nline two\n"


def test_what_was_not_looked_at_is_skipped_and_what_is_clean_passes() -> None:
    assert results(suites(a_report())["checks"]) == {"static checks": "skipped"}
    assert results(suites(replace(a_report(), findings=()))["checks"]) == {"static checks": ""}
    assert "scenarios" not in suites(replace(a_report(), scenarios={}))


def test_nothing_of_a_service_gets_out_of_hand() -> None:
    failure = Failure(scenario=HOSTILE, outcome=HOSTILE, detail=HOSTILE)
    report = replace(
        a_report(), headline=HOSTILE, reason=HOSTILE, scenarios={HOSTILE: (0, 1)}, failure=failure,
        findings=(replace(FOUND, place=HOSTILE, message=HOSTILE),),
    )  # fmt: skip
    assert set(suites(report)) == {"rollout", "checks", "scenarios", "gates"} | (
        {"certified"} if report.certified else set()
    )
    text = junit.render(report)
    assert "\x1b" not in text
    assert "##[" not in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
