"""Message types that a service knows by classes: subclasses with a key, and unions of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from checks.rules.event_map.dispatch import functions_of
from checks.rules.event_map.keys import is_class
from checks.rules.event_map.messages import (
    has_field,
    has_one_key,
    literal_of,
    literals_of,
    root_of,
    tag_of,
    union_of,
)
from checks.service.source import Named, Source
from checks.service.tables import Module
from checks.tree.symbols import dotted

_LEAST_MEMBERS = 2
#: so many classes without a key may stand between
_LEVELS = 2


class Found(NamedTuple):
    """One type. Args: node: its key; path: the file of that; dispatcher: as event-map names it, with its place; code: of it."""

    node: ast.expr
    path: str
    dispatcher: str
    home: tuple[str, ast.AST]
    code: tuple[ast.AST, ...]
    style: str
    handler: Named | None = None


def classes(source: Source, module: Module) -> Iterator[Found]:
    for node in module.classes:
        root, key = root_of(node), literal_of(node) if has_one_key(node) else None
        if root is not None:
            yield from _union(source, module, node.name, node, root)
        for base in node.bases if key is not None else ():
            made = _class_of(source, module.path, base, node)
            if key is not None and made is not None:
                yield Found(key, module.path, made[1].name, made, methods(node), "class")
    for statement in module.tree.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if not isinstance(value, ast.Name | ast.Attribute):
                yield from _union(source, module, name, statement, value)


def _union(
    source: Source, module: Module, name: str, at: ast.AST, value: ast.expr, depth: int = 4
) -> Iterator[Found]:
    members = union_of(value) or []
    found = [each for member in members for each in _member(source, module.path, member, depth)]
    if len(found) >= _LEAST_MEMBERS:
        yield from (Found(key, path, name, (module.path, at), (), "class") for key, path in found)


def _member(source: Source, path: str, member: ast.expr, depth: int) -> Iterator[tuple[ast.expr, str]]:
    """The key of a class, or those of another union."""
    tag = tag_of(member)
    if tag is not None:
        yield tag, path
        return
    home, name = source.home(path, dotted(member))
    made = source.class_in(home, name)
    keys = literals_of(made) if made is not None else []
    if keys:
        yield from ((key, home) for key in keys)
    elif made is None and depth:
        tree = source.tree(home)
        for statement in tree.body if tree else ():
            if isinstance(statement, ast.Assign) and dotted(statement.targets[0]) == name:
                for each in union_of(statement.value) or ():
                    yield from _member(source, home, each, depth - 1)


def _class_of(
    source: Source, path: str, base: ast.expr, below: ast.ClassDef, depth: int = _LEVELS
) -> tuple[str, ast.ClassDef] | None:
    """The class above for which subclasses with keys are written: it notes their field, or is the outermost of the tree.

    Below a class with a key none are read.
    """
    plain = base.value if isinstance(base, ast.Subscript) else base
    home, name = source.home(path, dotted(plain))
    made = source.class_in(home, name)
    if made is None:
        return None
    if has_field(made, below):
        return home, made
    above = [
        _class_of(source, home, each, below, depth - 1)
        for each in made.bases
        if depth and dotted(each) != dotted(plain)
    ]
    found = next((each for each in above if each is not None), None)
    return (
        (None if found is not None else (home, made))
        if literal_of(made) is not None
        else found or (home, made)
    )


def literal(source: Source, path: str, node: ast.expr) -> tuple[ast.expr, str] | None:
    """The key of a message class by its name, and the file of that."""
    return next(_member(source, path, node, 0), None) if is_class(node) else None


def methods(node: ast.ClassDef) -> tuple[ast.AST, ...]:
    """What all methods of a class do."""
    return tuple(statement for each in functions_of(node.body).values() for statement in each.body)
