"""What the README says is what the program does."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from pipeline import errors
from pipeline.cli.app import app
from pipeline.config import schema
from pipeline.model import Outcome

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
MAKEFILE = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")


def commands() -> set[str]:
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    return set(group.commands)


def test_every_command_is_named() -> None:
    table = README.split("## Commands")[1].split("## Exit codes")[0]
    assert set(re.findall(r"`spillway (\w+)", table)) == commands()


def test_every_exit_code_is_told() -> None:
    told = {
        int(code) for row in re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE) for code in row.split(",")
    }
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.SpillwayError)
    ]
    used = (
        {o.exit_code for o in Outcome}
        | {kind.exit_code for kind in kinds}
        | {errors.INTERRUPTED, errors.TERMINATED, 20, 21}
    )
    assert told == used


def test_the_configuration_is_one() -> None:
    text = README.split("```yaml\n")[1].split("```")[0]
    assert schema.parse(text).service == "agent-chat"
    assert len(text.splitlines()) == 12


def test_the_container_section_is_one() -> None:
    first, *_, section = (text.split("```")[0] for text in README.split("```yaml\n")[1:])
    assert section.startswith("container:")
    assert schema.parse(first + section).container.template["volumes"]


def test_every_make_target_is_there() -> None:
    for target in re.findall(r"`make ([\w-]+)`", README):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_teaches(name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pipeline", name, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert name == "local" or "Example" in run.stdout


def test_the_calls_by_hand_are_answered(tmp_path: Path) -> None:
    if not (shutil.which("curl") and shutil.which("bash")):
        pytest.skip("curl or bash is not here")
    script = README.split("### The local Cloud Run over HTTP")[1].split("```bash\n")[1].split("```")[0]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    here = {name: value for name, value in os.environ.items() if not name.startswith("SPILLWAY_")}
    run = ["bash", "-eu", "-c", f"trap 'spillway local down' EXIT\n{script}"]
    done = subprocess.run(
        run, cwd=tmp_path, env={**here, "PATH": path}, capture_output=True, text=True, check=True
    )
    created, patched, got = re.findall(r"^{\n.*?^}$", done.stdout, re.MULTILINE | re.DOTALL)
    assert "/operations/" in json.loads(created)["name"]
    assert json.loads(patched)["metadata"]["description"] == "by hand"
    assert json.loads(got)["description"] == "by hand"
    assert [each["image"] for each in json.loads(got)["template"]["containers"]] == ["app"]


def test_help_imports_no_cloud() -> None:
    code = (
        "import sys\nfrom pipeline.cli.main import run\nrun(['--help'])\n"
        "heavy = {'google', 'grpc', 'pulumi', 'pulumi_gcp', 'aiohttp', 'pydantic', 'jinja2', 'websockets', 'requests'}\n"
        "print(sorted(heavy & {m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stderr.splitlines()[-1] == "[]"
