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

from pipeline.scaffold import action, workflow

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / "docs" / "workflows").glob("*.yml"))
ACTION = yaml.safe_load((ROOT / ".github/actions/rollout/action.yml").read_text(encoding="utf-8"))
LINTER = shutil.which("actionlint") or shutil.which(
    "actionlint", path=Path("~/.cache/spillway/bin").expanduser()
)


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(made: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for job in made["jobs"].values():
        yield from job["steps"]


def test_there_are_some() -> None:
    assert [path.stem for path in WORKFLOWS] == ["promote", "rollback", "rollout", "staging-to-production"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow(path: Path) -> None:
    made = read(path)
    assert not made.get("concurrency", {}).get("cancel-in-progress")
    assert made["permissions"] == {"contents": "read", "id-token": "write"}
    used = [step for step in steps(made) if "uses" in step]
    for step in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"])
    assert not [step for step in steps(made) if "${{" in step.get("run", "")]
    (ours,) = [step for step in used if step["uses"].startswith("YOUR-ORG/")]
    assert ours["with"].keys() <= ACTION["inputs"].keys()
    names = re.findall(r"steps\.spillway\.outputs\.(\w+)", path.read_text(encoding="utf-8"))
    assert set(names) <= ACTION["outputs"].keys()


def test_what_init_writes_pins_the_same_commits() -> None:
    written = set(re.findall(r"uses: (\S+@[0-9a-f]{40} # \S+)", workflow.text("chat")))
    copied = {
        use for path in WORKFLOWS for use in re.findall(r"uses: (\S+@[0-9a-f]{40} # \S+)", path.read_text())
    }
    assert written == copied


def test_a_roll_back_waits_for_no_other_job() -> None:
    group = yaml.safe_load(workflow.text("chat"))["concurrency"]["group"]
    assert "inputs.command == 'rollback' && github.run_id ||" in group


def test_nobody_has_to_approve_a_roll_back() -> None:
    made = read(ROOT / "docs/workflows/rollback.yml")
    assert "concurrency" not in made
    assert "environment" not in made["jobs"]["rollback"]


def test_the_clock_ships_what_soaked_and_is_green_until_then() -> None:
    made = read(ROOT / "docs/workflows/staging-to-production.yml")
    (ours,) = [step for step in steps(made) if step.get("id") == "spillway"]
    assert ours["with"] | {"paused": "success"} == {
        "env": "production", "args": "--from\nstaging\n", "not-yet": "success", "paused": "success",
    }  # fmt: skip
    rolled_out = read(ROOT / "docs/workflows/rollout.yml")
    assert made["concurrency"]["group"] == rolled_out["concurrency"]["group"], "never beside each other"
    assert made[True]["schedule"] == [{"cron": "17 * * * *"}]  # YAML 1.1 reads on: as true


def test_the_page_about_ci_has_every_input_and_output() -> None:
    text = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w[\w-]*)` \|", text, re.MULTILINE))
    assert named == ACTION["inputs"].keys() | ACTION["outputs"].keys()


@pytest.mark.skipif(LINTER is None, reason="no actionlint here: make lint-workflows")
def test_the_linter_finds_nothing_in_what_init_writes(tmp_path: Path) -> None:
    """In a repository, where it reads the action's inputs and outputs, too."""
    assert LINTER
    (tmp_path / ".git").mkdir()
    for path, text in {workflow.FILE: workflow.text("chat"), **action.files()}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    file = tmp_path / workflow.FILE
    assert lint(LINTER, tmp_path) == ""
    file.write_text(workflow.text("chat").replace("paused: success", "pause: success"))
    assert 'input "pause" is not defined' in lint(LINTER, tmp_path)


def lint(linter: str, root: Path) -> str:
    done = subprocess.run(
        [linter, "-no-color", "-shellcheck=", workflow.FILE],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.skipif(LINTER is None, reason="no actionlint here: make lint-workflows")
def test_the_formats_own_linter_finds_nothing() -> None:
    assert LINTER
    done = subprocess.run(
        [LINTER, "-no-color", "-shellcheck=", *WORKFLOWS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
