"""Whether a function keeps a handler, or only wraps it: of decorators, one that keeps nothing is no registry.

Kept is what is put into a mapping or a list, handed to a call that registers, or marked with its key for somebody to
collect. What a wrapper does once it is called is no part of that: it may put the function into a queue each time.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from checks.service.outline import HANDLES, REGISTER
from checks.service.source import Source
from checks.tree.body import Function, below, names_given, walk
from checks.tree.symbols import dotted

#: words of calls that keep what they are given
_KEEPS = frozenset(
    {"register", "add", "append", "on", "subscribe", "bind", "connect", "insert", "put", "setdefault"}
    | {"listen", "listener", "hook", "handler", "handlers", "route", "update", "extend", "set", "store"}
)
#: libraries that make commands of functions, and words of decorators for the arguments of one
_SHELLS = frozenset({"click", "typer", "asyncclick", "rich_click", "cyclopts", "cloup"})
_ARGUMENTS = frozenset({"arg", "args", "argument", "option", "param", "parameter"})


def keeps(node: Function) -> bool:
    """Whether a function puts what it is given, or what the decorator that it makes is given, somewhere."""
    own = _parameters(node)
    inner = any(isinstance(each, Function | ast.Lambda) for each in _near(node.body))
    return _keeps(node.body, own, frozenset() if inner else own) or (inner and _keeps(node.body, own, own))


def wraps(node: Function) -> bool:
    """Whether it makes a function that calls the one it is given, and keeps neither."""
    given = _parameters(node)
    inner = [each for each in walk(node) if isinstance(each, Function) and each is not node]
    known = given.union(*map(_parameters, inner))
    return any(_calls(each, known - _parameters(each)) for each in inner) and not keeps(node)


def names_itself(node: Function) -> bool:
    """Whether a decorator keeps what it stands above under that one's own name."""
    own = frozenset(names_given(node, _is_name))
    for each in walk(node):
        match each:
            case ast.Subscript(slice=key, ctx=ast.Store()):
                keys = [key]
            case ast.Call(func=called, args=args) if not _KEEPS.isdisjoint(_words(called)):
                keys = args
            case _:
                continue
        if any(_is_name(key) or (isinstance(key, ast.Name) and key.id in own) for key in keys):
            return True
    return False


def _is_name(node: ast.expr) -> bool:
    """``f.__name__``, also where another is given: ``name or f.__name__``."""
    several = node.values if isinstance(node, ast.BoolOp) else [node]
    several = [several[0].body, several[0].orelse] if isinstance(several[0], ast.IfExp) else several
    return any(isinstance(each, ast.Attribute) and each.attr == "__name__" for each in several)


def is_for_shells(source: Source, path: str, name: str) -> bool:
    """Whether a decorator makes what is typed in a shell: an argument of it, or a command of a library for that."""
    if not _ARGUMENTS.isdisjoint(name.lower().split("_")):
        return True
    return name in ("command", "group", "callback") and any(
        source.full_name(path, each).partition(".")[0] in _SHELLS for each in source.imported(path)
    )


def _words(called: ast.expr) -> list[str]:
    return re.split(r"[^a-z]+", dotted(called).rpartition(".")[2].lower())


def _keeps(body: list[ast.stmt], given: frozenset[str], kept: frozenset[str]) -> bool:
    """Args: given: all names that were handed in; kept: those that may be the handler."""
    inside = list(_near(body))
    returned = {
        name.id
        for each in inside
        if isinstance(each, ast.Return) and each.value is not None
        for name in walk(each.value)
        if isinstance(name, ast.Name)
    }
    for each in inside:
        if isinstance(each, Function):
            if _calls(each, given):  # a wrapper stands for what it wraps
                kept |= {each.name}
            elif each.name in returned and _keeps(
                each.body, given | _parameters(each), kept | _parameters(each)
            ):
                return True
        elif isinstance(each, ast.Lambda) and _is_kept(each.body, kept | _parameters(each)):
            return True
    return any(_is_kept(each, kept) for each in inside)


def _is_kept(node: ast.AST, kept: frozenset[str]) -> bool:
    match node:
        case ast.Assign(targets=targets, value=value):
            marked = any(isinstance(t, ast.Attribute) and dotted(t.value) in kept for t in targets)
            stored = any(isinstance(t, ast.Subscript) for t in targets)
            return (stored and _names(value, kept)) or (marked and not isinstance(value, ast.Constant))
        case ast.Call(func=ast.Name(id="setattr"), args=[target, _, value]):
            return dotted(target) in kept and not isinstance(value, ast.Constant)
        case ast.Call(func=made, args=[method, *_]) if dotted(made).endswith("partial"):
            return dotted(method).rpartition(".")[2] in REGISTER | HANDLES
        case ast.Call(func=called, args=args, keywords=keywords):
            given = [*args, *(k.value for k in keywords)]
            return not _KEEPS.isdisjoint(_words(called)) and any(_names(each, kept) for each in given)
    return False


def _near(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """What stands in it, functions by themselves without what is in them."""
    left: list[ast.AST] = list(body)
    for each in left:  # it grows
        yield each
        if not isinstance(each, Function | ast.Lambda):
            left += below(each)


def _calls(node: Function, names: frozenset[str]) -> bool:
    return any(isinstance(each, ast.Call) and dotted(each.func) in names for each in walk(node))


def _names(node: ast.AST, names: frozenset[str]) -> bool:
    return any(isinstance(each, ast.Name) and each.id in names for each in walk(node))


def _parameters(node: Function | ast.Lambda) -> frozenset[str]:
    """Without the object's own; a decorator of classes may call what it is given ``cls``."""
    args = node.args
    every = [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return frozenset(every[1:] if every[:1] == ["self"] or (every[:1] == ["cls"] and every[1:]) else every)
