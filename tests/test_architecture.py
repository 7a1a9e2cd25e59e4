"""``docs/architecture.md`` is true: its layers, and where it says that commands, criteria and rules are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import house
from checks.rules import RULES
from pipeline.cli.app import app
from pipeline.judging.metrics import METRICS
from pipeline.judging.sockets import ERROR_CLOSES
from tests.test_house import ALL, ROOT, imports_of

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def table(head: str) -> Iterator[list[str]]:
    """The rows under the line that begins so, cell by cell."""
    lines = iter(PAGE.splitlines())
    for line in lines:
        if line.startswith(f"| {head} |"):
            break
    for line in lines:
        if not line.startswith("|"):
            return
        if not line.startswith("|---"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def words(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def layers(folder: str) -> list[list[str]]:
    return [words(rooms) for _, rooms, _ in table(f"layer | rooms of `{folder}/`")]


def rooms(folder: str) -> dict[str, set[str]]:
    """Each file or folder directly in a folder, and those beside it that it imports."""
    arrows = house.rooms(folder.replace("/", "."), {module: imports_of(module) for module in ALL})
    return {_leaf(room): set(map(_leaf, imported)) for room, imported in arrows.items()}


def _leaf(module: str) -> str:
    return module.rpartition(".")[2]


FOLDERS = ("pipeline", "pipeline/local")


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_room_has_its_layer(folder: str) -> None:
    named = [room for layer in layers(folder) for room in layer]
    assert sorted(named) == sorted(rooms(folder))


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_room_imports_only_from_rows_above(folder: str) -> None:
    floor = {room: number for number, layer in enumerate(layers(folder)) for room in layer}
    upward = [
        f"{room} -> {other}"
        for room, imported in rooms(folder).items()
        for other in imported
        if floor[other] >= floor[room]
    ]
    assert not upward


def test_each_command_is_in_the_file_of_its_name() -> None:
    said = {words(command)[0]: words(file)[0] for command, file in table("command")}
    commands = {c.name or c.callback.__name__ for c in app.registered_commands if c.callback}  # type: ignore[attr-defined]
    assert said.keys() == commands | {str(group.name) for group in app.registered_groups}
    for command, file in said.items():
        assert Path(file).stem == command
        assert (ROOT / file).is_file()


def test_each_criterion_is_counted_where_it_says() -> None:
    said = {words(metric)[0]: words(file)[0] for metric, file in table("criterion")}
    assert said.keys() == METRICS.keys()
    for metric, file in said.items():
        name = "ERROR_CLOSES" if metric in ERROR_CLOSES else f'"{metric}"'
        assert name in (ROOT / file).read_text(encoding="utf-8")


def test_each_rule_is_where_it_says() -> None:
    said = {words(rule)[0]: words(place)[0] for rule, place in table("rule")}
    assert sorted(said) == sorted(rule.name for rule in RULES)
    for rule, place in said.items():
        assert Path(place).name == rule.replace("-", "_")
        assert (ROOT / place).is_dir() or (ROOT / f"{place}.py").is_file()


def test_each_file_that_answers_a_question_is_there() -> None:
    answers = [words(file)[0] for _, file in table("question")]
    assert answers
    for file in answers:
        assert (ROOT / file).is_file(), file


def test_every_invariant_is_named_once() -> None:
    numbers = re.findall(r"^\| ([SL]\d+) \|", PAGE, re.MULTILINE)
    assert numbers == [f"S{n}" for n in range(1, 17)] + [f"L{n}" for n in range(1, 6)]
