"""Whether a function can be called as one that is looked up by its name is: another of that name answers no message."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from checks.tree.body import Function, names_given, walk
from checks.tree.symbols import dotted

_PLAIN = frozenset({"staticmethod", "classmethod"})


def of(node: Function) -> Callable[[Function], bool]:
    """Says of functions whether some call in ``node`` of what it looks up fits them; all do where none can be read."""
    calls = list(_calls(node))
    return lambda each: not calls or any(_fits(call, each) for call in calls)


def _calls(node: Function) -> Iterator[ast.Call]:
    """``getattr(self, name)(message)``, and ``handler(message)`` where it was given that."""
    held = frozenset(names_given(node, _looks_up))
    for each in walk(node):
        if isinstance(each, ast.Call) and (_looks_up(each.func) or dotted(each.func) in held):
            yield each


def _looks_up(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func) == "getattr"


def _fits(call: ast.Call, node: Function) -> bool:
    if any(isinstance(each, ast.Starred) for each in call.args) or not all(k.arg for k in call.keywords):
        return True
    decorators = {dotted(each) for each in node.decorator_list}
    if not decorators <= _PLAIN:
        return True
    own = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
    own = own[own[:1] in (["self"], ["cls"]) :]
    named = {k.arg for k in call.keywords}
    needed = [
        name for name in own[: len(own) - len(node.args.defaults)][len(call.args) :] if name not in named
    ]
    return not needed and (len(call.args) <= len(own) or node.args.vararg is not None)
