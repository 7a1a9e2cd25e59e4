"""What names at the top of a module are given by calls and by other names: loggers and encoders, mostly."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from checks.tree.definitions import simple
from checks.tree.symbols import Lookup, Symbol

_GIVING = (ast.Call, ast.Name, ast.Attribute)


def top_values(statements: Iterable[ast.stmt], look: Lookup) -> dict[str, Symbol | None]:
    """By name; ``dumps = orjson.dumps`` and ``dumps = json.dumps`` where that is missing are one of two, and unknown."""
    found: dict[str, Symbol | None] = {}
    for node in statements:
        if isinstance(node, ast.Assign) and isinstance(node.value, _GIVING):
            value = simple(node.value, look)
            is_made = isinstance(node.value, ast.Call)
            for target in node.targets:
                if isinstance(target, ast.Name):
                    is_other = not is_made and target.id in found and found[target.id] != value
                    found[target.id] = None if is_other else value
    return found
