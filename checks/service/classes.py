"""Message types that a service knows by classes or by the names of functions: subclasses, unions, ``getattr``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from checks.rules.event_map.by_name import between, by_name, of_library
from checks.rules.event_map.dispatch import functions_of
from checks.rules.event_map.keys import Dispatch, Key, is_class
from checks.rules.event_map.messages import class_in, literal_of, root_of, tag_of, union_of
from checks.service.source import Named, Source
from checks.service.tables import Module
from checks.tree.body import Function, walk
from checks.tree.symbols import dotted

_LEAST_MEMBERS = 2
#: functions by which a name is looked up
_LOOKING_UP = ("getattr", "globals", "vars", "locals")
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
        root, key = root_of(node), literal_of(node)
        if root is not None:
            yield from _union(source, module, node.name, node, root)
        for base in node.bases if key is not None else ():
            made = _class_of(source, module.path, base)
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
    key = literal_of(made) if made is not None else None
    if key is not None:
        yield key, home
    elif made is None and depth:
        tree = source.tree(home)
        for statement in tree.body if tree else ():
            if isinstance(statement, ast.Assign) and dotted(statement.targets[0]) == name:
                for each in union_of(statement.value) or ():
                    yield from _member(source, home, each, depth - 1)


def _class_of(
    source: Source, path: str, base: ast.expr, depth: int = _LEVELS
) -> tuple[str, ast.ClassDef] | None:
    """The outermost class of the tree above, for which subclasses with keys are written; below one with a key none are read."""
    plain = base.value if isinstance(base, ast.Subscript) else base
    home, name = source.home(path, dotted(plain))
    made = source.class_in(home, name)
    if made is None:
        return None
    above = [
        _class_of(source, home, each, depth - 1)
        for each in made.bases
        if depth and dotted(each) != dotted(plain)
    ]
    found = next((each for each in above if each is not None), None)
    return (
        (None if found is not None else (home, made))
        if literal_of(made) is not None
        else found or (home, made)
    )


def named(source: Source, module: Module) -> Iterator[Found]:
    """``getattr(self, f"on_{kind}")``, in a class or of another module; and classes whose methods a library calls."""
    owners = {id(n): c for c in module.classes for n in functions_of(c.body).values()}
    top = functions_of(module.tree.body)
    looks_up = any(dotted(call.func) in _LOOKING_UP for call in module.calls)
    for each in source.saying(_may_look_up, module.functions) if looks_up else ():
        owner = owners.get(id(each.node))
        made = by_name(each.node, owner, functions_of(owner.body) if owner else top)
        if made is not None and not _is_told_otherwise(each.node):
            whole = [key for key in made.keys if _is_plain(key)]
            called = _called_in(owner) if owner and whole else frozenset()
            keys = [key for key in made.keys if key not in whole or key.handler not in called]
            yield from _answered(source, module, each.name, each.node, made._replace(keys=keys))
    for node in module.classes:
        events = of_library(node)
        if events is not None:
            yield from _answered(source, module, node.name, node, events)


def _is_plain(key: Key) -> bool:
    """Whether the type is the name of the method itself: any other method may be called so."""
    return isinstance(key.node, ast.Constant) and key.node.value == key.handler


def _called_in(owner: ast.ClassDef) -> frozenset[str]:
    """Methods that the class calls itself, and what is none that a message could call."""
    names = (dotted(n.func).removeprefix("self.") for n in walk(owner) if isinstance(n, ast.Call))
    others = (n.name for n in functions_of(owner.body).values() if n.name.startswith("_") or n.decorator_list)
    return frozenset((*names, *others))


def _is_told_otherwise(node: Function) -> bool:
    """Whether what is looked up is no message's type: names that are written out here, or the method of an HTTP request."""
    written = {
        dotted(each.target)
        for each in walk(node)
        if isinstance(each, ast.For) and isinstance(each.iter, ast.Tuple | ast.List | ast.Set)
    }
    looked_up = [
        n.args[1]
        for n in walk(node)
        if isinstance(n, ast.Call) and dotted(n.func) == "getattr" and n.args[1:]
    ]
    parts = [dotted(part) for each in looked_up for part in walk(each) if isinstance(part, ast.expr)]
    return any(part in written or part.endswith("request.method") for part in parts)


def _may_look_up(text: bytes) -> bool:
    return any(word.encode() in text for word in _LOOKING_UP)


def _answered(source: Source, module: Module, name: str, at: ast.AST, made: Dispatch) -> Iterator[Found]:
    for key in made.keys:
        if key.form == "handler":
            handler = source.function(key.handler, module.path)
            code = tuple(handler.node.body) if handler else ()
            yield Found(key.node, module.path, name, (module.path, at), code, "name", handler)
        elif key.form == "functions":
            yield from _elsewhere(source, module, name, at, key)


def _elsewhere(source: Source, module: Module, name: str, at: ast.AST, key: Key) -> Iterator[Found]:
    """The functions of a module, or the methods of a class in another file."""
    before, _, behind = key.handler.partition(" ")
    home, rest = source.inside(module.path, dotted(key.node))
    tree = source.tree(home) if home else None
    made = class_in(tree, rest) if tree and rest else None
    for each in functions_of(made.body if made else tree.body if tree and not rest else []).values():
        if text := between(each.name, (before, behind)):
            handler = Named(home, f"{rest}.{each.name}".removeprefix("."), each)
            yield Found(ast.Constant(text), home, name, (module.path, at), tuple(each.body), "name", handler)


def literal(source: Source, path: str, node: ast.expr) -> tuple[ast.expr, str] | None:
    """The key of a message class by its name, and the file of that."""
    return next(_member(source, path, node, 0), None) if is_class(node) else None


def methods(node: ast.ClassDef) -> tuple[ast.AST, ...]:
    """What all methods of a class do."""
    return tuple(statement for each in functions_of(node.body).values() for statement in each.body)
