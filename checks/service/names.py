"""Message types that a service knows by the names of functions: ``getattr(self, f"on_{kind}")``, classes of libraries."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from checks.rules.event_map.by_name import between, by_name, of_library
from checks.rules.event_map.conditions import given_once
from checks.rules.event_map.dispatch import functions_of
from checks.rules.event_map.keys import Dispatch, Key
from checks.rules.event_map.messages import class_in
from checks.service import arity
from checks.service.classes import Found
from checks.service.source import TYPES, Named, Source, speaks_of_messages, words_in, words_of
from checks.service.tables import Module
from checks.tree.body import Function, walk
from checks.tree.symbols import dotted

#: functions by which a name is looked up
_LOOKING_UP = ("getattr", "globals", "vars", "locals")
#: words of functions for a message that are called by what stands behind its type alone
_ANSWERS = frozenset({"handler", "event", "message", "msg", "request", "command", "cmd", "action", "callback", "received", "notification"})  # fmt: skip
_AFFIXES = re.compile(r"called (\w*)\*(\w*)$")


def named(source: Source, module: Module) -> Iterator[Found]:
    """``getattr(self, f"on_{kind}")``, in a class or of another module; and classes whose methods a library calls."""
    owners = {id(n): c for c in module.classes for n in functions_of(c.body).values()}
    top = functions_of(module.tree.body)
    looks_up = any(dotted(call.func) in _LOOKING_UP for call in module.calls)
    for each in source.saying(_may_look_up, module.functions) if looks_up else ():
        owner = owners.get(id(each.node))
        made = by_name(each.node, owner, functions_of(owner.body) if owner else top)
        if made is not None and _is_of_types(each, made) and not _is_told_otherwise(each.node):
            whole = [key for key in made.keys if _is_plain(key)]
            called = _called_in(owner) if owner and whole else frozenset()
            fits, near = arity.of(each.node), functions_of(owner.body) if owner else top
            keys = [
                key
                for key in made.keys
                if (key not in whole or key.handler not in called)
                and (key.handler not in near or fits(near[key.handler]))
            ]
            yield from _answered(source, module, each.name, each.node, made._replace(keys=keys))
    for node in module.classes:
        events = of_library(node)
        if events is not None:
            yield from _answered(source, module, node.name, node, events)


def _is_of_types(function: Named, made: Dispatch) -> bool:
    """Whether what is looked up is the type of a message: not of a component, and not another way to call what is known."""
    before, behind = next(iter(_AFFIXES.findall(made.style)), ("", ""))
    if before + behind and not (before + behind).strip("_"):
        return False
    if behind and not before and _ANSWERS.isdisjoint(words_of(behind)):
        return False
    if speaks_of_messages(function.name):
        return True
    names = given_once(function.node)
    asked = [each for each in walk(function.node) if isinstance(each, ast.Call | ast.Subscript)]
    return any(not TYPES.isdisjoint(_words(each, names)) for each in asked)


def _words(node: ast.Call | ast.Subscript, names: Mapping[str, ast.expr]) -> set[str]:
    """Of the name that is looked up, and of what it is made of."""
    match node:
        case ast.Call(func=ast.Name(id="getattr"), args=[_, name, *_]):
            pass
        case ast.Subscript(value=ast.Call(func=ast.Name(id="globals" | "vars" | "locals")), slice=name):
            pass
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="globals"))), args=[name, *_]):
            pass
        case _:
            return set()
    if isinstance(name, ast.Constant):
        return set()
    made = [name, names.get(name.id, name)] if isinstance(name, ast.Name) else [name]
    return words_in(made)


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
