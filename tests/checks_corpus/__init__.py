"""Small trees with known answers: what the checks are measured on. ``corpus.py`` says how they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from tests.checks_corpus import dispatch, encoders, families, settings, shapes, sockets, values
from tests.checks_corpus.corpus import Case, findings
from tests.checks_corpus.score import Score

RULES = settings.RULES
#: cases that are put together from what may meet, by rule and kind
KINDS: Mapping[str, Mapping[str, Callable[[], Iterator[Case]]]] = {
    "event-map": {"dispatch": dispatch.cases, "shapes": shapes.cases},
    "json-safe-logs": {"encoders": encoders.cases, "sockets": sockets.cases, "values": values.cases},
}


def cases(rule: str) -> list[Case]:
    """All cases of one rule: those written by hand, then those made from a seed, then those of each kind."""
    kinds = (case for make in KINDS.get(rule, {}).values() for case in make())
    return [*settings.cases(rule), *families.cases(rule), *kinds]


def measured(several: Iterable[Case], folder: Path) -> Score:
    """How one rule does; each case is planted below ``folder`` once."""
    score = Score()
    for number, case in enumerate(several):
        score.add(case, findings(case, folder / str(number)))
    return score
