"""What a rule is: four functions, a page of text, and the examples from which its tests are made.

Theory of operation. A run goes over the tree once. For each rule that is on, ``brief`` says, as plain JSON, all that
the search needs to know. For each file, ``wants`` looks at the bytes and says whether the file is worth parsing;
``collect`` turns its tree into facts, plain JSON again, in whatever process the file is read. ``judge`` sees the
facts of all files together and makes the findings; a rule that ``follows`` names into other files says with ``refers`` which, so that those files
can be read beforehand, in processes too. So a rule never opens a file, and its facts can be cached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from checks.finding import Finding
from checks.settings import Settings
from checks.tree.before import Base
from checks.tree.definitions import Definitions
from checks.tree.modules import ModuleIndex
from checks.tree.parse import Parsed
from checks.tree.resolve import Resolver

Brief = dict[str, Any]
Facts = dict[str, Any]


class Project(Protocol):
    """What a rule may ask when it judges."""

    settings: Settings
    modules: ModuleIndex
    resolver: Resolver
    base: Base | None

    def has(self, path: str) -> bool:
        """Whether the tree holds this file."""
        ...

    def parsed(self, path: str) -> Parsed | None:
        """One file, parsed now; None when it cannot be."""
        ...

    def definitions(self, path: str) -> Definitions | None:
        """What one file defines; kept and cached."""
        ...

    def remembered(self, rule: str, path: str, judge: Callable[[], list[Finding]]) -> list[Finding]:
        """What ``judge`` finds in one file; kept until this file changes, or one whose definitions it asked for."""
        ...

    def definitions_in_base(self, path: str) -> Definitions | None:
        """What the file defined in the base."""
        ...


@dataclass(frozen=True, slots=True)
class Example:
    """A small tree, and what the rule says about it.

    Args:
        files: path to text.
        finds: one ``path:line`` per finding, in order; with `` ?`` behind it when it must not fail the gate.
        base: what the files were before, for rules that compare.
    """

    title: str
    files: Mapping[str, str]
    settings: Settings
    finds: tuple[str, ...] = ()
    base: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``brief`` answers None when the settings leave the rule off."""

    name: str
    summary: str
    why: str
    brief: Callable[[Settings, Callable[[str], Parsed | None]], Brief | None]
    judge: Callable[[Project, Brief, Mapping[str, Facts]], Iterator[Finding]]
    wants: Callable[[str, bytes, Brief], bool] = lambda path, data, brief: False  # noqa: ARG005
    collect: Callable[[Parsed, Brief], Facts | None] = lambda parsed, brief: None  # noqa: ARG005
    refers: Callable[[Facts], Iterable[str]] = lambda facts: ()  # noqa: ARG005
    follows: bool = False
    is_quick: bool = False  # ``wants`` looks for a few bytes and nothing else
    valid: tuple[Example, ...] = field(default=())
    invalid: tuple[Example, ...] = field(default=())


def is_test(path: str) -> bool:
    """Whether a file is only there to test: what it defines is no second source, what it logs hurts nobody."""
    name = path.rpartition("/")[2]
    folders = path.split("/")[:-1]
    return (
        name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py" or "tests" in folders
    )
