"""What names at the top of a module are given by calls and by other names: loggers and encoders, mostly."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from checks.tree.definitions import simple
from checks.tree.symbols import Lookup, Symbol, dotted, expression_name

#: keywords with which ``json.dumps`` writes more than it does
_ENCODING = frozenset({"cls", "default", "skipkeys", None})
_GIVING = (ast.Call, ast.Name, ast.Attribute)


def top_values(statements: Iterable[ast.stmt], look: Lookup) -> dict[str, Symbol | None]:
    """By name; ``dumps = orjson.dumps`` and ``dumps = json.dumps`` where that is missing are one of two, and unknown."""
    found: dict[str, Symbol | None] = {}
    for node in statements:
        if isinstance(node, ast.Assign) and isinstance(node.value, _GIVING):
            value = simple(_bound(node.value, look), look)
            is_made = isinstance(node.value, ast.Call)
            for target in node.targets:
                if isinstance(target, ast.Name):
                    is_other = not is_made and target.id in found and found[target.id] != value
                    found[target.id] = None if is_other else value
    return found


def _bound(node: ast.expr, look: Lookup) -> ast.expr:
    """``partial(json.dumps, indent=2)`` does what its function does, unless it is given another way to write."""
    if not isinstance(node, ast.Call) or len(node.args) != 1:
        return node
    if dotted(node.func).rpartition(".")[2] != "partial" or not _ENCODING.isdisjoint(
        k.arg for k in node.keywords
    ):
        return node
    callee = expression_name(node.func, look)
    return node.args[0] if callee is not None and callee.name == "functools.partial" else node
