"""What a key says, and what answers to it."""

from __future__ import annotations

import ast

from checks.rules.event_map.keys import is_class
from checks.service.classes import literal, methods
from checks.service.source import Named, Source
from checks.tree.symbols import dotted


def text_of(source: Source, node: ast.expr, path: str) -> str:
    """What a key says: a text, a member, a constant of the service, or the key of a message class."""
    own = literal(source, path, node)
    return text_of(source, *own) if own is not None else source.text(node) or source.constant(path, node)


def handler_of(source: Source, value: ast.expr, path: str) -> tuple[Named | None, tuple[ast.AST, ...]] | None:
    """What answers: a function, also by its name as text, with arguments bound or beside other things; or a class."""
    match value:
        case ast.Lambda(args=given, body=body):  # what takes nothing makes something
            takes = given.posonlyargs or given.args or given.vararg
            return (None, (body,)) if takes and not isinstance(body, ast.Constant) else None
        case ast.Call(func=maker, args=[inner, *_]) if dotted(maker).rpartition(".")[2] == "partial":
            return handler_of(source, inner, path)
        case ast.Tuple(elts=[inner, *_]):
            return handler_of(source, inner, path)
        case ast.Constant(value=str(name)) if name.isidentifier():
            found = source.function(name, path)
        case ast.Call(func=maker, args=[]):
            return _class(source, maker, path)
        case _:
            found = _answers(source.function(dotted(value).rpartition(".")[2], path), value, path)
    return (found, tuple(found.node.body)) if found else _class(source, value, path)


def _answers(found: Named | None, value: ast.expr, path: str) -> Named | None:
    """A property of that name is a value of the object; what is another's function is no method of this one."""
    if found is None or any(dotted(each).lower().endswith("property") for each in found.node.decorator_list):
        return None
    is_own = dotted(value).startswith("self.")
    return None if is_own and found.path != path and "." not in found.name else found


def _class(source: Source, value: ast.expr, path: str) -> tuple[Named | None, tuple[ast.AST, ...]] | None:
    home, name = source.inside(path, dotted(value)) if is_class(value) else ("", "")
    made = source.class_in(home, name) if home and name else None
    return (None, methods(made)) if made is not None else None
