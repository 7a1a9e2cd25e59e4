"""What is put in the place of something else: values that are then in doubt."""

from __future__ import annotations

import ast

from checks.tree.containers import joined, spread
from checks.tree.handing import leaves_alone
from checks.tree.locals import Locals, doubted
from checks.tree.symbols import Symbol, dotted


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


def spread_below(call: ast.Call, first: Symbol | None, names: Locals) -> list[Symbol | None]:
    """What ``dict(row, at=...)`` takes from ``row``: what is given by name stands in the place of what was there."""
    given = {keyword.arg for keyword in call.keywords}
    local = names.get(dotted(call.args[0])) if call.args and given else None
    if local is not None and local.fields is not None:
        return [value for key, value in local.fields.items() if key not in given]
    taken = spread(first)
    return [joined(each, None) for each in taken] if given else taken


def hand_over(node: ast.stmt, names: Locals) -> None:
    """Doubt local containers and parameters that a statement hands to code which may change them in place.

    ``make_plain(row)`` alone in a line is called for what it does to the row; ``log.info(row)`` is not.
    """
    if not isinstance(node, ast.Expr):
        return
    call = node.value.value if isinstance(node.value, ast.Await) else node.value
    if not isinstance(call, ast.Call) or leaves_alone(_last_of(call)):
        return
    for each in (*call.args, *(keyword.value for keyword in call.keywords)):
        local = names.get(each.id) if isinstance(each, ast.Name) else None
        if local is not None and local.symbol is not None and local.symbol.form in ("box", "param"):
            names[each.id] = doubted(local)  # type: ignore[attr-defined]


def _last_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else dotted(call.func)


def as_update(node: ast.AugAssign) -> ast.Call | None:
    """``row |= {...}`` is ``row.update({...})``."""
    if not isinstance(node.op, ast.BitOr) or not isinstance(node.value, ast.Dict):
        return None
    return ast.copy_location(ast.Call(ast.Attribute(node.target, "update"), [node.value], []), node)


def _read_in(node: ast.expr) -> set[str]:
    called = {id(child.func) for child in ast.walk(node) if isinstance(child, ast.Call)}
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and id(n) not in called}
