"""The mechanical half of single-source: remove a copy, import the home's, and only where that cannot break.

Left to a person: methods, decorated or conditional copies, copies with other parameters, and files that the home
itself imports (a circular import would be the next incident).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cached_property

from checks.finding import Edit, Fix
from checks.rules.single_source.facts import Definition, Import, Mentions
from checks.settings import SingleSource
from checks.tree.parse import Parsed
from checks.tree.tree import Tree

_MOST_MODULES = 400


class Fixer:
    """Makes the edits for one symbol."""

    def __init__(self, tree: Tree, symbol: SingleSource, mentions: Mapping[str, Mentions]) -> None:
        self._tree, self._mentions = tree, mentions
        self._home = symbol.home
        self._name = symbol.symbol

    def replace_copy(self, path: str, made: Definition) -> Fix | None:
        """Remove a definition and import the home's under its name; None where that could break."""
        at_home = self._mentions[self._home].definitions if self._home in self._mentions else []
        home = next((d for d in at_home if not d.where), None)
        is_simple = made.is_alone and not made.where and not made.is_conditional
        if not is_simple or home is None or made.parameters != home.parameters or not self._may_import(path):
            return None
        parsed = self._tree.parsed(path)
        if parsed is None:
            return None
        edits = (_removal(path, parsed.data, made), *self._import_for_copy(path, parsed, made))
        return Fix(f"remove the copy, import {self._name} from {self._home}", edits)

    def replace_import(self, path: str, used: Import) -> Fix | None:
        """Import from the home instead; None for an import of several names, or where it would be circular."""
        if not used.is_whole or used.kind != "import" or not self._may_import(path):
            return None
        start, end = (used.line, used.column - 1), (used.end[0], used.end[1])
        return Fix(f"import {self._name} from {self._home}", (Edit(path, start, end, self._statement),))

    def add_import(self, path: str) -> Fix | None:
        """Import the name that is used without being imported; None where that would be circular."""
        parsed = self._tree.parsed(path)
        if parsed is None or not self._may_import(path):
            return None
        return Fix(f"import {self._name} from {self._home}", (_insertion(path, parsed, self._statement),))

    def _import_for_copy(self, path: str, parsed: Parsed, made: Definition) -> tuple[Edit, ...]:
        if made.name != self._name:
            return (_insertion(path, parsed, f"{self._statement} as {made.name}"),)
        mine = self._mentions[path]
        is_used = any(not made.first_line <= line <= made.last_line for line in mine.uses)
        is_there = any(self._origin(path, each) == self._home for each in mine.imports)
        is_wanted = is_used or path in self._origins
        return (_insertion(path, parsed, self._statement),) if is_wanted and not is_there else ()

    @cached_property
    def _origins(self) -> frozenset[str | None]:
        """Every file from which the name is imported."""
        return frozenset(self._origin(path, used) for path, m in self._mentions.items() for used in m.imports)

    def _origin(self, path: str, used: Import) -> str | None:
        return self._tree.modules.find(used.module, path)

    @cached_property
    def _statement(self) -> str:
        """The import, with the home named as other files name it; by the package structure where none does."""
        for path in sorted(self._mentions):
            for used in self._mentions[path].imports:
                if used.kind == "import" and not used.is_relative and self._origin(path, used) == self._home:
                    return f"from {used.module} import {self._name}"
        return f"from {self._tree.modules.name_of(self._home)} import {self._name}"

    def _may_import(self, path: str) -> bool:
        return "." not in self._name and path not in self._below_home

    @cached_property
    def _below_home(self) -> frozenset[str]:
        """What the home itself imports."""
        seen: set[str] = set()
        waiting = [self._home]
        while waiting and len(seen) < _MOST_MODULES:
            path = waiting.pop()
            module = self._tree.definitions(path) if path not in seen else None
            seen.add(path)
            if module:
                names = (*module.imports.values(), *module.stars)
                found = (self._tree.modules.split(name, path) for name in names)
                waiting += [each[0] for each in found if each]
        return frozenset(seen)


def _removal(path: str, data: bytes, made: Definition) -> Edit:
    """The function's lines and the empty ones after it; at the end of the file, those before it."""
    lines = data.split(b"\n")
    first, after = made.first_line, made.last_line + 1
    while after <= len(lines) and not lines[after - 1].strip():
        after += 1
    if after > len(lines):
        while first > 1 and not lines[first - 2].strip():
            first -= 1
        return Edit(path, (first, 0), (len(lines) + 1, 0), "")
    return Edit(path, (first, 0), (after, 0), "")


def _insertion(path: str, parsed: Parsed, statement: str) -> Edit:
    """One line after the last import at the top; after the docstring or at the start where there is none."""
    last = doc = 0
    for index, node in enumerate(parsed.tree.body):
        match node:
            case ast.Import() | ast.ImportFrom():
                last = node.end_lineno or node.lineno
            case ast.Expr(value=ast.Constant()) if index == 0:
                doc = node.end_lineno or node.lineno
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                break
    if last:
        return Edit(path, (last + 1, 0), (last + 1, 0), f"{statement}\n")
    if doc:
        return Edit(path, (doc + 1, 0), (doc + 1, 0), f"\n{statement}\n")
    first = _first_code_line(parsed.data)
    return Edit(path, (first, 0), (first, 0), f"{statement}\n\n")


def _first_code_line(data: bytes) -> int:
    """Behind the lines that must stay on top: ``#!`` and the coding comment."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.lstrip(b"\xef\xbb\xbf").startswith(b"#"):
            return number
    return 1
