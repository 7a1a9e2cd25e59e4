"""Dictionaries that a function chooses by: its own, one that it gives back, or one of the class or module."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from checks.rules.event_map.keys import Dispatch, Key, is_key
from checks.tree.body import walk
from checks.tree.definitions import Function
from checks.tree.symbols import dotted


def by_table(node: Function) -> Dispatch | None:
    """A dictionary inside of the function that is subscripted by what is not constant, or given back."""
    tables = _tables(node)
    for table in _used(node):
        made = tables.get(table.id) if isinstance(table, ast.Name) else table
        if isinstance(made, ast.Dict) and made.keys:
            keys = [
                Key(each, dotted(value)) for each, value in zip(made.keys, made.values, strict=True) if each
            ]
            is_open = len(keys) < len(made.keys) or not all(is_key(each.node) for each in keys)
            return Dispatch(f"a dictionary in {node.name}", '"{key}": ...,', keys, is_open)
    return None


def by_outer_table(node: Function) -> Dispatch | None:
    """A table of the class, the module or another one, subscripted by what is not constant."""
    own = {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)} | _tables(
        node
    ).keys()
    for table, _ in looked_up(node):
        name = dotted(table)
        first, dot, _ = name.partition(".")
        if name and (first not in own or (dot and first in ("self", "cls"))) and not name.startswith("os."):
            return Dispatch(f"{name} in {node.name}", '"{key}": ...,', [Key(table, name, "spread")])
    return None


def _tables(node: Function) -> dict[str, ast.Dict]:
    """Local dictionaries, with what is put into them later."""
    made: dict[str, ast.Dict] = {}
    for child in walk(node):
        match child:
            case (
                ast.Assign(targets=[ast.Name(id=name), *_], value=ast.Dict() as table)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Dict() as table)
            ):
                made[name] = ast.Dict([*table.keys], [*table.values])
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=name), slice=key)], value=value) if (
                name in made
            ):
                made[name].keys.append(key)
                made[name].values.append(value)
    return made


def _used(node: Function) -> Iterator[ast.expr]:
    yield from (table for table, _ in looked_up(node))
    for child in walk(node):
        if isinstance(child, ast.Return) and isinstance(child.value, ast.Dict | ast.Name):
            yield child.value


def looked_up(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What is subscripted below a node by more than a constant, and by what."""
    for child in walk(node):
        match child:
            case ast.Subscript(value=table, slice=key, ctx=ast.Load()):
                pass
            case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[key, *_]):
                pass
            case _:
                continue
        if not isinstance(key, ast.Constant | ast.Slice):
            yield table, key
