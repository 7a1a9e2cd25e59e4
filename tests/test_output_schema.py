"""The published schema of what the commands print: it is a schema, it is of the code, and every command has its part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pipeline.app import output_schema
from pipeline.cli.app import app
from pipeline.cli.main import run
from pipeline.core.rollout import Phase
from pipeline.events import Probed, RolledBack, Said, Shifted
from pipeline.model import Outcome
from pipeline.output.writer import Mode, Output, outcome_document
from tests.documents import hold
from tests.fakes import START
from tests.reports import a_probe, a_report, a_rollout, rolled_back

SCHEMA = output_schema.schema()
PUBLISHED = Path(__file__).parents[1] / "docs" / "output.schema.json"


def names(command: Any, prefix: str = "") -> list[str]:
    """Of the commands that end with a document of ours."""
    if hasattr(command, "commands"):
        return [each for name, one in command.commands.items() for each in names(one, f"{prefix}{name}_")]
    return [] if prefix == "local_pulumi_" else [prefix.rstrip("_")]


def test_it_is_a_schema_and_the_published_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    done = CliRunner().invoke(app, ["schema", "output"])
    assert done.stdout == PUBLISHED.read_text(encoding="utf-8")
    assert json.loads(done.stdout) == SCHEMA


def test_every_command_has_its_part() -> None:
    assert set(names(get_command(app))) <= SCHEMA["$defs"].keys()


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_may_end_a_rollout(outcome: Outcome) -> None:
    hold(("rollout",), outcome_document(outcome), closed=True)


@pytest.mark.parametrize(
    "line",
    [
        "rollout --image x", "plan --image x", "promote", "rollback chat --to=", "status", "tick", "report", "unpin", "doctor",
        "probe http://x", "check --explain x", "local status", "init --from x", "schema output --markdown", "demo --only z",
    ],
)  # fmt: skip
def test_an_error_is_a_document_of_its_command(line: str, tmp_path: Path) -> None:
    words = line.split()
    group = words[:2] if words[0] == "local" else words[:1]
    options = [*group, "-C", str(tmp_path), "-o", "json", *words[len(group) :]]
    done = CliRunner().invoke(app, options, env={"SPILLWAY_LOCAL_DIR": str(tmp_path / "none")})
    assert done.exit_code == 2, done.output
    hold(tuple(words), json.loads(done.stdout), closed=True)


@pytest.mark.parametrize(
    "line", ["check --explain event-map", "init --dry-run --no-ci", "schema", "schema output"]
)
def test_what_needs_no_service_is_as_it_says(line: str, tmp_path: Path) -> None:
    words = line.split()
    done = CliRunner().invoke(app, [words[0], "-C", str(tmp_path), "-o", "json", *words[1:]])
    assert done.exit_code == 0, done.output
    hold(tuple(words), json.loads(done.stdout), closed=True)


@pytest.mark.parametrize(
    ("line", "env"),
    [
        ("rollout --img x -o json", {}), ("status -ojson --nope", {}), ("tick -yo json --nope", {}), ("probe --output=json", {}),
        ("promote --to-percent 101", {"SPILLWAY_OUTPUT": "json"}), ("local -o json", {}), ("report --output json --format pdf", {}),
        ("status --watch -o json", {}), ("check --format junit -o json", {}), ("local logs -f -o json", {}),
    ],
)  # fmt: skip
def test_words_that_no_command_understands_end_in_one_document_too(
    line: str, env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert run(line.split()) == 2
    printed = capsys.readouterr().out
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(json.loads(printed)), printed
    assert json.loads(printed)["exit_code"] == 2


def test_a_report_is_as_it_says() -> None:
    for made in (a_report(), a_report(rolled_back()), a_report(a_rollout(Phase.PAUSED))):
        document = json.loads(json.dumps({"reports": ["a.md"], **made.to_json()}))
        hold(("report",), document, closed=True)


def test_the_line_of_an_event_is_as_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    judge = jsonschema.Draft202012Validator({**SCHEMA, "anyOf": [{"$ref": "#/$defs/event"}]})
    output = Output(Mode.NDJSON)
    for event in (
        Probed(START, a_probe()),
        Shifted(START, stage=1, before=0, percent=5),
        RolledBack(START, "s", START),
        Said(START, "paused", "text"),
    ):
        output.event(event)
        judge.validate(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("words", "document"),
    [
        (("rollout",), {"outcome": "promoted"}),
        (("rollout",), {"outcome": "fine", "exit_code": 0}),
        (("rollout",), {"outcome": "promoted", "exit_code": 0, "percent": "100"}),
        (("rollout",), {"outcome": "promoted", "exit_code": 0, "surprise": 1}),
        (("tick",), {"outcome": "none", "exit_code": 0, "next_at": 5}),
        (("local", "up"), {"outcome": "up", "exit_code": 0}),
    ],
)
def test_what_is_not_as_it_says_is_told(words: tuple[str, ...], document: Mapping[str, Any]) -> None:
    with pytest.raises(AssertionError, match="says otherwise"):
        hold(words, document, closed=True)
