"""Loops over what is written out: ``for kind, f in (("a", fa), ("b", fb)): HANDLERS[kind] = f``, turn by turn."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, TypeVar

from checks.tree.body import statements
from checks.tree.symbols import dotted

_MOST_TURNS = 500
Node = TypeVar("Node", bound=ast.AST)
Bound = Mapping[str, ast.expr]
#: names that a file gives a literal once, and that
Literals = Mapping[str, ast.expr]


def literals(tree: ast.Module) -> Literals:
    """Rows and dictionaries under a name that is assigned once in the file."""
    pairs: list[tuple[str, ast.expr]] = []
    for node in statements(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            pairs += [(target.id, node.value) for target in targets if isinstance(target, ast.Name)]
    times = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if times[name] == 1 and isinstance(value, _ROWS)}


_ROWS = (ast.Tuple, ast.List, ast.Set, ast.Dict)


def turns(target: ast.expr, iterated: ast.expr, known: Literals) -> list[Bound] | None:
    """What the loop's names stand for in each turn; None where that cannot be read."""
    rows = _rows(iterated, known)
    if rows is None or len(rows) > _MOST_TURNS:
        return None
    made = [_bound(target, row) for row in rows]
    return None if None in made else [each for each in made if each is not None]


def unrolled(node: ast.For | ast.AsyncFor, known: Literals) -> list[ast.stmt] | None:
    """The statements of all turns; None where they cannot be read."""
    found = turns(node.target, node.iter, known)
    return None if found is None else [put_in(each, bound) for bound in found for each in node.body]


def put_in(node: Node, bound: Bound) -> Node:
    """A copy in which the names stand for what they are bound to."""
    made: Node = _Substitute(bound).visit(deepcopy(node))
    return made


def _rows(node: ast.expr, known: Literals) -> list[ast.expr] | None:
    match node:
        case ast.Name(id=name) if name in known:
            return _rows(known[name], {})
        case ast.Tuple(elts=rows) | ast.List(elts=rows) | ast.Set(elts=rows):
            return None if any(isinstance(row, ast.Starred) for row in rows) else rows
        case ast.Dict(keys=keys):
            return None if None in keys else [key for key in keys if key is not None]
        case ast.Call(func=ast.Attribute(value=inner, attr="items"), args=[]):
            table = known.get(inner.id) if isinstance(inner, ast.Name) else inner
            if isinstance(table, ast.Dict) and None not in table.keys:
                pairs = zip(table.keys, table.values, strict=True)
                return [ast.Tuple([key, value], ast.Load()) for key, value in pairs if key is not None]
        case ast.Call(func=ast.Name(id="zip"), args=several) if several:
            columns = [_rows(each, known) for each in several]
            if None not in columns:
                return [
                    ast.Tuple(list(row), ast.Load())
                    for row in zip(*(each or [] for each in columns), strict=False)
                ]
    return None


def _bound(target: ast.expr, row: ast.expr) -> Bound | None:
    match target, row:
        case ast.Name(id=name), _:
            return {name: row}
        case (ast.Tuple(elts=names), ast.Tuple(elts=values) | ast.List(elts=values)) if len(names) == len(
            values
        ):
            found: dict[str, ast.expr] = {}
            for inner_target, value in zip(names, values, strict=True):
                inner = _bound(inner_target, value)
                if inner is None:
                    return None
                found |= inner
            return found
    return None


class _Substitute(ast.NodeTransformer):
    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    def visit_Name(self, node: ast.Name) -> Any:
        return self._bound.get(node.id, node) if isinstance(node.ctx, ast.Load) else node

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """``f.__name__`` is the name of ``f``; an attribute of an object that is made here is its class's."""
        is_turned = isinstance(node.value, ast.Name) and node.value.id in self._bound
        self.generic_visit(node)
        if is_turned and node.attr == "__name__" and dotted(node.value):
            return ast.copy_location(ast.Constant(dotted(node.value).rpartition(".")[2]), node.value)
        if is_turned and isinstance(node.value, ast.Call):
            node.value = node.value.func
        return node
