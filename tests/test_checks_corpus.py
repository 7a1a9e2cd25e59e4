"""The corpus: what fails the gate is true, always; and nearly nothing that should fail it is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.rules import RULES
from tests.checks_corpus import cases, measured, settings
from tests.checks_corpus.corpus import Case, findings

ALL = {rule.name: cases(rule.name) for rule in RULES}


@pytest.mark.parametrize("rule", ALL)
def test_precision_and_recall(rule: str, tmp_path: Path) -> None:
    score = measured(ALL[rule], tmp_path)
    assert not score.wrong, "\n".join(score.wrong)
    assert score.sure.precision == 1.0
    assert score.sure.recall >= 0.95
    assert score.all.recall >= 0.95


def test_is_large_and_has_both_kinds() -> None:
    assert sum(len(several) for several in ALL.values()) >= 300
    for rule, several in ALL.items():
        bad = sum(bool(case.finds) for case in several)
        assert bad >= 5, rule
        assert len(several) - bad >= 5, rule


@pytest.mark.parametrize("rule", ALL)
def test_no_two_cases_have_one_title(rule: str) -> None:
    titles = [case.title for case in ALL[rule]]
    assert len(titles) == len(set(titles))


def test_a_wrong_answer_is_noticed(tmp_path: Path) -> None:
    """The measure itself: one finding that nobody expected, one that is not there."""
    good = next(case for case in ALL["single-source"] if case.title == "a second definition")
    blind = Case(good.rule, "nothing expected", good.files, good.settings)
    moved = Case(good.rule, "expected elsewhere", {"app/states.py": "x = 1\n"}, good.settings, good.finds)
    score = measured([blind, moved], tmp_path)
    assert score.sure.precision == 0.0
    assert score.sure.recall == 0.0
    assert len(score.wrong) == 3


def test_every_step_of_a_value_is_shown(tmp_path: Path) -> None:
    case = next(c for c in settings.cases("json-safe-logs") if c.title == "shown in three steps")
    (finding,) = findings(case, tmp_path)
    assert [(step.path, step.line, step.text) for step in finding.trail] == [
        ("app/user.py", 7, "first is set here"),
        ("app/user.py", 8, "second is set here"),
        ("app/kinds.py", 4, "enum Phase is defined here"),
    ]
