"""A report as JUnit XML, for CI's own page of test results: the rollout, its checks, scenarios, commands and gates.  PURE.

A case fails where a person has to look, and is skipped where nothing was decided. What a rollout that ended well was
allowed is no failure: the page must not deny the exit code.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from msgspec import Struct

from pipeline.judging.judgement import Verdict
from pipeline.redact import SINK, uncommanded
from pipeline.report.banner import Tone
from pipeline.report.document import Report
from pipeline.report.gates import Gate
from pipeline.report.journal_lines import Validation

_RESULTS = {Tone.GOOD: "", Tone.BAD: "failure", Tone.WAITING: "skipped"}


class Case(Struct, frozen=True):
    """One test case. ``result``: "failure", "skipped", or empty where it passed; ``text``: lines beneath it."""

    name: str
    result: str = ""
    message: str = ""
    text: Sequence[str] = ()


def render(report: Report) -> str:
    """The document, harmless for an XML reader and in a CI log."""
    suites = {
        "rollout": [Case(report.headline, _RESULTS[report.tone], report.reason or report.impact)],
        "checks": list(_checks(report)),
        "scenarios": list(_scenarios(report)),
        "commands": [_command(each) for each in report.validations],
        "gates": [_gate(gate) for gate in report.gates],
        "certified": [_gate(gate) for gate in report.certified],
    }
    body = "".join(_suite(name, cases, report) for name, cases in suites.items() if cases)
    head = f"<testsuites name={_quoted(f'spillway {report.rollout_id}.{report.attempt}')}>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}\n{body}</testsuites>\n'


def _checks(report: Report) -> Iterator[Case]:
    if report.findings is None:
        yield Case("static checks", "skipped", "none was handed to this report")
        return
    if not report.findings:
        yield Case("static checks")
    for found in report.findings:
        # The gate of the checks stood before the first write: what it let pass fails nothing here.
        yield Case(f"{found.place} {found.rule}", "skipped", found.message, [found.fix] if found.fix else ())


def _scenarios(report: Report) -> Iterator[Case]:
    failure = report.failure
    for name, (ok, held) in report.scenarios.items():
        words = f"{ok:,} of {held:,} conversations ok"
        if ok == held:
            yield Case(name, text=[words])
            continue
        result = "skipped" if report.tone is Tone.GOOD else "failure"
        if failure is not None and failure.scenario == name:
            yield Case(
                name, result, f"{words}: {failure.outcome}: {failure.detail}", report.transcript_lines()
            )
        else:
            yield Case(name, result, words)


def _command(ended: Validation) -> Case:
    """One of the team's own, as it ended at its stage."""
    words = "ended after its time" if ended.exit_code is None else f"exit {ended.exit_code}"
    name = f"{ended.name} at {ended.percent}%"
    return Case(name, "" if ended.is_ok else "failure", words, ended.said.splitlines())


def _gate(gate: Gate) -> Case:
    (runs, failed), limit = gate.candidate, gate.limit
    words = f"{failed:,}/{runs:,} failed, limit {limit}"
    match gate.verdict:
        case Verdict.FAIL.value:
            return Case(gate.metric, "failure", f"{words}: {gate.detail}")
        case Verdict.PASS.value:
            return Case(gate.metric, text=[words])
        case _:
            return Case(gate.metric, "skipped", f"undecided: {words}: {gate.detail}")


def _suite(name: str, cases: Sequence[Case], report: Report) -> str:
    failed, skipped = (sum(case.result == kind for case in cases) for kind in ("failure", "skipped"))
    took = report.took.total_seconds() if name == "rollout" else 0.0
    head = f'tests="{len(cases)}" failures="{failed}" errors="0" skipped="{skipped}" time="{took:.3f}"'
    lines = "".join(_element(name, case) for case in cases)
    return f'  <testsuite name="{name}" timestamp="{report.started.isoformat()}" {head}>\n{lines}  </testsuite>\n'


def _element(suite: str, case: Case) -> str:
    open_tag = f"    <testcase classname={_quoted(f'spillway.{suite}')} name={_quoted(case.name)}>"
    text = "".join(f"{html.escape(_shown(line))}\n" for line in case.text)
    inside = f"\n      <system-out>{text}</system-out>" if text and not case.result else ""
    if case.result:
        inside = f"\n      <{case.result} message={_quoted(case.message)}>{text}</{case.result}>"
    return f"{open_tag}{inside}\n    </testcase>\n"


def _quoted(text: str) -> str:
    return f'"{html.escape(_shown(text))}"'


def _shown(text: str) -> str:
    return uncommanded(SINK.shown(text))
