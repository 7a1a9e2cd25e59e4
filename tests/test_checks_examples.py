"""Each rule finds what its INVALID examples say, at those lines, and nothing in its VALID ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from checks.rules import RULES
from checks.rules.protocol import Rule
from checks.runner import run
from tests.checks_examples import INVALID, VALID
from tests.checks_examples.example import Example


def cases(examples: Mapping[str, Sequence[Example]]) -> list[Any]:
    return [pytest.param(r, e, id=f"{r.name}: {e.title}") for r in RULES for e in examples.get(r.name, ())]


def plant(root: Path, files: Mapping[str, str]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def found(rule: Rule, example: Example, folder: Path) -> list[str]:
    root = plant(folder / "now", example.files)
    base = str(plant(folder / "before", example.base)) if example.base is not None else None
    report = run(root, example.settings, base=base, only=[rule.name], jobs=1, cache=False)
    return [f"{f.path}:{f.line}{'' if f.fails_gate else ' ?'}" for f in report.findings]


@pytest.mark.parametrize(("rule", "example"), cases(VALID))
def test_finds_nothing(rule: Rule, example: Example, tmp_path: Path) -> None:
    assert found(rule, example, tmp_path) == list(example.finds)


@pytest.mark.parametrize(("rule", "example"), cases(INVALID))
def test_finds_it(rule: Rule, example: Example, tmp_path: Path) -> None:
    assert example.finds
    assert found(rule, example, tmp_path) == list(example.finds)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_no_rule_without_examples_and_a_page(rule: Rule) -> None:
    assert VALID[rule.name]
    assert INVALID[rule.name]
    assert rule.summary.endswith(".")
    assert len(rule.why) > 100
