"""What commands import: none loads what it does not use. How long they take is ``make bench``'s business."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.cli.registry import COMMANDS, GROUPS
from pipeline.local import daemon
from tests.e2e.project import Project, image

#: Prints the modules that a command imported, on the descriptor that is not a stream.
_RUN = """
import os, sys
told = os.dup(2)
from pipeline.cli import main
code = main.run(sys.argv[1:])
os.write(told, "\\n".join(["--modules", *sys.modules]).encode())
os._exit(code)
"""
#: Servers, probes and clients of HTTP; what a service or a program needs, and no look at one.
NEVER = {
    "aiohttp", "google.cloud.logging_v2.client", "google.cloud.logging_v2.services", "google.cloud.run_v2.services",
    "jinja2", "pulumi", "pulumi_gcp", "requests", "starlette", "structlog", "uvicorn", "websockets",
}  # fmt: skip
LIBRARIES = {"asyncio", "checks", "google", "grpc", "infra", "pydantic", "rich", "yaml"}


def imported(folder: Path, *words: str, code: int = 0, **environment: str) -> set[str]:
    """The modules, and the packages that they are in. Args: code: with which it ends."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SPILLWAY_")}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *words], cwd=folder, env={**ours, **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    said, _, modules = done.stderr.rpartition("--modules\n")
    assert done.returncode == code, said
    names = modules.splitlines()
    return {".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 2)}


def commands(command: object, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*words, name))


@pytest.mark.parametrize("words", [*commands(get_command(app))], ids=" ".join)
def test_help_imports_the_command_line_alone(words: tuple[str, ...], tmp_path: Path) -> None:
    """And of the commands themselves, the one that is asked for; the bare ``--help`` tells of all."""
    seen = imported(tmp_path, *words, "--help")
    assert not seen & (NEVER | LIBRARIES)
    asked = {f"pipeline.cli.{name}" for name in words[:1] or (*COMMANDS, *GROUPS)}
    assert {f"pipeline.cli.{name}" for name in (*COMMANDS, *GROUPS)} & seen == asked


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("startup")
    made = Project(folder, folder / "local")
    made.configure({"good": image()})
    daemon.up(made.local, {}, strict_masks=True)
    try:
        done = made.run_here("rollout", "--image", "good")
        assert done.code == 0, done.stderr
        yield made
    finally:
        made.down()


def test_a_watchdog_is_declared_by_messages_alone(tmp_path: Path) -> None:
    """Whoever applies one to the local Cloud Run loads no clients for it."""
    program = """
import sys
import grpc
from infra.jobs import JOB, SCHEDULE
from pipeline.local.provider.plain import PlainProvider
provider = PlainProvider(grpc.insecure_channel("127.0.0.1:1"))
place = {"project": "p", "location": "l", "region": "l", "name": "n"}
assert not any(provider.check(kind, place) for kind in (JOB, SCHEDULE))
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not NEVER & set(done.stdout.split())


def test_a_roll_back_imports_a_channel_and_messages(project: Project) -> None:
    words = ("rollback", project.ref.name, "-o", "json")
    seen = imported(project.folder, *words, "--dry-run", SPILLWAY_LOCAL_DIR=str(project.local))
    assert "google.cloud.run_v2.types" in seen
    assert not seen & (NEVER | {"checks", "google.cloud.logging_v2", "infra", "pydantic", "rich"})


def test_a_look_imports_what_it_shows(project: Project) -> None:
    seen = imported(project.folder, "status", SPILLWAY_LOCAL_DIR=str(project.local))
    assert "rich" in seen
    assert not seen & (NEVER | {"infra", "pydantic", "urllib.request", "websockets"})
    assert not seen & {f"pipeline.framing.{name}" for name in ("graphql", "message_pack", "socket_io")}
    assert not seen & {f"pipeline.report.{name}" for name in ("examples", "journal_lines", "timeline")}
    assert {name for name in seen if name.startswith("checks.")} <= {
        "checks.settings"
    }  # the file's schema has them


def test_a_look_at_a_service_that_is_named_in_full_needs_no_configuration(
    project: Project, tmp_path: Path
) -> None:
    environ = {"SPILLWAY_LOCAL_DIR": str(project.local)}
    words = ["status", project.ref.name, "-o", "json", "-C", str(tmp_path)]
    done = CliRunner().invoke(app, words, env=environ)
    assert json.loads(done.stdout)["service"] == project.ref.name, done.stderr
    assert done.exit_code == 0
    idle = CliRunner().invoke(app, [*words, "--env", "staging"], env=environ)
    assert (idle.exit_code, "of no use" in idle.stderr) == (2, True)


def test_a_check_imports_no_cloud_and_no_schema_library(tmp_path: Path) -> None:
    (tmp_path / "spillway.yaml").write_text("checks: {json-safe-logs: {}}\n")
    seen = imported(tmp_path, "check", "--rule", "json-safe-logs")
    assert "checks.runner" in seen
    assert not seen & (NEVER | LIBRARIES - {"checks", "yaml"})


def test_a_plan_imports_the_program_and_no_client(project: Project) -> None:
    project.configure({"good": image(), "next": image(build="2")})
    seen = imported(project.folder, "plan", "--image", "next", SPILLWAY_LOCAL_DIR=str(project.local))
    assert "pulumi_gcp" in seen
    assert not seen & (NEVER - {"pulumi", "pulumi_gcp", "requests"} | {"checks.runner"})


def test_a_load_run_imports_what_holds_conversations(tmp_path: Path) -> None:
    """In memory it is held to a quarter of another tool's: see ``bench/probe_load.py``."""
    (tmp_path / "spillway.yaml").write_text(
        "service: s\nenvironments: {local: {endpoint: local}}\nscenarios: {talk: {path: /ws, expect: [done]}}\n"
    )
    words = ("probe", "http://127.0.0.1:1", "--sessions", "2", "--concurrency", "2", "-o", "json")
    seen = imported(tmp_path, *words, code=21)
    assert "websockets.client" in seen
    assert not seen & (NEVER - {"websockets"} | {"google", "grpc", "infra", "pydantic", "rich"})


def test_a_roll_back_is_not_refused_for_a_configuration_that_may_not_be_read(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    words = ["rollback", project.ref.name, "--dry-run", "-c", str(project.file), "-C", str(project.folder)]
    done = CliRunner().invoke(app, words, env={"SPILLWAY_LOCAL_DIR": str(project.local)})
    assert done.exit_code == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "xml"), "'text', 'json', 'ndjson'"),
        (("--verbose=x",), "verbose"),
        (("--to",), "--to"),
        (("a", "b"), "unexpected"),
    ],
)
def test_what_is_no_word_of_a_command_is_told_by_typer(words: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, ["rollback", *words])
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize("number", ["0", "10001", "1e3", "-1", "\u0665\u0666,", "9" * 5000, ""])
def test_a_number_out_of_its_bounds_is_told_by_typer(number: str) -> None:
    done = CliRunner().invoke(app, ["probe", "http://127.0.0.1:1", "--sessions", number])
    assert (done.exit_code, "--sessions" in done.stderr) == (2, True)
