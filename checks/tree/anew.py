"""What is put in the place of something else: values that are then in doubt."""

from __future__ import annotations

import ast

from checks.tree.locals import Locals, doubted
from checks.tree.symbols import dotted


def is_turn_of(key: ast.expr, container: ast.expr, names: Locals) -> bool:
    """``for key in row: row[key] = ...``: what was there is made anew."""
    local = names.get(key.id) if isinstance(key, ast.Name) else None
    name = dotted(container)
    if name not in names or local is None or local.source is None:
        return False
    return any(isinstance(n, ast.Name | ast.Attribute) and dotted(n) == name for n in ast.walk(local.source))


def doubt_by_key(test: ast.expr, target: ast.expr, names: Locals) -> None:
    """``for k, v in row.items() if k != "at"``: which of the values remain is not known."""
    match target:
        case ast.Tuple(elts=[ast.Name(id=key), ast.Name(id=value)]):
            if any(isinstance(n, ast.Name) and n.id == key for n in ast.walk(test)):
                names[value] = doubted(names[value])


def made_anew(node: ast.Dict) -> set[ast.expr]:
    """What is spread there and partly given a second time: ``{**row, "at": str(row["at"])}``."""
    found: set[ast.expr] = set()
    if None not in node.keys:
        return found
    later: set[str] = set()
    for key, value in zip(reversed(node.keys), reversed(node.values), strict=True):
        names = _read_in(value)
        if key is not None:
            later |= names
        elif names & later:
            found.add(value)
    return found


def _read_in(node: ast.expr) -> set[str]:
    called = {id(child.func) for child in ast.walk(node) if isinstance(child, ast.Call)}
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and id(n) not in called}
