"""Calls and what stands around and below them, as they are written: nothing of what a name is."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from checks.tree.definitions import Function
from checks.tree.locals import key_of
from checks.tree.symbols import dotted

#: between an expression and those below it
_HOLDERS = (ast.keyword, ast.comprehension)
_KINDS = [each for each in vars(ast).values() if isinstance(each, type) and issubclass(each, ast.AST)]
#: by kind of node, where it may have expressions
_FIELDS = {
    kind: tuple(
        name for name in kind._fields if name not in ("ctx", "op", "ops", "attr", "arg", "id", "kind")
    )
    for kind in _KINDS
}
#: what has no expression below it, nor is one
_BARE = frozenset((ast.Name, ast.Constant, str, int, type(None)))


def last_of(call: ast.Call) -> str:
    return dotted(call.func).rpartition(".")[2]


def is_own_call(node: ast.AST) -> bool:
    """``self.method(...)``."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self"))):
            return True
    return False


def is_marked(node: Function, word: str) -> bool:
    return any(dotted(d).endswith(word) for d in node.decorator_list)


def added(call: ast.Call) -> Iterator[tuple[str | None, ast.expr]]:
    """Keys, where there are any, and values that a method call adds to its container."""
    last = call.args[-1] if call.args else None
    if isinstance(last, ast.Dict):
        yield from ((key_of(key), value) for key, value in zip(last.keys, last.values, strict=True))
    elif last is not None:
        yield (key_of(call.args[0]) if len(call.args) > 1 else None), last
    yield from ((keyword.arg, keyword.value) for keyword in call.keywords)


def expressions_below(node: ast.AST) -> list[ast.expr]:
    """The expressions right below a node that may hold calls; as ``ast.iter_child_nodes``, but for speed."""
    below: list[ast.expr] = []
    for name in _FIELDS[type(node)]:
        found = getattr(node, name, None)
        for child in found if type(found) is list else (found,):
            while type(child) is ast.Attribute:
                child = child.value  # noqa: PLW2901 - what stands before the dot
            if type(child) in _BARE:
                continue
            if isinstance(child, _HOLDERS):
                below += expressions_below(child)
            elif isinstance(child, ast.expr):
                below.append(child)
    return below
