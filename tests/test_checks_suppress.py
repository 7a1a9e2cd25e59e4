"""Comments that silence a finding: when they count, when they do not, and that none outlives its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.finding import Finding
from checks.runner import run
from checks.settings import JsonSafeLogs, Settings, SingleSource
from checks.suppress import comments
from tests.test_checks_examples import plant

HEAD = "import logging\n\nlogger = logging.getLogger(__name__)\n\n\ndef tell(websocket):\n"
CALL = '    logger.info("open", extra={"state": websocket.client_state})'
LOGS = Settings(json_safe_logs=JsonSafeLogs())
BOTH = Settings(json_safe_logs=JsonSafeLogs(), single_source=(SingleSource("tell", "home.py"),))


def check(root: Path, body: str, settings: Settings = LOGS, only: list[str] | None = None) -> list[Finding]:
    plant(root, {"home.py": "def tell(websocket):\n    return 1\n", "a.py": body})
    found = run(root, settings, only=only, jobs=1, cache=False).findings
    return [f for f in found if f.path == "a.py"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            f"{HEAD}{CALL}  # spillway: ignore[json-safe-logs] the handler knows enums\n", id="behind"
        ),
        pytest.param(
            f"{HEAD}    # spillway: ignore[json-safe-logs] the handler knows enums\n{CALL}\n", id="above"
        ),
        pytest.param(
            f"{HEAD}    # spillway: ignore[json-safe-logs] reason\n\n    # more words\n{CALL}\n",
            id="further above",
        ),
        pytest.param(f"{HEAD}{CALL}  #spillway:ignore[json-safe-logs]: reason\n", id="tight"),
        pytest.param(f"{HEAD}{CALL}  # spillway: ignore[ json-safe-logs ] - reason\n", id="loose"),
    ],
)
def test_silences(body: str, tmp_path: Path) -> None:
    assert check(tmp_path, body) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(
            f"{HEAD}{CALL}  # spillway: ignore[json-safe-logs]\n", "has no reason", id="without a reason"
        ),
        pytest.param(f"{HEAD}{CALL}  # spillway: ignore because\n", "names no rule", id="without a rule"),
        pytest.param(
            f"{HEAD}{CALL}  # spillway: ignore[json] because\n", "unknown rule: json", id="unknown rule"
        ),
    ],
)
def test_does_not_count(body: str, told: str, tmp_path: Path) -> None:
    found = check(tmp_path, body)
    assert {f.rule for f in found} == {"json-safe-logs", "suppression"}
    (complaint,) = [f for f in found if f.rule == "suppression"]
    assert told in complaint.message
    assert not complaint.fails_gate


def test_one_that_silences_nothing_is_a_finding(tmp_path: Path) -> None:
    (found,) = check(tmp_path, "x = 1  # spillway: ignore[json-safe-logs] long ago\n")
    assert (found.rule, found.line, found.column) == ("suppression", 1, 8)
    assert "unused suppression of json-safe-logs" in found.message


def test_a_rule_that_did_not_run_is_not_called_unused(tmp_path: Path) -> None:
    body = "x = 1  # spillway: ignore[json-safe-logs] long ago\n"
    assert check(tmp_path, body, BOTH, only=["single-source"]) == []


def test_two_rules_at_once_and_each_must_be_needed(tmp_path: Path) -> None:
    both = "def tell(w): logger.info('a', extra={'s': w.client_state})  # spillway: ignore[json-safe-logs, single-source] ok\n"
    head = "import logging\nlogger = logging.getLogger(__name__)\n"
    assert check(tmp_path, head + both, BOTH) == []
    (found,) = check(tmp_path, head + both.replace("def tell", "def say"), BOTH)
    assert "unused suppression of single-source:" in found.message


def test_only_its_own_line(tmp_path: Path) -> None:
    silent = f"{CALL}  # spillway: ignore[json-safe-logs] reason\n"
    (found,) = check(tmp_path, f"{HEAD}{silent}{CALL}\n")
    assert found.line == 8


def test_a_string_is_no_comment() -> None:
    assert (
        comments(b'x = "# spillway: ignore[json-safe-logs] reason"\n"""\n# spillway: ignore[a] b\n"""\n')
        == []
    )


def test_a_file_that_cannot_be_parsed_has_no_unused_ones(tmp_path: Path) -> None:
    body = f"{HEAD}{CALL}  # spillway: ignore[json-safe-logs] reason\ndef broken(:\n"
    assert check(tmp_path, body) == []


def test_additive_only_is_not_made_true_by_a_comment(tmp_path: Path) -> None:
    before = plant(tmp_path / "before", {"a.py": "def f(x, y):\n    return x\n"})
    silenced = "def f(x):  # spillway: ignore[additive] nobody passes y\n    return x\n"
    now = plant(tmp_path / "now", {"a.py": silenced})
    report = run(now, Settings(), base=str(before), jobs=1, cache=False)
    assert report.findings == ()
    assert report.additive_only is False
