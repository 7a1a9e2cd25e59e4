"""Planted bugs as data: one TOML file per module, a text that occurs once in the shipped code and what replaces it.

    hint = "pipeline/judging/judge.py"          # where to look; nothing depends on it
    tests = ["tests/test_judge.py"]     # expected to find the slips of this file; a mutant may name its own

    [[mutant]]
    slip = "a block that was read twice is judged twice"
    old = "<= state.seen:"
    new = "< state.seen:"

A slip is one that a good engineer makes and that a user would feel; one that changes nothing is no mutant.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("checks", "infra", "pipeline")


class DoesNotApply(Exception):
    """The old text is not in the code exactly once."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One slip.

    Args:
        module: name of the file that holds it; ``hint``: of the file that it is thought to be in.
        tests: as pytest takes them; one of them must fail.
    """

    module: str
    slip: str
    hint: str
    old: str
    new: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.module}: {self.slip}"


def load(folder: Path = Path(__file__).parent) -> tuple[Mutant, ...]:
    return tuple(mutant for file in sorted(folder.glob("*.toml")) for mutant in _of(file))


def _of(file: Path) -> Iterable[Mutant]:
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    for row in document["mutant"]:
        tests = tuple(row.get("tests") or document["tests"])
        hint = row.get("hint") or document["hint"]
        yield Mutant(file.stem, row["slip"], hint, row["old"], row["new"], tests)


def sources(root: Path = ROOT) -> Mapping[str, str]:
    """The shipped Python code: path from the root, and text."""
    files = (file for package in PACKAGES for file in sorted((root / package).rglob("*.py")))
    return {file.relative_to(root).as_posix(): file.read_text(encoding="utf-8") for file in files}


def place_of(mutant: Mutant, code: Mapping[str, str]) -> str:
    """The file that holds the old text. Raises DoesNotApply."""
    found = [path for path, text in code.items() for _ in range(text.count(mutant.old))]
    if len(found) != 1:
        where = ", ".join(found) or f"nowhere; it was in {mutant.hint}"
        raise DoesNotApply(f"{mutant}: the old text is found {len(found)} times ({where}): {mutant.old!r}")
    return found[0]


def chosen(mutants: Iterable[Mutant], count: int, seed: str) -> list[Mutant]:
    """So many of them, the same for the same seed and whatever their order."""
    return sorted(mutants, key=lambda mutant: sha256(f"{seed}/{mutant}".encode()).digest())[:count]
