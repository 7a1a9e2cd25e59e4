"""A check that was asked before is answered without the command line, and the answer is the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.app import check_cache
from pipeline.app.static_checks import subject
from pipeline.cli import quick_check
from pipeline.config import raw
from tests.checks_corpus import incident

_CONFIG = f"""\
source: src
checks:
  single-source: [{{symbol: {incident.HELPER}, home: {incident.HOME}}}]
  event-map: [{{map: LEGACY_MESSAGE_TYPE_MAP, in: websocket_core/types.py, requires: {{execute_agent: START_AGENT}}}}]
  json-safe-logs: {{safe: [{incident.HELPER}]}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The incident's tree with its configuration, and a cache of its own; we stand in it."""
    incident.plant(tmp_path / "src")
    (tmp_path / "spillway.yaml").write_text(_CONFIG)
    for name in os.environ:
        if name.startswith("SPILLWAY_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SPILLWAY_CACHE_DIR", str(tmp_path / "cache/checks"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_once() -> None:
    subject(None, Path("spillway.yaml"), is_named=False)


def test_settings_come_back_as_they_were(project: Path) -> None:
    made = subject(None, Path("spillway.yaml"), is_named=False)
    assert check_cache.load(Path("spillway.yaml")) == made


def test_a_whole_configuration_comes_back_too(project: Path) -> None:
    more = "  additive: {base: older}\n  baseline: known.json\n  exclude: ['gen/*']\n"
    service = "service: chat\nenvironments: {production: {project: acme, region: us-central1}}\n"
    scenarios = "scenarios: {run: {path: /ws, send: {type: execute_agent}, expect: [agent_started]}}\n"
    (project / "spillway.yaml").write_text(service + _CONFIG + more + scenarios)
    (project / "older").mkdir()
    made = subject(None, Path("spillway.yaml"), is_named=False)
    assert made.settings.socket_config is not None
    assert check_cache.load(Path("spillway.yaml")) == made


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["check", "--fix"],
        ["check", "src"],
        ["check", "--rule"],
        ["check", "--rule", "--fix"],
        ["check", "--explain", "event-map"],
        ["--help"],
        ["rollout"],
    ],
    ids=" ".join,
)
def test_leaves_everything_else_alone(project: Path, words: list[str]) -> None:
    read_once()
    assert quick_check.check(words) is None


def test_knows_nothing_at_first(project: Path) -> None:
    assert quick_check.check(["check"]) is None


def test_forgets_what_changed(project: Path) -> None:
    read_once()
    assert check_cache.load(Path("spillway.yaml")) is not None
    (project / "spillway.yaml").write_text(_CONFIG + "  additive: {base: older}\n")
    assert check_cache.load(Path("spillway.yaml")) is None
    read_once()
    assert check_cache.load(Path("spillway.yaml")) is not None
    (project / "older").mkdir()  # what was a ref is a folder now
    assert check_cache.load(Path("spillway.yaml")) is None


def test_what_is_kept_may_be_broken(project: Path) -> None:
    read_once()
    (kept,) = (project / "cache/settings").iterdir()
    for text in ("", "[]", "{}", '{"root": 1, "settings": {}, "is_folder": 0}', "[" * 100_000):
        kept.write_text(text)
        assert check_cache.load(Path("spillway.yaml")) is None


def test_options_from_the_environment_take_the_long_way(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_once()
    monkeypatch.setenv("SPILLWAY_OUTPUT", "json")
    assert quick_check.check(["check"]) is None


def test_a_question_that_is_wrong_takes_the_long_way(project: Path) -> None:
    read_once()
    assert quick_check.check(["check", "--rule", "no-such-rule"]) is None
    assert quick_check.check(["check", "--rule", "additive"]) is None


def test_says_the_same_and_loads_nothing(project: Path) -> None:
    code = (
        "import sys\nfrom pipeline.cli.main import run\ncode = run(['check'])\n"
        "print('typer' in sys.modules, 'pydantic' in sys.modules, code, file=sys.stderr)\n"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
        for _ in range(2)
    ]
    long, short = (run.stdout.rpartition(" in ")[0] for run in runs)  # without the seconds
    assert long == short
    assert "execute_agent" in short
    assert [run.stderr.splitlines()[-1] for run in runs] == ["True True 10", "False False 10"]


def test_an_edit_of_any_module_that_reads_it_makes_it_unknown() -> None:
    """What is remembered goes by the files of the program: all that reading a configuration loads must count."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom pipeline.app.static_checks import subject\n"
        "subject(None, Path('none.yaml'), is_named=False)\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n == 'checks.settings' or n.startswith('pipeline.')), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {Path(line) for line in done.stdout.split("\n") if line}
    assert Path(raw.__file__) in loaded
    assert loaded <= set(check_cache.read_by())
