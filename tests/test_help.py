"""What the command line says of itself: its version, its exit codes, and the environment variable of each option."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pipeline.cli import exit_codes
from pipeline.cli.app import app
from pipeline.model import Outcome
from tests.test_exit_codes import ERRORS
from tests.test_readme import README

SERVICE = "projects/local/locations/local/services/chat"


def options(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every option of every command, with where it is."""
    if hasattr(command, "commands"):
        for name, one in command.commands.items():
            yield from options(one, f"{path} {name}".strip())
        return
    for each in command.params:
        if each.param_type_name == "option" and each.name != "help":
            yield path, each


def test_the_version_is_told() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert re.fullmatch(r"spillway \d+\.\d+\.\d+\n", done.stdout)


def test_each_option_is_named_in_the_environment() -> None:
    every = list(options(get_command(app)))
    assert len(every) > 100
    for path, option in every:
        longest = max(option.opts, key=len)
        ours = f"SPILLWAY_{longest.lstrip('-').replace('-', '_').upper()}"
        if (path, longest) == ("local logs", "--project"):  # of another cloud than SPILLWAY_PROJECT
            ours = "SPILLWAY_LOCAL_PROJECT"
        assert option.envvar == ours, f"{path} {longest}"


@pytest.mark.parametrize(
    ("line", "variables", "told"),
    [
        ("rollout --image x", {"SPILLWAY_TIMEOUT": "soon"}, "--timeout"),
        ("promote", {"SPILLWAY_TO_PERCENT": "101"}, "SPILLWAY_TO_PERCENT"),
        ("demo", {"SPILLWAY_ONLY": "z"}, "no chapter 'z'"),
        ("check", {"SPILLWAY_RULE": "no-such-rule"}, "no-such-rule"),
        ("local logs", {"SPILLWAY_FOLLOW": "1", "SPILLWAY_OUTPUT": "json"}, "--follow"),
    ],
)
def test_the_environment_is_heard(line: str, variables: dict[str, str], told: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*line.split(), "-C", str(tmp_path)], env=variables)
    assert done.exit_code == 2, done.output
    assert told.lower() in done.stderr.lower()


def test_what_was_typed_goes_before_the_environment(tmp_path: Path) -> None:
    words = ["check", "-C", str(tmp_path)]
    quiet = CliRunner().invoke(app, words, env={"SPILLWAY_QUIET": "1"})
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    for env in ({"SPILLWAY_QUIET": "1"}, {"SPILLWAY_QUIET": "1", "SPILLWAY_VERBOSE": "2"}):
        loud = CliRunner().invoke(app, [*words, "-v"], env=env)
        assert loud.exit_code == 0
        assert "no spillway.yaml" in loud.stderr
    both = CliRunner().invoke(app, words, env={"SPILLWAY_QUIET": "1", "SPILLWAY_VERBOSE": "2"})
    assert (both.exit_code, both.stderr) == (0, "")


def told_codes(*words: str) -> set[int]:
    """Those that a command's help lists."""
    done = CliRunner().invoke(app, [*words, "--help"])
    told = done.stdout.partition("Exit codes:")[2]
    assert all(len(line) <= 80 for line in told.splitlines())
    return set(map(int, re.findall(r"\d+(?=,? )", "\n".join(line[:14] for line in told.splitlines()))))


@pytest.mark.parametrize("words", [(), ("rollout",), ("promote",)])
def test_help_lists_the_exit_codes(words: tuple[str, ...]) -> None:
    codes = told_codes(*words)
    ours = {outcome.exit_code for outcome in Outcome} | set(ERRORS.values())
    assert ours <= codes
    assert (20 in codes) == (not words)


@pytest.mark.parametrize("path", sorted({path for path, _ in options(get_command(app)) if path}))
def test_each_commands_help_lists_its_own(path: str) -> None:
    codes = told_codes(*path.split())
    assert {0, 1, 2, 130, 143} <= codes
    assert (20 in codes) == (path == "probe")
    assert (17 in codes) == (path in ("rollout", "promote", "tick")), (
        "a tick is told of a bad first deployment, too"
    )


def test_a_group_names_what_its_commands_end_with() -> None:
    names = {path.split()[-1] for path, _ in options(get_command(app)) if path}
    assert names == exit_codes.OF.keys(), "none too many"


def test_the_readme_has_the_same_codes() -> None:
    table = README.split("## Exit codes")[1].split("\n## ")[0]
    assert re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) == list(exit_codes.CODES)
