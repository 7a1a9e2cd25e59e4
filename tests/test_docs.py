"""The pages say commands that exist, with options that they have, and name every exit code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from pipeline.cli.app import app
from pipeline.scaffold import advice, workflow
from pipeline.scaffold.repository import see
from tests import repositories
from tests.repositories import STARLETTE
from tests.test_readme import README

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def said(text: str) -> Iterator[str]:
    """Commands in code: whole lines of blocks, and what stands between backticks."""
    for block in re.findall(r"^```(?:sh|bash|yaml)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield from re.findall(r"(?:^|run: |&& )(spillway .*)$", block, re.MULTILINE)
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for inline in re.findall(r"`([^`\n]+)`", outside):
        yield from re.findall(r"\bspillway [a-z].*", inline)


def commands() -> Iterator[object]:
    for page in PAGES:
        for text in dict.fromkeys(said(page.read_text(encoding="utf-8"))):
            yield pytest.param(text, id=f"{page.name}: {text[:60]}")
    for text in re.findall(r"run: (spillway .*)$", workflow.text("chat"), re.MULTILINE):
        yield pytest.param(text, id=f"workflow: {text}")


@pytest.mark.parametrize("text", [*commands()])
def test_a_command_is_one(text: str) -> None:
    words = shlex.split(text.partition("#")[0].partition(" && ")[0].partition(" > ")[0].partition("  ")[0])
    command: Any = get_command(app)
    rest = words[1:]
    while rest and hasattr(command, "commands"):
        if "/" in rest[0] or rest[0] == "$COMMAND":  # `local up/down`, and what a workflow chooses
            return
        assert rest[0] in command.commands, text
        command, rest = command.commands[rest[0]], rest[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        if word.startswith("-") and "local pulumi" not in text:
            assert word.partition("=")[0] in options, f"{text}: {word}"


def test_operating_tells_every_exit_code() -> None:
    """The same ones as the README's table, which is held to the code."""

    def codes(page: str) -> set[int]:
        rows = re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE)
        return {int(code) for row in rows for code in row.split(",")}

    assert codes((ROOT / "docs" / "operating.md").read_text(encoding="utf-8")) == codes(README)


def test_what_init_says_next_is_what_the_readme_says(tmp_path: Path) -> None:
    told = "\n".join(advice.following(see(repositories.plant(STARLETTE, tmp_path))))
    first = README.split("### With a service of your own")[1].split("```sh\n")[1].split("```")[0]
    for command in ("spillway local up", "spillway rollout --env local --image app"):
        assert command in told
        assert command in first
