"""The files of a Python service, parsed, and its functions and enums by name. Nothing is imported or run."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from checks.rules.protocol import is_test
from checks.service.facts import Place
from checks.tree import files
from checks.tree.body import Function, functions
from checks.tree.definitions import flat
from checks.tree.modules import ModuleIndex
from checks.tree.parse import Unparsable, parse
from checks.tree.symbols import dotted, imported_names

MOST_FILES = 3_000
_MESSAGES = frozenset(
    {
        "ws",
        "websocket",
        "websockets",
        "socket",
        "sockets",
        "message",
        "messages",
        "msg",
        "event",
        "events",
        "chat",
    }
)
_ENUMS = frozenset({"Enum", "StrEnum", "IntEnum"})


class Named(NamedTuple):
    """A function, where it is, and its dotted path inside the module."""

    path: str
    name: str
    node: Function


class Table(NamedTuple):
    """A mapping that is assigned to a name."""

    name: str
    where: Place
    rows: list[tuple[ast.expr | None, ast.expr]]


class Source:
    """Every module that can be parsed, tests apart.

    Args:
        trees: by path.
    """

    def __init__(self, trees: dict[str, ast.Module]) -> None:
        self.trees = trees
        self._modules = ModuleIndex(trees)
        self._functions: dict[str, list[Named]] = defaultdict(list)
        self.members: dict[str, str] = {}
        for path, tree in trees.items():
            for name, node in functions(tree):
                self._functions[node.name].append(Named(path, name, node))
            for enum in (n for n in flat(tree.body) if isinstance(n, ast.ClassDef)):
                if any(dotted(base).rpartition(".")[2] in _ENUMS for base in enum.bases):
                    self.members |= {f"{enum.name}.{name}": text for name, text in _texts(enum)}

    @classmethod
    def below(cls, root: Path) -> Source:
        """Raises CheckError when the root is no folder that can be read."""
        trees: dict[str, ast.Module] = {}
        for path in files.discover(root).paths[:MOST_FILES]:
            data = files.read_or_none(root, path) if path.endswith(".py") and not is_test(path) else None
            try:
                trees |= {path: parse(path, data).tree} if data is not None else {}
            except Unparsable:
                continue
        return cls(trees)

    def function(self, name: str, path: str) -> Named | None:
        """The function or method of that plain name, this file's first; None where it is not there, or not the only one."""
        found = self._functions.get(name, [])
        own = [each for each in found if each.path == path]
        return own[0] if own else found[0] if len(found) == 1 else None

    def functions_of(self, path: str) -> list[Named]:
        return [named for each in self._functions.values() for named in each if named.path == path]

    def member(self, node: ast.expr) -> str:
        """``Enum.MEMBER`` of an expression such as ``types.Enum.MEMBER.value``; empty for anything else."""
        parts = dotted(node).removesuffix(".value").split(".")
        name = ".".join(parts[-2:])
        return name if name in self.members else ""

    def text(self, node: ast.expr | None) -> str:
        """The text that an expression is: a constant, or an enum member's value; empty for anything else."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else ""
        return self.members.get(self.member(node), "") if node is not None else ""

    @cached_property
    def nodes(self) -> list[tuple[str, ast.AST]]:
        """Every node of the files that may matter, with its file."""
        return [(path, node) for path, tree in self.trees.items() for node in ast.walk(tree)]

    @cached_property
    def tables(self) -> list[Table]:
        found = []
        for path, node in self.nodes:
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                rows = list(zip(node.value.keys, node.value.values, strict=True))
                if rows and (name := dotted(target).removeprefix("self.")):
                    found.append(Table(name, place(path, node), rows))
        return found

    @cached_property
    def imports(self) -> Mapping[str, Mapping[str, str]]:
        """By file: local name to dotted name, of every import wherever it stands."""
        found: dict[str, list[ast.stmt]] = {path: [] for path in self.trees}
        for path, node in self.nodes:
            if isinstance(node, ast.Import | ast.ImportFrom):
                found[path].append(node)
        return {path: imported_names(path, statements) for path, statements in found.items()}

    def full_name(self, path: str, name: str) -> str:
        """A dotted name as its file's imports make it: ``web.Application`` to ``aiohttp.web.Application``."""
        first, _, rest = name.partition(".")
        return ".".join(filter(None, (self.imports[path].get(first, first), rest)))

    def home(self, path: str, name: str) -> tuple[str, str]:
        """The file and the plain name of a variable that may be another module's."""
        found = self._modules.split(self.full_name(path, name), path)
        return (found[0], found[1][-1]) if found and found[1] else (path, name.rpartition(".")[2])


def speaks_of_messages(text: str) -> bool:
    """Whether a path or a name has a word for sockets or messages in it."""
    return not _MESSAGES.isdisjoint(re.split(r"[^a-z]+", text.lower()))


def place(path: str, node: ast.AST) -> Place:
    return Place(path, getattr(node, "lineno", 1))


def _texts(enum: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Members and their values; ``auto()`` is the name in small letters, which is what it is of a StrEnum."""
    for node in enum.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                yield name, node.value.value
            else:
                yield name, name.lower()
