"""The workflows that are there to be copied: pinned, uncancelled, and in the words of the action."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / "docs" / "workflows").glob("*.yml"))
ACTION = yaml.safe_load((ROOT / ".github/actions/rollout/action.yml").read_text(encoding="utf-8"))
LINTER = shutil.which("actionlint") or shutil.which(
    "actionlint", path=Path("~/.cache/spillway/bin").expanduser()
)


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def test_there_are_some() -> None:
    assert [path.stem for path in WORKFLOWS] == ["promote", "rollback", "rollout"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow(path: Path) -> None:
    workflow = read(path)
    assert not workflow.get("concurrency", {}).get("cancel-in-progress")
    assert workflow["permissions"] == {"contents": "read", "id-token": "write"}
    used = [step for step in steps(workflow) if "uses" in step]
    for step in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])
    assert not [step for step in steps(workflow) if "${{" in step.get("run", "")]
    (ours,) = [step for step in used if step["uses"].startswith("YOUR-ORG/")]
    assert ours["with"].keys() <= ACTION["inputs"].keys()
    names = re.findall(r"steps\.spillway\.outputs\.(\w+)", path.read_text(encoding="utf-8"))
    assert set(names) <= ACTION["outputs"].keys()


def test_nobody_has_to_approve_a_roll_back() -> None:
    workflow = read(ROOT / "docs/workflows/rollback.yml")
    assert "concurrency" not in workflow
    assert "environment" not in workflow["jobs"]["rollback"]


def test_the_page_about_ci_has_every_input_and_output() -> None:
    text = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w[\w-]*)` \|", text, re.MULTILINE))
    assert named == ACTION["inputs"].keys() | ACTION["outputs"].keys()


@pytest.mark.skipif(LINTER is None, reason="no actionlint here: make lint-workflows")
def test_the_formats_own_linter_finds_nothing() -> None:
    assert LINTER
    done = subprocess.run(
        [LINTER, "-no-color", "-shellcheck=", *WORKFLOWS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
