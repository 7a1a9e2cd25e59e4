"""A user's project in a folder of its own: a ``spillway.yaml``, the real command, and a local Cloud Run.

Nothing is faked here. Commands are processes, services are processes, sockets are sockets.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.cloudrun.service import CloudRun
from pipeline.local import daemon, endpoint
from pipeline.model import LiveService, Revision, ServiceRef
from tests import documents

TIMEOUT_S = 250

#: Rollouts without users: what is judged are the probes, so a stage of a second is enough.
CONFIG = """\
service: {service}
environments:
  local: {{endpoint: local, evidence: probes}}
images:
{images}
container: {{startup: 30s, deletion-protection: false}}
scenarios:
  agent-run:
    path: /ws
    send: {{type: execute_agent, payload: {{agent: triage, text: hello}}}}
    expect: [agent_started, agent_thinking, tool_executing, tool_completed, agent_completed]
    within: 20s
stages:
{stages}
probes: {{every: 1s, sessions: 2}}
heartbeat: 2s
"""
STAGES = ("{percent: 0}", "{percent: 50, soak: 500ms}", "{percent: 100, soak: 500ms}")


def image(behaviour: str = "good", build: str = "1") -> str:
    """A line under ``images:``. Another build of the same behaviour is another digest."""
    command = f'["{sys.executable}", -m, pipeline.demo.service, --behaviour, {behaviour}]'
    return f'{{command: {command}, env: {{BUILD: "{build}"}}}}'


@dataclass(slots=True)
class Done:
    """One command that ended."""

    code: int
    stdout: str
    stderr: str
    words: tuple[str, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """Its one JSON document, which is as the published schema says; with ndjson, the last line."""
        try:
            made = json.loads(self.stdout)
        except ValueError:
            made = json.loads(self.stdout.splitlines()[-1])
        if self.words:
            documents.hold(self.words, made)
        return made


@dataclass(slots=True)
class Project:
    """The folder, and what can be done in it.

    Args:
        local: state folder of the local Cloud Run.
        engine: who applies the Pulumi program.
        patience_s: seconds after which a command that has not ended is given up.
    """

    folder: Path
    local: Path
    service: str = "chat"
    engine: str = "in-process"
    patience_s: float = TIMEOUT_S

    @property
    def ref(self) -> ServiceRef:
        return ServiceRef("local", "local", self.service)

    @property
    def file(self) -> Path:
        return self.folder / "spillway.yaml"

    def configure(self, images: Mapping[str, str], stages: tuple[str, ...] = STAGES, **replaced: str) -> None:
        lines = "\n".join(f"  {name}: {value}" for name, value in images.items())
        text = CONFIG.format(
            service=self.service, images=lines, stages="\n".join(f"  - {stage}" for stage in stages)
        )
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        self.file.write_text(text, encoding="utf-8")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """The command, under way."""
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *words],
            cwd=self.folder, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *words: str) -> Done:
        """The command, ended."""
        with self.start(*words) as process:
            try:
                out, err = process.communicate(timeout=self.patience_s)
            except subprocess.TimeoutExpired:
                process.terminate()  # what it started ends with it, and its last words say how far it came
                out, err = process.communicate(timeout=TIMEOUT_S)
                pytest.fail(f"not ended after {self.patience_s:g} s: {shlex.join(words)}\n{err}")
        assert "Traceback" not in err, err
        return Done(process.returncode, out, err, words)

    def run_here(self, *words: str) -> Done:
        """The command in this process: for what is not under test, without the price of the imports."""
        result = CliRunner().invoke(app, [*words, "-C", str(self.folder)], env=self.environ)
        return Done(result.exit_code, result.stdout, result.stderr, words)

    @property
    def environ(self) -> dict[str, str]:
        ours = {k: v for k, v in os.environ.items() if not k.startswith("SPILLWAY_")}
        return {
            **ours,
            "CI": "true",
            "NO_COLOR": "1",
            "SPILLWAY_LOCAL_DIR": str(self.local),
            "SPILLWAY_ENGINE": self.engine,
        }

    @contextmanager
    def platform(self) -> Iterator[CloudRun]:
        """Cloud Run by hand, as an operator with ``gcloud`` has it."""
        with endpoint.read(self.local).channel() as channel:
            yield CloudRun.over(channel)

    def live(self) -> LiveService:
        with self.platform() as platform:
            return platform.read(self.ref)

    def revisions(self) -> tuple[Revision, ...]:
        with self.platform() as platform:
            return tuple(platform.revisions(self.ref))

    def down(self) -> None:
        daemon.down(self.local)


@contextmanager
def alone(
    folder: Path, images: Mapping[str, str], engine: str, *, strict_masks: bool = False
) -> Iterator[Project]:
    """A project on a local Cloud Run of its own, whose stable revision ``good`` this engine made."""
    made = Project(folder, folder / ".spillway" / "local", engine=engine)
    made.configure(images)
    daemon.up(made.local, {}, strict_masks=strict_masks)
    try:
        done = made.run("rollout", "--image", "good", "-o", "json")
        assert done.document["outcome"] == "first_deployment", done.stderr
        yield made
    finally:
        made.down()


def line_with(stream: Iterable[str] | None, *words: str) -> str:
    """The first line that holds one of these, as soon as it is told; empty when the stream ends without."""
    return next((line for line in stream or () if any(each in line for each in words)), "")
