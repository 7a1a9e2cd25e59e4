"""Statements about a dispatcher as plain data: entries, and the changes that bring or take them."""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

from checks.tree.symbols import DOUBT, Lookup, Symbol, expression_name, symbol_of


class Entry(NamedTuple):
    """One key and its value.

    Args:
        form: ``member`` (of ``base``), ``value`` (the member with it), ``text``, ``handler`` (a function called ``member``)
            or ``other``; ``spread`` for all entries of the mapping ``base``, ``members`` for all members of an enum,
            ``message`` for the literal of a message class, ``functions`` for the names of a module's functions or a class's
            methods, as far as they stand between the two words of ``member``; ``without`` for a key that is left out after all.
    """

    key: Symbol | None
    line: int
    column: int
    form: str
    base: Symbol | None
    member: str


class Change(NamedTuple):
    """One statement about the mapping that ``target`` names.

    Args:
        kind: ``assign``, ``update`` or ``remove``; ``holder`` for an object whose methods register handlers, ``below`` for a
            class below the target without a key of its own, and for a function that puts what it is given into the target.
        owner: the class in whose body it is assigned; of ``below``, that class or function.
        is_open: something is merged in that cannot be read.
        end: of the last entry's value in a literal: line, column; empty when an entry cannot be added mechanically.
        style: what dispatches, in words; empty for a mapping.
        example: how one more is written there; ``{key}`` stands for its key.
    """

    kind: str
    target: Symbol
    owner: str
    line: int
    column: int
    entries: list[Entry]
    is_open: bool
    end: list[int]
    style: str = ""
    example: str = ""


def change_of(row: Any) -> Change:
    """A change as JSON gives it back."""
    kind, target, owner, line, column, entries, is_open, end, *words = row
    made = [
        Entry(symbol_of(key), line, column, form, symbol_of(base), member)
        for key, line, column, form, base, member in entries
    ]
    return Change(kind, symbol_of(target) or DOUBT, owner, line, column, made, is_open, end, *words)


def key_of(node: ast.expr, look: Lookup) -> Symbol | None:
    if isinstance(node, ast.Constant):
        return Symbol("const", node.value if isinstance(node.value, str) else repr(node.value))
    return expression_name(node, look)
