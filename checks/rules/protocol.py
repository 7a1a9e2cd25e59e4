"""What a rule is: a few functions and a page of text.

Theory of operation. A run goes over the tree once. For each rule that is on, ``brief`` says, as plain JSON, all that
the search needs to know. For each file, ``wants`` looks at the bytes and says whether the file is worth parsing, and which part of it;
``collect`` turns its syntax tree into facts, in whatever process the file is read. Facts are tuples, lists and
dictionaries that JSON can write; ``read`` gives them their types again. Then the findings are made: by ``judge``, which
sees the facts of all files together, or by ``judge_file`` for one file at a time, whose findings are remembered; what
such a rule needs of all files, ``gather`` makes of their facts, as plain JSON, and gives to each. A rule that follows names into other files says with ``refers`` which, so that those can be read beforehand, in other
processes too. So a rule opens no file, and what it collected can be cached.

To add one: a module here (a folder when it needs more than one), and a line in ``__init__.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from msgspec import Struct

from checks.finding import Confidence, Finding, Fix, Severity, Step
from checks.settings import Settings
from checks.tree.base_tree import Base
from checks.tree.parse import Parsed
from checks.tree.tree import Tree

Brief = dict[str, Any]


class Project(Struct, frozen=True, dict=True):
    """What a rule may ask when it judges: the tree of now, and what to compare it with."""

    settings: Settings
    now: Tree
    base: Base | None = None

    @cached_property
    def before(self) -> Tree | None:
        """The tree as the base has it: files that differ are read from there. Raises CheckError."""
        base, now = self.base, self.now
        if base is None:
            return None
        changed = frozenset(base.changed)
        paths = sorted(changed.union(now.paths))
        return Tree(paths, lambda path: base.read(path) if path in changed else now.read(path), now.root)


class Rule(Struct, frozen=True, kw_only=True):
    """One rule.

    Args:
        severity: the worst that it reports.
        brief: None when the settings leave the rule off.
        skim: collects from the bytes in place of ``collect``, where no tree is needed.
        wants: whether a file is to be parsed; where no more is needed than the functions and classes around some lines, these,
            in order.
        read: facts from what JSON made of them; takes facts that are typed already, too.
        gave_up: lines and words of what a file's facts could not hold whole; it is told as not checked.
        further: what to look for in all files again, by what is known so far, at most ``rounds`` times; ``join`` puts a
            file's facts together.
        is_quick: ``wants`` looks for a few bytes and nothing else.
        takes_generated: whether it looks at files that a program wrote.
    """

    name: str
    summary: str
    why: str
    severity: Severity = Severity.ERROR
    brief: Callable[[Settings, Tree], Brief | None]
    wants: Callable[[str, bytes, Brief], bool | list[int]] = lambda path, data, brief: False  # noqa: ARG005
    collect: Callable[[Parsed, Brief], Any] = lambda parsed, brief: None  # noqa: ARG005
    skim: Callable[[str, bytes, Brief], Any] | None = None
    read: Callable[[Any], Any] = lambda row: row
    refers: Callable[[Any], Iterable[str]] | None = None
    gave_up: Callable[[Any], Iterable[tuple[int, str]]] = lambda facts: ()  # noqa: ARG005
    judge: Callable[[Project, Brief, Mapping[str, Any]], Iterator[Finding]] | None = None
    join: Callable[[Any, Any], Any] = lambda facts, more: facts or more
    further: Callable[[Project, Brief, Mapping[str, Any]], Brief | None] | None = None
    rounds: int = 0
    gather: Callable[[Project, Mapping[str, Any]], Any] = lambda project, facts: None  # noqa: ARG005
    judge_file: Callable[[Project, str, Any, Any], Iterator[Finding]] | None = None
    is_quick: bool = False
    takes_generated: bool = True


def error(
    rule: str,
    path: str,
    place: tuple[int, int],
    message: str,
    *,
    is_sure: bool = True,
    trail: tuple[Step, ...] = (),
    fix: Fix | None = None,
) -> Finding:
    """An error at a line and column; it fails the gate where the rule is sure."""
    confidence = Confidence.HIGH if is_sure else Confidence.MEDIUM
    return Finding(rule, path, *place, Severity.ERROR, confidence, message, trail, fix)


def is_test(path: str) -> bool:
    """Whether a file belongs to the tests: what it defines is no second source, and it logs nothing in production."""
    *folders, name = path.split("/")
    return (
        name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py" or "tests" in folders
    )
