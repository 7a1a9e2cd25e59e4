"""What an expression says about a mapping that is made of it, or changed by it."""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

from checks.rules.event_map.change import Change, Entry, key_of
from checks.rules.event_map.keys import is_key
from checks.rules.event_map.messages import tag_of, union_of
from checks.rules.event_map.registered import row_key
from checks.rules.event_map.turns import Literals, put_in, turns
from checks.tree.symbols import Lookup, Symbol, dotted, expression_name

_WRAPPERS = frozenset(
    {
        "dict", "MappingProxyType", "OrderedDict", "frozendict", "ChainMap", "defaultdict", "copy", "deepcopy",
        "set", "frozenset", "tuple", "list",
    }
)  # fmt: skip
_PAIR = ast.Tuple([ast.Name("key"), ast.Name("value")])


class Scope(NamedTuple):
    """What names stand for in a module."""

    look: Lookup
    literals: Literals
    path: str


def change(kind: str, target: Symbol, owner: str, node: Any, value: ast.expr, scope: Scope) -> Change:
    made = Change(kind, target, owner, node.lineno, node.col_offset + 1, [], False, [])
    is_open = _read(value, made, scope)
    literal = _inside(value) if kind == "assign" else None
    last = literal.values[-1] if literal is not None and literal.values else None
    end = [last.end_lineno or 0, last.end_col_offset or 0] if last is not None else []
    return made._replace(is_open=is_open, end=end)


def _inside(value: ast.expr) -> ast.Dict | None:
    """The literal, also where a wrapper is around it: ``MappingProxyType({...})``."""
    while isinstance(value, ast.Call) and dotted(value.func).rpartition(".")[2] in _WRAPPERS and value.args:
        value = value.args[-1]
    return value if isinstance(value, ast.Dict) else None


def _read(value: ast.expr, made: Change, scope: Scope) -> bool:
    """Add what ``value`` holds; True when some of it cannot be read."""
    match value:
        case ast.Dict():
            return _read_literal(value, made, scope)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right) if not _is_union(value):
            return bool(_read(left, made, scope) + _read(right, made, scope))
        case ast.Call():
            return _read_call(value, made, scope)
        case ast.DictComp():
            return _read_each(value, made, scope)
        case ast.IfExp(body=one, orelse=other) | ast.BoolOp(values=[one, other]):
            return _read_either(one, other, made, scope)
        case ast.List() | ast.Tuple() if (pairs := _pairs(value)) is not None:
            return _read_literal(pairs, made, scope)
        case ast.List() | ast.Tuple() | ast.Set():
            return _read_rows(value, made, scope)
    members = union_of(value)
    if members is not None and not isinstance(value, ast.Name | ast.Attribute):
        made.entries.extend(_member(each, value, scope) for each in members)
        return False
    symbol = expression_name(value, scope.look)
    if symbol is None:
        return True
    made.entries.append(Entry(None, value.lineno, value.col_offset + 1, "spread", symbol, ""))
    return False


def _read_either(one: ast.expr, other: ast.expr, made: Change, scope: Scope) -> bool:
    """One or the other: a key that both hold is told once."""
    is_open = _read(one, made, scope)
    more = made._replace(entries=[])
    is_open |= _read(other, more, scope)
    known = {entry.key for entry in made.entries}
    made.entries.extend(entry for entry in more.entries if entry.key is None or entry.key not in known)
    return is_open


def _member(node: ast.expr, union: ast.expr, scope: Scope) -> Entry:
    """One class of a union; a tag is its key."""
    place, tag = (union.lineno, union.col_offset + 1), tag_of(node)
    if tag is not None:
        return Entry(key_of(tag, scope.look), *place, "handler", None, "")
    return Entry(None, *place, "message", expression_name(node, scope.look), "")


def _is_union(value: ast.expr) -> bool:
    """Of classes, by the small letters in their names; mappings are constants mostly."""
    members = union_of(value) or []
    names = [dotted(each).rpartition(".")[2] for each in members]
    return bool(names) and all(name != name.upper() for name in names)


def _read_each(value: ast.DictComp, made: Change, scope: Scope) -> bool:
    """``{kind.value: handle for kind in Kind}``, ``{name: handle for name in ("a", "b")}``, ``{c.type: c for c in (A, B)}``."""
    generator = value.generators[0]
    place = (value.lineno, value.col_offset + 1)
    if len(value.generators) > 1:
        return True
    found = turns(generator.target, generator.iter, scope.literals)
    if found is not None:
        keys = [key_of(put_in(value.key, bound), scope.look) for bound in found]
        made.entries.extend(Entry(key, *place, "handler", None, "") for key in keys)
        return _leave_out(generator, made, scope)
    turn = generator.target.id if isinstance(generator.target, ast.Name) else ""
    if not turn or dotted(value.key) not in (turn, f"{turn}.value", f"{turn}.name"):
        return True
    symbol = expression_name(generator.iter, scope.look)
    made.entries.append(
        Entry(None, *place, "members", symbol, "name" if dotted(value.key) == f"{turn}.name" else "")
    )
    return _leave_out(generator, made, scope) or symbol is None


def _leave_out(generator: ast.comprehension, made: Change, scope: Scope) -> bool:
    """``if kind is not Kind.X``, ``if kind not in (Kind.X, ...)``; True where another condition stands."""
    is_open = False
    for test in generator.ifs:
        match test:
            case ast.Compare(left=left, ops=[ast.NotEq() | ast.IsNot()], comparators=[key]):
                keys = [key]
            case ast.Compare(
                left=left, ops=[ast.NotIn()], comparators=[ast.Tuple() | ast.List() | ast.Set() as row]
            ):
                keys = row.elts
            case _:
                is_open = True
                continue
        is_open |= dotted(left).removesuffix(".value") != dotted(generator.target) or not all(
            map(is_key, keys)
        )
        made.entries.extend(
            Entry(key_of(key, scope.look), key.lineno, key.col_offset + 1, "without", None, "")
            for key in keys
        )
    return is_open


def _read_rows(value: ast.Tuple | ast.List | ast.Set, made: Change, scope: Scope) -> bool:
    """``[Route("x", f), ...]``, ``{"x", "y"}``."""
    found = [(row_key(row), row) for row in value.elts]
    made.entries.extend(
        Entry(key_of(key, scope.look), row.lineno, row.col_offset + 1, "handler", None, "")
        for key, row in found
        if key is not None
    )
    return any(key is None for key, _ in found)


def _read_literal(value: ast.Dict, made: Change, scope: Scope) -> bool:
    is_open = False
    for key, item in zip(value.keys, value.values, strict=True):
        if key is None:
            is_open |= _read(item, made, scope)
        else:
            made.entries.append(
                Entry(key_of(key, scope.look), key.lineno, key.col_offset + 1, *_value(item, scope))
            )
    return is_open


def _read_call(value: ast.Call, made: Change, scope: Scope) -> bool:
    name = dotted(value.func).rpartition(".")[2]
    if name == "copy" and not value.args and isinstance(value.func, ast.Attribute):
        return _read(value.func.value, made, scope)
    if name == "fromkeys" and value.args and isinstance(value.args[0], ast.List | ast.Tuple | ast.Set):
        keys = value.args[0].elts
        given = value.args[1] if len(value.args) > 1 else ast.Constant(None)
        return _read_literal(ast.Dict(keys=list(keys), values=[given] * len(keys)), made, scope)
    if name not in _WRAPPERS:
        return True
    if name in ("set", "frozenset", "tuple", "list") and not value.args:
        return False
    is_open = False
    for argument in value.args[1:] if name == "defaultdict" else value.args:
        columns = turns(_PAIR, argument, scope.literals) if isinstance(argument, ast.Call) else None
        pairs = _pairs(argument)
        if columns is not None:
            pairs = ast.Dict([bound["key"] for bound in columns], [bound["value"] for bound in columns])
        is_open |= _read(pairs if pairs is not None else argument, made, scope)
    for keyword in value.keywords:
        if keyword.arg is None:
            is_open |= _read(keyword.value, made, scope)
        else:
            key = Symbol("const", keyword.arg)
            form, base, member = _value(keyword.value, scope)
            made.entries.append(Entry(key, keyword.lineno, keyword.col_offset + 1, form, base, member))
    return is_open


def _pairs(node: ast.expr) -> ast.Dict | None:
    """``[(key, value), ...]`` as a literal."""
    if not isinstance(node, ast.List | ast.Tuple) or not node.elts:
        return None
    pairs = [each.elts for each in node.elts if isinstance(each, ast.Tuple) and len(each.elts) == 2]
    if len(pairs) != len(node.elts):
        return None
    return ast.Dict(keys=[p[0] for p in pairs], values=[p[1] for p in pairs])


def _value(node: ast.expr, scope: Scope) -> tuple[str, Symbol | None, str]:
    match node:
        case ast.Constant(value=str(text)):
            return "text", None, text
        case ast.Attribute(value=ast.Attribute(value=base, attr=member), attr="value" | "name"):
            return "member", expression_name(base, scope.look), member
        case ast.Attribute(value=base, attr=member):
            return "member", expression_name(base, scope.look), member
        case ast.Subscript(value=base, slice=ast.Constant(value=text)):
            return "member", expression_name(base, scope.look), str(text)
        case ast.Call(func=base, args=[ast.Constant(value=text)]):
            return "value", expression_name(base, scope.look), repr(text)
        case _:
            return "other", expression_name(node, scope.look), ""
