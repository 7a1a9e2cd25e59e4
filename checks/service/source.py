"""The files of a Python service, parsed, and its functions and enums by name. Nothing is imported or run."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from checks.rules.protocol import is_test
from checks.service.facts import Place
from checks.tree import files
from checks.tree.body import Function, functions
from checks.tree.definitions import flat
from checks.tree.parse import Unparsable, parse
from checks.tree.symbols import dotted

MOST_FILES = 3_000
_ENUMS = frozenset({"Enum", "StrEnum", "IntEnum"})


class Named(NamedTuple):
    """A function, where it is, and its dotted path inside the module."""

    path: str
    name: str
    node: Function


class Source:
    """Every module that can be parsed, tests apart.

    Args:
        trees: by path.
    """

    def __init__(self, trees: dict[str, ast.Module]) -> None:
        self.trees = trees
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

    def nodes(self) -> Iterator[tuple[str, ast.AST]]:
        """Every node, with its file."""
        for path, tree in self.trees.items():
            for node in ast.walk(tree):
                yield path, node


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
