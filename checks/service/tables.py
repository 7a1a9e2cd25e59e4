"""What a file maps message types to: dictionaries however they are written, rows, and what loops put into them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from checks.rules.event_map.registered import row_key
from checks.rules.event_map.turns import Literals, literals, put_in, turns, unrolled
from checks.service.facts import Place
from checks.service.outline import REGISTER
from checks.service.source import Named, place
from checks.tree.body import below, functions, walk
from checks.tree.symbols import dotted

#: nodes that may map something, and nodes that hold no others
_ASSIGNING = (ast.Assign, ast.AnnAssign, ast.Expr, ast.Return, ast.Subscript)
_LEAVES = (ast.Name, ast.Constant)
Rows = list[tuple[ast.expr | None, ast.expr]]


class Table(NamedTuple):
    """A mapping that is assigned to a name; a function's own goes by the function's."""

    name: str
    where: Place


class Module(NamedTuple):
    """One file in which messages may be told apart, walked once. Args: told: calls that are statements; tables: with what each maps."""

    path: str
    tree: ast.Module
    calls: list[ast.Call]
    told: list[ast.Call]
    tables: list[tuple[Table, Rows]]
    functions: list[Named]
    classes: list[ast.ClassDef]


def walked(path: str, tree: ast.Module) -> Module:
    known, own = literals(tree), {id(node): Named(path, name, node) for name, node in functions(tree)}
    made = Module(path, tree, [], [], [], list(own.values()), [])
    stored: dict[str, frozenset[str]] = {}
    filled: dict[str, tuple[Table, Rows]] = {}
    for node, function in _nodes(tree, known, own):
        if isinstance(node, ast.Call):
            made.calls.append(node)
        elif isinstance(node, ast.ClassDef):
            made.classes.append(node)
        elif isinstance(node, ast.Expr):
            call = node.value.value if isinstance(node.value, ast.Await) else node.value
            made.told.extend([call] if isinstance(call, ast.Call) else [])
        for target, value in _assigned(node) if isinstance(node, _ASSIGNING) else ():
            rows: Rows = [(target.slice, value)] if isinstance(target, ast.Subscript) else _rows(value, known)
            name = _called(target, function, stored) if rows else ""
            if not rows or not name:
                continue
            if isinstance(target, ast.Subscript):
                filled.setdefault(name, (Table(name, place(path, node)), []))[1].extend(rows)
            else:
                filled[name] = (Table(name, place(path, node)), rows)
                made.tables.append(filled[name])
    whole = {id(rows) for _, rows in made.tables}
    made.tables.extend(each for each in filled.values() if id(each[1]) not in whole)
    return made


def _nodes(
    tree: ast.AST, known: Literals, own: Mapping[int, Named]
) -> Iterator[tuple[ast.AST, Named | None]]:
    """All nodes but names and constants, each with the innermost function around it; loops over what is written out turn by turn."""
    left: list[tuple[ast.AST, Named | None]] = [(tree, None)]
    while left:
        node, function = left.pop()
        yield node, function
        inner = own.get(id(node), function)
        turned = unrolled(node, known) if isinstance(node, ast.For | ast.AsyncFor) else None
        inside = below(node) if turned is None else turned
        left += [(each, inner) for each in reversed(inside) if not isinstance(each, _LEAVES)]


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    match node:
        case (
            ast.Assign(targets=[target, *_], value=value)
            | ast.AnnAssign(target=target, value=ast.expr() as value)
        ):
            yield target, value
        case ast.Expr(
            value=ast.Call(
                func=ast.Attribute(value=ast.Subscript() as target, attr="append" | "add"), args=[value]
            )
        ):
            yield target, value
        case ast.Return(value=ast.Dict() as value) | ast.Subscript(value=ast.Dict() as value, ctx=ast.Load()):
            yield ast.Name("", ctx=ast.Store()), value


def _called(target: ast.expr, function: Named | None, stored: dict[str, frozenset[str]]) -> str:
    """By what name ``event-map`` knows it.

    Args:
        stored: by function, the names that it assigns itself: others are the module's.
    """
    plain = target.value if isinstance(target, ast.Subscript) else target
    if function is not None and isinstance(plain, ast.Name):
        if isinstance(plain.ctx, ast.Store):
            return function.name
        if function.name not in stored:
            names = (n for n in walk(function.node) if isinstance(n, ast.Name))
            stored[function.name] = frozenset(n.id for n in names if isinstance(n.ctx, ast.Store))
        if plain.id in stored[function.name]:
            return function.name
    return dotted(plain).removeprefix("self.")


def _rows(value: ast.expr, known: Literals) -> Rows:
    match value:
        case ast.Dict(keys=keys, values=values):
            return list(zip(keys, values, strict=True))
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            return [(ast.Constant(each.arg), each.value) for each in keywords if each.arg]
        case ast.DictComp(generators=[ast.comprehension(target=target, iter=iterated, ifs=[])]):
            found = turns(target, iterated, known) or []
            return [(put_in(value.key, bound), put_in(value.value, bound)) for bound in found]
        case ast.List(elts=rows) | ast.Tuple(elts=rows):
            return [
                (key, each)
                for row in rows
                if isinstance(row, ast.Call | ast.Tuple)
                and not _registers(row)
                and (key := row_key(row)) is not None
                for each in (row.args if isinstance(row, ast.Call) else row.elts)[1:2]
            ]
    return []


def _registers(row: ast.expr) -> bool:
    """What a row keeps is then what the call gave: how to end a subscription."""
    return isinstance(row, ast.Call) and dotted(row.func).rpartition(".")[2] in REGISTER
