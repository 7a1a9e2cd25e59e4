"""Functions and classes of other files than the one that is looked at, found by their text, each parsed by itself.

A whole file takes a hundred times as long, and its tree as much memory.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from checks.tree.body import Function
from checks.tree.parse import Unparsable, parse
from checks.tree.texts import blocks

#: names that are assigned, or stand in front of a colon
_GIVEN = re.compile(rb"[\n;:][ \t\f]*(\w+)\s*(?=[:=])")
#: parts that are kept once they are parsed, and files whose lines are
_FEW, _FEW_FILES = 100, 8


class _Lines(NamedTuple):
    """Where one thing is. Args: name: its dotted path inside the module. first, last: its lines, from 1."""

    name: str
    first: int
    last: int


class _Places(NamedTuple):
    """Of one file, by plain name the first function, and by dotted name the first class."""

    functions: dict[str, _Lines]
    classes: dict[str, _Lines]


class Parts:
    """Args: read: the bytes of one file; None when they cannot be read."""

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self._read = read
        self._places: dict[str, _Places] = {}
        self._given: dict[str, frozenset[bytes]] = {}
        self._parsed = lru_cache(_FEW)(self._part)
        self.rows = lru_cache(_FEW_FILES)(self._rows)

    def function(self, path: str, name: str) -> tuple[str, Function] | None:
        """The first of that plain name, with its dotted path; None where its text does not show it.

        Its decorators are those that take a line each, right above it.
        """
        lines = self._places_of(path).functions.get(name)
        node = self._parsed(path, lines) if lines else None
        return (lines.name, node) if lines and isinstance(node, Function) and node.name == name else None

    def class_in(self, path: str, name: str) -> ast.ClassDef | None:
        """The class of a dotted name inside of a module; None where its text does not show it: as ``function``."""
        lines = self._places_of(path).classes.get(name)
        node = self._parsed(path, lines) if lines else None
        return node if isinstance(node, ast.ClassDef) and node.name == name.rpartition(".")[2] else None

    def may_give(self, path: str, name: str) -> bool:
        """Whether a file may assign something to a name, by its text."""
        if path not in self._given:
            self._given[path] = frozenset(_GIVEN.findall(b"\n" + self._lines(path)))
        return not name.isascii() or name.encode() in self._given[path]

    def _places_of(self, path: str) -> _Places:
        if path not in self._places:
            made = self._places[path] = _Places({}, {})
            for block in blocks(self._lines(path)):
                lines = _Lines(block.name, block.first, block.last)
                if block.is_class:
                    made.classes.setdefault(block.name, lines)
                else:
                    made.functions.setdefault(block.name.rpartition(".")[2], lines)
        return self._places[path]

    def _lines(self, path: str) -> bytes:
        return b"\n".join(self.rows(path))

    def _rows(self, path: str) -> list[bytes]:
        """The lines of a file, as the parser counts them."""
        return (self._read(path) or b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")

    def _part(self, path: str, lines: _Lines) -> ast.AST | None:
        every, begin = self.rows(path), lines.first - 1
        while begin and every[begin - 1].lstrip().startswith(b"@"):
            begin -= 1
        rows = every[begin : lines.last]
        is_inside = bool(rows) and rows[0][:1].isspace()
        above = b"\n" * (begin - 1) + b"if 0:\n" if is_inside else b"\n" * begin
        try:
            body = parse(path, above + b"\n".join(rows)).tree.body
        except Unparsable:
            return None
        first = body[0] if body else None
        return first.body[0] if is_inside and isinstance(first, ast.If) else first
