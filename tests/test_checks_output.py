"""One report in five forms: what each says, that it is valid, and that nothing in a checked file gets out of hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from msgspec.structs import replace

from checks.finding import Confidence, Edit, Finding, Fix, Report, Severity, Skipped, Step, seen_from
from checks.output import sarif
from checks.output.document import as_dict, from_json, render_json
from checks.output.github import render_github
from checks.output.junit import render_junit
from checks.output.text import render_text
from checks.rules import BY_NAME
from checks.runner import run
from tests import sarif_schema
from tests.checks_corpus import incident

UNSAFE = Finding(
    "json-safe-logs",
    "app/ws.py",
    7,
    12,
    Severity.ERROR,
    Confidence.HIGH,
    "ws.client_state is an enum: extra cannot write it",
    trail=(Step("app/ws.py", 3, "ws is set here"), Step("app/states.py", 1, "enum State is defined here")),
    text='\tlog.info("a", extra={"s": ws.client_state})',
    print="p1",
)
DOUBTFUL = replace(UNSAFE, line=9, confidence=Confidence.MEDIUM, trail=(), print="p2")
COPY = Finding(
    "single-source",
    "app/auth.py",
    3,
    1,
    Severity.ERROR,
    Confidence.HIGH,
    "second definition",
    fix=Fix("import it", (Edit("app/auth.py", (3, 0), (5, 0), ""),)),
    text="def tell(state):",
    print="p3",
)
UNUSED = Finding("suppression", "app/a.py", 1, 1, Severity.WARNING, Confidence.HIGH, "unused", print="p4")
NOTE = Finding("repeated", "app/z.py", 1, 1, Severity.NOTE, Confidence.MEDIUM, "twice", print="p5")
REPORT = Report(
    (COPY, UNSAFE, DOUBTFUL, UNUSED, NOTE),
    (Skipped("app/broken.py", "does not parse: invalid syntax", 4),),
    files=12,
    seconds=0.25,
    additive_only=False,
    rules=("single-source", "json-safe-logs"),
)
HOSTILE = "\x1b[31m::error::%0A\n,]]><b>&\"'\u202e\udcff"


def many(severity: Severity, count: int) -> tuple[Finding, ...]:
    return tuple(replace(UNSAFE, severity=severity, line=n, message=f"m{n}") for n in range(1, count + 1))


def hostile() -> Report:
    bad = replace(
        UNSAFE, path=HOSTILE, message=HOSTILE, text=HOSTILE, trail=(Step(HOSTILE, 1, HOSTILE),), print="p"
    )
    return Report((bad,), (Skipped(HOSTILE, HOSTILE),))


def test_text_shows_place_line_caret_way_and_fix() -> None:
    text = render_text(REPORT)
    assert (
        "app/ws.py:7:12: error[json-safe-logs] ws.client_state is an enum: extra cannot write it\n"
        "  |\n"
        '7 |  log.info("a", extra={"s": ws.client_state})\n'
        "  |            ^\n"
        "  from app/ws.py:3: ws is set here\n"
        "  from app/states.py:1: enum State is defined here\n"
    ) in text
    assert "app/auth.py:3:1: error[single-source] second definition\n" in text
    assert "  fix: import it (--fix)\n" in text
    assert "(medium confidence)" in text
    assert "not checked:\n  - app/broken.py:4: does not parse: invalid syntax\n" in text
    assert text.endswith(
        "3 errors, 1 warning, 1 note, 2 fail the gate, 1 not checked in 12 files, 0.25 s; additive only: no\n"
    )


def test_text_of_nothing() -> None:
    assert render_text(Report((), files=3, seconds=0.1)) == "no findings in 3 files, 0.10 s\n"


def test_a_long_way_is_cut_and_counted() -> None:
    long = replace(NOTE, trail=tuple(Step(f"f{n}.py", n, "here too") for n in range(1, 31)))
    text = render_text(Report((long,)))
    assert text.count("here too") == 8
    assert "  and 22 more\n" in text


def test_json_carries_what_others_rely_on() -> None:
    document = json.loads(render_json(REPORT))
    asked = ("rule", "path", "line", "column", "severity", "confidence", "message")
    assert [tuple(f[key] for key in asked) for f in document["findings"]][:2] == [
        ("single-source", "app/auth.py", 3, 1, "error", "high", "second definition"),
        ("json-safe-logs", "app/ws.py", 7, 12, "error", "high", UNSAFE.message),
    ]
    assert document["skipped"] == [
        {"path": "app/broken.py", "line": 4, "reason": "does not parse: invalid syntax"}
    ]
    assert (document["files"], document["failed"], document["additive_only"]) == (12, True, False)
    assert document["rules"] == ["single-source", "json-safe-logs"]


@pytest.mark.parametrize("report", [REPORT, Report(()), hostile()], ids=["all", "none", "hostile"])
def test_a_report_comes_back_from_its_document(report: Report) -> None:
    back = from_json(render_json(report))
    assert as_dict(back) == as_dict(report)
    assert [f.fails_gate for f in back.findings] == [f.fails_gate for f in report.findings]
    assert [f.place for f in back.findings] == [f.place for f in report.findings]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 2), ("findings", 3), ("findings", [{}]), ("findings", [[]]), ("findings", None),
        ("skipped", [1]), ("files", "many"), ("files", float("inf")), ("seconds", None), ("rules", 1),
    ],
)  # fmt: skip
def test_what_is_no_document_of_a_report_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_json(json.dumps(as_dict(REPORT) | {key: value}))


@pytest.mark.parametrize(
    "report",
    [REPORT, Report(()), Report((replace(UNSAFE, path="", line=0),))],
    ids=["all", "none", "no place"],
)
def test_sarif_is_valid(report: Report) -> None:
    document = json.loads(sarif.render_sarif(report))
    jsonschema.Draft202012Validator(sarif_schema.SCHEMA).validate(document)
    rules = document["runs"][0]["tool"]["driver"]["rules"]
    for result in document["runs"][0]["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_the_schema_refuses_what_the_standard_refuses() -> None:
    validator = jsonschema.Draft202012Validator(sarif_schema.SCHEMA)
    broken: list[dict[str, Any]] = [{"version": "2.0.0", "runs": []}, {"version": "2.1.0"}]
    for change in ({"level": "fatal"}, {"message": {}}, {"place": "here"}):
        document = sarif.as_sarif(REPORT)
        document["runs"][0]["results"][0] |= change
        broken.append(document)
    assert not any(validator.is_valid(document) for document in broken)


def test_sarif_levels_places_and_ways() -> None:
    results = sarif.as_sarif(REPORT)["runs"][0]["results"]
    assert [r["level"] for r in results] == ["error", "error", "warning", "warning", "note"]
    place = results[1]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "app/ws.py"
    assert place["region"] == {"startLine": 7, "startColumn": 12}
    (flow,) = results[1]["codeFlows"][0]["threadFlows"]
    lines = [step["location"]["physicalLocation"]["region"]["startLine"] for step in flow["locations"]]
    assert lines == [3, 1, 7], "the way of the value, and its end"
    assert {r["partialFingerprints"]["spillwayFinding/v1"] for r in results} == {"p1", "p2", "p3", "p4", "p5"}


def test_every_rule_has_a_descriptor() -> None:
    named = {rule["id"] for rule in sarif.as_sarif(REPORT)["runs"][0]["tool"]["driver"]["rules"]}
    assert named == {*BY_NAME, "suppression"}


def test_github_tells_the_worst_first() -> None:
    assert render_github(REPORT).splitlines() == [
        "::error file=app/auth.py,line=3,col=1,title=single-source::second definition",
        f"::error file=app/ws.py,line=7,col=12,title=json-safe-logs::{UNSAFE.message}",
        f"::warning file=app/ws.py,line=9,col=12,title=json-safe-logs::{UNSAFE.message}",
        "::warning file=app/a.py,line=1,col=1,title=suppression::unused",
        "::notice file=app/z.py,line=1,col=1,title=repeated::twice",
    ]


def test_github_gets_ten_of_a_kind_and_a_word_about_the_rest() -> None:
    report = Report((*many(Severity.ERROR, 13), *many(Severity.WARNING, 10), *many(Severity.NOTE, 11)))
    lines = render_github(report).splitlines()
    kinds = [line.split(" ")[0] for line in lines]
    assert {kind: kinds.count(kind) for kind in kinds} == {"::error": 10, "::warning": 10, "::notice": 10}
    assert lines[-1].endswith("::left out here: 3 errors, 2 notices; the log has them all")


def test_junit_counts_and_names() -> None:
    suite = ET.fromstring(render_junit(REPORT)).find("testsuite")
    assert suite is not None
    counts = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "5", "failures": "2", "errors": "0", "skipped": "3"}
    failed = [case.get("classname") for case in suite if case.find("failure") is not None]
    assert failed == ["single-source", "json-safe-logs"]
    assert suite[0].get("file") == "app/auth.py"


def test_junit_of_nothing_is_one_passed_case() -> None:
    suite = ET.fromstring(render_junit(Report(()))).find("testsuite")
    assert suite is not None
    assert [list(case) for case in suite] == [[]]


@pytest.mark.parametrize(
    "render", [render_text, render_json, render_github, render_junit, sarif.render_sarif]
)
def test_nothing_in_a_file_gets_out_of_hand(render: Callable[[Report], str]) -> None:
    text = render(hostile())
    text.encode()
    assert "\x1b" not in text
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::error::")]
    if render is sarif.render_sarif:
        jsonschema.Draft202012Validator(sarif_schema.SCHEMA).validate(json.loads(text))
    if render is render_junit:
        assert len(ET.fromstring(text)) == 1
    if render is render_github:
        assert len(text.splitlines()) == 1


def test_paths_as_somebody_else_sees_them() -> None:
    seen = seen_from(REPORT, "/top/src", "/top")
    assert seen.findings[1].path == "src/app/ws.py"
    assert seen.findings[1].trail[1].path == "src/app/states.py"
    assert seen.skipped[0].path == "src/app/broken.py"
    outside = replace(REPORT, findings=(replace(COPY, path="../spillway.yaml"),))
    assert seen_from(outside, "/top/src", "/top").findings[0].path == "spillway.yaml"
    assert seen_from(outside, "/top/src", "/top/src/app/deep").findings[0].path == "../../../spillway.yaml"
    assert seen_from(REPORT, "/top/src", "/top/src/app/deep").findings[1].path == "../ws.py"
    assert seen_from(REPORT, "/top/src", "/other").findings[1].path == "/top/src/app/ws.py"
    assert seen_from(REPORT, "/top", "/top") is REPORT


def test_order_and_prints_do_not_depend_on_the_run(tmp_path: Path) -> None:
    root = incident.plant(tmp_path)
    reports = [run(root, incident.SETTINGS, jobs=jobs, cache=False) for jobs in (1, 1, 2)]
    forms = {json.dumps(as_dict(replace(report, seconds=0))) for report in reports}
    assert len(forms) == 1
    places = [(f.path, f.line) for f in reports[0].findings]
    assert places == sorted(places)


def test_a_print_survives_what_is_written_above_it(tmp_path: Path) -> None:
    root = incident.plant(tmp_path)
    before = {f.print for f in run(root, incident.SETTINGS, cache=False).findings}
    route = root / "routes/websocket.py"
    route.write_text("# one\n# two\n" + route.read_text())
    assert {f.print for f in run(root, incident.SETTINGS, cache=False).findings} == before
    assert len(before) == len(run(root, incident.SETTINGS, cache=False).findings)
