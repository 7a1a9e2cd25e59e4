"""Dispatch by registration: decorators above handlers, and calls that are given them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from checks.rules.event_map.keys import KINDS, Dispatch, Key, is_class, is_key
from checks.rules.event_map.messages import first_note, literal_of
from checks.tree.definitions import Function, flat
from checks.tree.symbols import dotted

REGISTERED = "handlers that are registered"


def registered(node: ast.AST, name: str) -> Iterator[tuple[ast.expr, Key]]:
    """Uses of a registry called ``name``: ``@name("x")``, ``@router.name("x")``, ``name("x", handler)``, ``name(kind="x")(handler)``.

    Each with the expression that stands for the registry.
    """
    if isinstance(node, Function | ast.ClassDef):
        for decorator in node.decorator_list:
            yield from _above(node, decorator, name)
    elif isinstance(node, ast.Expr) and (call := _called(node.value)) is not None:
        given = [*call.args, *(k.value for k in call.keywords)]
        if isinstance(call.func, ast.Call):
            call = call.func
        keys = _keys(call)
        others = [each for each in given if each not in keys]
        if _is_named(call.func, name) and keys and others:
            yield from ((call.func, Key(text, dotted(others[0]))) for text in _several(keys[0]))


def _called(value: ast.expr) -> ast.Call | None:
    """A call, also one that is waited for."""
    inner = value.value if isinstance(value, ast.Await) else value
    return inner if isinstance(inner, ast.Call) else None


def _above(node: Function | ast.ClassDef, decorator: ast.expr, name: str) -> Iterator[tuple[ast.expr, Key]]:
    """A decorator with keys; without any, the handler's own name or literal is the key."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    if dotted(called).endswith(f"{name}.register"):
        yield from _of_class(node, decorator, called)
    if not _is_named(called, name):
        return
    texts = _given(decorator) if isinstance(decorator, ast.Call) else []
    if not texts:
        own = literal_of(node) if isinstance(node, ast.ClassDef) else None
        texts = [own or ast.copy_location(ast.Constant(node.name), decorator)]
    yield from ((called, Key(text, node.name)) for each in texts for text in _several(each))


def _given(decorator: ast.Call) -> list[ast.expr]:
    texts = [a for a in decorator.args if not isinstance(a, ast.Starred)]
    return texts + [k.value for k in decorator.keywords if k.arg in KINDS]


def _of_class(
    node: Function | ast.ClassDef, decorator: ast.expr, called: ast.expr
) -> Iterator[tuple[ast.expr, Key]]:
    """``@name.register`` of ``functools.singledispatch``: the key is a class."""
    noted = first_note(node) if isinstance(node, Function) else None
    kinds = decorator.args[:1] if isinstance(decorator, ast.Call) else [noted]
    if isinstance(called, ast.Attribute):
        yield from (
            (called.value, Key(kind, node.name, "message"))
            for kind in kinds
            if kind is not None and is_class(kind)
        )


def _keys(call: ast.Call) -> list[ast.expr]:
    """What a handler is registered for: the first argument, or one that is called so."""
    return call.args[:1] or [k.value for k in call.keywords if k.arg in KINDS][:1]


def _is_named(node: ast.expr, name: str) -> bool:
    return dotted(node).rpartition(".")[2] == name


def _several(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]


def registry(node: Function) -> Dispatch:
    """A function that registers handlers; its keys stand where it is used."""
    example = f'@{node.name}("{{key}}") above its handler'
    return Dispatch(REGISTERED, example if is_decorator(node) else f'{node.name}("{{key}}", handler)', [])


def is_decorator(node: Function) -> bool:
    """Whether what a registering function gives back is a function: it is written above its handlers."""
    return any(isinstance(n, Function) for n in node.body) or any(
        isinstance(n, ast.Return) and isinstance(n.value, ast.Lambda) for n in flat(node.body)
    )


def row_key(node: ast.expr) -> ast.expr | None:
    """The key of one row of a table: ``Route("x", f)``, ``("x", f)``, ``"x"``."""
    match node:
        case ast.Call(args=[key, *_]) | ast.Tuple(elts=[key, _, *_]) if is_key(key):
            return key
        case ast.Call(keywords=keywords):
            return next((k.value for k in keywords if k.arg in KINDS and is_key(k.value)), None)
    return node if is_key(node) else None
