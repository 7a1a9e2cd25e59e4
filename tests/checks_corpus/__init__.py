"""Small trees with known answers: what the checks are measured on. ``corpus.py`` says how they are written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.checks_corpus import families, settings
from tests.checks_corpus.corpus import Case, findings
from tests.checks_corpus.score import Score

RULES = settings.RULES


def cases(rule: str) -> list[Case]:
    """All cases of one rule: those written by hand, then those made from a seed."""
    return [*settings.cases(rule), *families.cases(rule)]


def measured(several: Iterable[Case], folder: Path) -> Score:
    """How one rule does; each case is planted below ``folder`` once."""
    score = Score()
    for number, case in enumerate(several):
        score.add(case, findings(case, folder / str(number)))
    return score
