"""The incident's tree: every cause is found where it is, and what a machine can mend is mended, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks import fix
from checks.finding import Report
from checks.runner import run
from checks.tree import files
from tests.checks_corpus import incident
from tests.test_checks_examples import plant


def check(root: Path, jobs: int = 1) -> Report:
    return run(root, incident.SETTINGS, jobs=jobs, cache=False)


def mend(root: Path) -> int:
    files, refused = fix.plan(root, check(root).findings)
    assert not refused
    fix.write(root, files)
    return len(files)


@pytest.mark.parametrize("rule", incident.EXPECTED)
def test_finds_exactly_the_causes(rule: str, tmp_path: Path) -> None:
    report = check(incident.plant(tmp_path))
    assert report.files == len([name for name in incident.FILES if name.endswith(".py")])
    assert {(f.path, f.line) for f in report.findings if f.rule == rule} == incident.EXPECTED[rule]
    assert all(f.fails_gate for f in report.findings)
    assert not report.skipped


def test_names_the_home_and_the_missing_event(tmp_path: Path) -> None:
    findings = check(incident.plant(tmp_path)).findings
    assert all(incident.HOME in f.message for f in findings if f.rule == "single-source")
    (missing,) = [f for f in findings if f.rule == "event-map"]
    assert "'execute_agent' is not mapped" in missing.message


@pytest.mark.parametrize("style", incident.DISPATCHED)
def test_the_missing_event_is_found_in_other_dispatch_and_what_to_write_is_said(
    style: str, tmp_path: Path
) -> None:
    texts, settings = incident.dispatched(style)
    report = run(plant(tmp_path, texts), settings, only=["event-map"], jobs=1, cache=False)
    (missing,) = report.findings
    assert missing.fails_gate
    assert missing.path == incident.DISPATCH_HOME
    assert missing.message.startswith("'execute_agent' is not handled")
    assert missing.message.endswith(f"write: {incident.DISPATCHED[style][1]}")
    assert missing.fix is None


def test_two_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("checks.run.pool.WORTH_PROCESSES_BYTES", 1000)
    root = incident.plant(tmp_path)
    assert check(root, jobs=2).findings == check(root, jobs=1).findings


def test_fix_leaves_what_needs_a_person(tmp_path: Path) -> None:
    root = incident.plant(tmp_path)
    assert mend(root) == len(incident.COPIES) + 1
    left = check(root)
    assert {f.rule for f in left.findings} == {"json-safe-logs"}
    assert {f.path for f in left.findings} == {path for path, _ in incident.EXPECTED["json-safe-logs"]}
    assert mend(root) == 0, "the second time there is nothing to do"


def test_fix_leaves_formatting_alone(tmp_path: Path) -> None:
    root = incident.plant(tmp_path)
    mend(root)
    pool = files.read(root, "services/websocket_connection_pool.py").decode()
    assert pool.startswith(
        '"""Open connections by user."""\n\nimport json\nimport logging\nfrom datetime import datetime\n\n'
        "from fastapi import WebSocket\nfrom models.session import Session\nfrom websocket_core.utils import _safe_websocket_state_for_logging\n\n"
        "logger = logging.getLogger(__name__)\n\n\nclass WebSocketConnectionPool:\n"
    )
    types = files.read(root, "websocket_core/types.py").decode()
    before, after = incident.FILES["websocket_core/types.py"].split("\n"), types.split("\n")
    assert [line for line in after if line not in before] == ['    "execute_agent": MessageType.START_AGENT,']
    assert len(after) == len(before) + 1
