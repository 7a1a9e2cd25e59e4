"""How what was found compares with what was expected: counts of places, precision and recall."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from checks.finding import Finding
from tests.checks_corpus.corpus import Case, Expected

Place = tuple[str, int]


@dataclass(slots=True)
class Tally:
    """Places that were expected, that were found, and that were both."""

    expected: int = 0
    found: int = 0
    right: int = 0

    def add(self, expected: set[Place], found: set[Place]) -> None:
        self.expected += len(expected)
        self.found += len(found)
        self.right += len(expected & found)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.expected + other.expected, self.found + other.found, self.right + other.right)

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.expected if self.expected else 1.0


@dataclass(slots=True)
class Score:
    """One rule over its cases.

    Args:
        sure: findings that fail the gate: an error of high confidence.
        all: those that do not as well.
        wrong: one sentence per difference; a finding that is known to be missed is none.
    """

    cases: int = 0
    bad: int = 0
    sure: Tally = field(default_factory=Tally)
    all: Tally = field(default_factory=Tally)
    wrong: list[str] = field(default_factory=list)

    def __add__(self, other: Score) -> Score:
        return Score(
            self.cases + other.cases,
            self.bad + other.bad,
            self.sure + other.sure,
            self.all + other.all,
            self.wrong + other.wrong,
        )

    def add(self, case: Case, found: list[Finding]) -> None:
        at = {(f.path, f.line): f for f in sorted(found, key=lambda f: f.fails_gate)}
        expected = {(e.path, e.line): e for e in case.finds}
        self.cases += 1
        self.bad += bool(expected)
        self.sure.add(
            {p for p, e in expected.items() if e.is_sure}, {p for p, f in at.items() if f.fails_gate}
        )
        self.all.add(set(expected), set(at))
        self.wrong += _differences(case, at, expected)


def _differences(
    case: Case, at: Mapping[Place, Finding], expected: Mapping[Place, Expected]
) -> Iterator[str]:
    name = f"{case.rule}: {case.title}"
    for (path, line), finding in at.items():
        wanted = expected.get((path, line))
        if wanted is None:
            yield f"{name}: {path}:{line} is found but should not be: {finding.message}"
        elif wanted.is_sure != finding.fails_gate:
            yield f"{name}: {path}:{line} {'should' if wanted.is_sure else 'must not'} fail the gate: {finding.message}"
        elif wanted.word not in finding.message:
            yield f"{name}: {path}:{line} does not say {wanted.word!r}: {finding.message}"
    if not case.is_missed:
        yield from (f"{name}: {path}:{line} is not found" for path, line in expected.keys() - at.keys())
