"""As much of GitHub's runner as a composite action needs: inputs, steps, files for outputs and pages, cancelling.

Source: docs.github.com/actions, "Metadata syntax" and "Workflow cancellation reference": SIGINT, after 7.5 s SIGTERM, after
2.5 s more SIGKILL, each to the step's shell; steps that say ``always()`` run all the same.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.project import TIMEOUT_S, Project

ACTION = Path(__file__).parents[2] / ".github" / "actions" / "rollout"
_EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")
_OUTCOME_MISSING = (
    "always() && (steps.run.outputs.outcome == '' || steps.run.outputs.outcome == 'interrupted')"
)


@dataclass(slots=True)
class Job:
    """One use of the action in a project. ``run`` may be asked again: each time it is a new job's."""

    project: Project
    folder: Path
    values: dict[str, str] = field(default_factory=dict)
    said: str = ""
    page: str = ""
    failed: bool = False

    def run(
        self, *, signals: tuple[int, ...] = (), when: Callable[[], bool] = lambda: True, **inputs: str
    ) -> Job:
        """Args: signals: what the runner sends to the step's shell once ``when`` holds, one after the other."""
        action = yaml.safe_load((ACTION / "action.yml").read_text(encoding="utf-8"))
        self.folder.mkdir(exist_ok=True)
        self.values, self.said, self.page, self.failed = {}, "", "", False
        given = {name: spec.get("default", "") for name, spec in action["inputs"].items()}
        assert inputs.keys() <= given.keys()
        given |= {"install": "false", "working-directory": str(self.project.folder), **inputs}
        for step in action["runs"]["steps"]:
            if self._is_due(step.get("if", ""), given):
                self._step(step, given, signals if step.get("id") == "run" else (), when)
        for name, spec in action["outputs"].items():
            assert _EXPRESSION.fullmatch(spec["value"]), name
        return self

    def outputs(self) -> Mapping[str, str]:
        """As a workflow sees them."""
        action = yaml.safe_load((ACTION / "action.yml").read_text(encoding="utf-8"))
        return {name: self._expand(spec["value"], {}) for name, spec in action["outputs"].items()}

    def _is_due(self, condition: str, given: Mapping[str, str]) -> bool:
        match condition:
            case "":
                return not self.failed
            case "inputs.install != 'false'":
                return given["install"] != "false" and not self.failed
            case _:
                assert condition == _OUTCOME_MISSING, condition
                return self.values.get("outcome", "") in ("", "interrupted")

    def _expand(self, text: str, given: Mapping[str, str]) -> str:
        def value(match: re.Match[str]) -> str:
            kind, _, name = match[1].partition(".")
            if kind == "inputs":
                return given[name]
            assert match[1].startswith("steps.run.outputs."), match[1]
            return self.values.get(match[1].rpartition(".")[2], "")

        return _EXPRESSION.sub(value, text)

    def _step(
        self,
        step: Mapping[str, Any],
        given: Mapping[str, str],
        signals: tuple[int, ...],
        when: Callable[[], bool],
    ) -> None:
        assert "${{" not in step["run"], "an expression in a script would be run"
        assert step["shell"] == "bash"
        script, outputs, page = (self.folder / name for name in ("step.sh", "outputs", "page"))
        script.write_text(step["run"], encoding="utf-8")
        outputs.write_text("")
        page.write_text("")
        bin_folder = Path(sys.executable).parent
        environ = {
            **self.project.environ,
            **{name: self._expand(value, given) for name, value in step.get("env", {}).items()},
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_ACTIONS": "true", "GITHUB_ACTION_PATH": str(ACTION),
            "GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(page),
        }  # fmt: skip
        process = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=self._expand(step.get("working-directory", str(self.project.folder)), given), env=environ,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            preexec_fn=_heed_interrupts,  # noqa: PLW1509 - nothing is locked in the child before it is bash
        )  # fmt: skip
        with process:
            if signals:
                while not when() and process.poll() is None:
                    time.sleep(0.05)
            for number in signals:
                if number == signal.SIGKILL:  # the runner ends what its job left, too
                    os.killpg(process.pid, number)
                    break
                process.send_signal(number)
                _wait_a_little(process)
            told, _ = process.communicate(timeout=TIMEOUT_S)
        self.said += told
        self.page += page.read_text()
        self.values |= dict(line.split("=", 1) for line in outputs.read_text().splitlines())
        self.failed = self.failed or process.returncode != 0


def _heed_interrupts() -> None:
    """A shell cannot trap what was ignored when it began, as SIGINT is in whatever a shell runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _wait_a_little(process: subprocess.Popen[str]) -> None:
    """What a runner grants before the next signal."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=7.5)
