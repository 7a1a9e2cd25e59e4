"""What a module says about a mapping: literal entries, spreads, and everything that changes it later.

Read are dict literals, ``dict(...)``, ``A | B``, read-only wrappers, and then ``NAME[key] = value``, ``update``,
``setdefault``, ``|=``, ``del`` and ``pop`` wherever they stand. Keys and values stay symbols.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from typing import Any

from checks.rules.event_map import dispatch
from checks.rules.event_map.change import Change, Entry, key_of
from checks.rules.event_map.dispatched import dispatchers, handlers
from checks.tree.definitions import Function, bound_names, flat, module_scope
from checks.tree.parse import Parsed
from checks.tree.symbols import (
    Lookup,
    Symbol,
    dotted,
    expression_name,
)

_WRAPPERS = frozenset(
    {"dict", "MappingProxyType", "OrderedDict", "frozendict", "ChainMap", "defaultdict", "copy", "deepcopy"}
)
_READERS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log", "update"})
_UNREADABLE = ast.Constant(...)


def changes(parsed: Parsed, name: str) -> Iterator[Change]:
    """Every statement of the module about a mapping called ``name``, in order."""
    _, _, look = module_scope(parsed.path, parsed.tree)
    yield from _assignments(parsed, name, look)
    yield from dispatchers(parsed, name, look)
    for node in _seen(parsed.tree, name):
        if isinstance(node, ast.stmt | ast.Call):
            found = _later(node, name, look)
            if found is not None:
                yield found
        yield from handlers(node, name, look)


def _seen(node: ast.AST, name: str) -> Iterator[ast.AST]:
    """Everything below a node, but for what is in functions in which the name is a variable of their own."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not (isinstance(child, Function) and _is_own_in(child, name)):
            yield from _seen(child, name)


def _is_own_in(function: Function, name: str) -> bool:
    statements = flat(function.body)
    if any(isinstance(n, ast.Global) and name in n.names for n in statements):
        return False
    arguments = function.args
    own = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    return name in own or any(name in bound_names(n) for n in statements if not isinstance(n, Function))


def _assignments(parsed: Parsed, name: str, look: Lookup) -> Iterator[Change]:
    bodies = [("", parsed.tree.body)]
    bodies += [(n.name, n.body) for n in flat(parsed.tree.body) if isinstance(n, ast.ClassDef)]
    for owner, body in bodies:
        methods = [inner for n in flat(body) if owner and isinstance(n, Function) for inner in flat(n.body)]
        for node in (*flat(body), *methods):
            for value in _given(node, f"self.{name}" if node in methods else name):
                target = Symbol("obj", f"{parsed.path}:{owner}.{name}" if owner else f"{parsed.path}:{name}")
                yield _change("assign", target, owner, node, value, look)
            for above, value in _given_to_class(node, name) if not owner else ():
                yield _change(
                    "assign", Symbol("obj", f"{parsed.path}:{above}.{name}"), above, node, value, look
                )


def _given(node: ast.stmt, name: str) -> Iterator[ast.expr]:
    """What a statement assigns to the name, alone or in a row: ``a, NAME = x, {...}``."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        pairs: list[tuple[ast.expr, ast.expr]] = [(node.target, node.value)]
    elif isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    else:
        return
    for target, value in pairs:
        if dotted(target) == name:
            yield value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            inner = zip(target.elts, value.elts, strict=False)
            yield from (v for t, v in inner if isinstance(t, ast.Name) and t.id == name)


def _given_to_class(node: ast.stmt, name: str) -> Iterator[tuple[str, ast.expr]]:
    """``Router.NAME = {...}`` below the class."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if (
                isinstance(target, ast.Attribute)
                and target.attr == name
                and isinstance(target.value, ast.Name)
            ):
                yield target.value.id, node.value


def _later(node: ast.AST, name: str, look: Lookup) -> Change | None:
    """A change by subscript, operator or method; None when the node is no such thing.

    Each is read as if it were a literal: ``NAME[key] = value`` as ``{key: value}``. For what is removed the value does not
    matter.
    """
    kind = "update"
    match node:
        case ast.Assign(targets=[ast.Subscript(value=receiver, slice=key), *_], value=value):
            made: ast.expr = ast.Dict([key], [value])
        case ast.AugAssign(target=receiver, op=ast.BitOr(), value=made):
            pass
        case ast.Delete(targets=[ast.Subscript(value=receiver, slice=key), *_]):
            kind, made = "remove", ast.Dict([key], [key])
        case ast.Expr(value=ast.Call() as call):
            return _handed_over(call, name, look)
        case ast.Call(func=ast.Attribute(value=receiver, attr="update"), args=args, keywords=keywords):
            made = ast.Call(ast.Name("dict"), args, keywords)
        case ast.Call(
            func=ast.Attribute(value=receiver, attr="pop" | "setdefault" as method), args=[key, *more]
        ):
            kind = "remove" if method == "pop" else "update"
            made = ast.Dict([key], [(key, *more)[-1]])
        case _:
            return None
    return _about(receiver, kind, node, made, name, look)


def _handed_over(call: ast.Call, name: str, look: Lookup) -> Change | None:
    """``fill(NAME)``: the function may add entries that cannot be read here, so the map is open from then on."""
    word = dotted(call.func).rpartition(".")[2]
    if word in _READERS or hasattr(builtins, word):
        return None
    return next(
        (found for a in call.args if (found := _about(a, "update", call, _UNREADABLE, name, look))), None
    )


def _about(
    receiver: ast.expr, kind: str, node: Any, value: ast.expr, name: str, look: Lookup
) -> Change | None:
    if dotted(receiver).rpartition(".")[2] != name:
        return None
    target = expression_name(receiver, look)
    return _change(kind, target, "", node, value, look) if target is not None else None


def _change(kind: str, target: Symbol, owner: str, node: Any, value: ast.expr, look: Lookup) -> Change:
    made = Change(kind, target, owner, node.lineno, node.col_offset + 1, [], False, [])
    is_open = _read(value, made, look)
    literal = _inside(value) if kind == "assign" else None
    last = literal.values[-1] if literal is not None and literal.values else None
    end = [last.end_lineno or 0, last.end_col_offset or 0] if last is not None else []
    return made._replace(is_open=is_open, end=end)


def _inside(value: ast.expr) -> ast.Dict | None:
    """The literal, also where a wrapper is around it: ``MappingProxyType({...})``."""
    while isinstance(value, ast.Call) and dotted(value.func).rpartition(".")[2] in _WRAPPERS and value.args:
        value = value.args[-1]
    return value if isinstance(value, ast.Dict) else None


def _read(value: ast.expr, made: Change, look: Lookup) -> bool:
    """Add what ``value`` holds; True when some of it cannot be read."""
    match value:
        case ast.Dict():
            return _read_literal(value, made, look)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right) if not _is_union(value):
            return bool(_read(left, made, look) + _read(right, made, look))
        case ast.Call():
            return _read_call(value, made, look)
        case ast.DictComp():
            return _read_each(value, made, look)
        case ast.List() | ast.Tuple() if (pairs := _pairs(value)) is not None:
            return _read_literal(pairs, made, look)
    members = dispatch.union_of(value)
    if members is not None and not isinstance(value, ast.Name | ast.Attribute):
        place = (value.lineno, value.col_offset + 1)
        made.entries.extend(
            Entry(None, *place, "message", expression_name(each, look), "") for each in members
        )
        return False
    symbol = expression_name(value, look)
    if symbol is None:
        return True
    made.entries.append(Entry(None, value.lineno, value.col_offset + 1, "spread", symbol, ""))
    return False


def _is_union(value: ast.expr) -> bool:
    """Of classes, by the small letters in their names; mappings are constants mostly."""
    members = dispatch.union_of(value) or []
    names = [dotted(each).rpartition(".")[2] for each in members]
    return bool(names) and all(name != name.upper() for name in names)


def _read_each(value: ast.DictComp, made: Change, look: Lookup) -> bool:
    """``{kind.value: handle for kind in Kind}``, ``{name: handle for name in ("a", "b")}``."""
    generator = value.generators[0]
    is_plain = len(value.generators) == 1 and not generator.ifs and isinstance(generator.target, ast.Name)
    turn = generator.target.id if isinstance(generator.target, ast.Name) else ""
    if not is_plain or dotted(value.key) not in (turn, f"{turn}.value", f"{turn}.name"):
        return True
    place = (value.lineno, value.col_offset + 1)
    if isinstance(generator.iter, ast.Tuple | ast.List | ast.Set):
        keys = [key_of(each, look) for each in generator.iter.elts]
        made.entries.extend(Entry(key, *place, "handler", None, "") for key in keys)
        return False
    symbol = expression_name(generator.iter, look)
    made.entries.append(
        Entry(None, *place, "members", symbol, "name" if dotted(value.key) == f"{turn}.name" else "")
    )
    return symbol is None


def _read_literal(value: ast.Dict, made: Change, look: Lookup) -> bool:
    is_open = False
    for key, item in zip(value.keys, value.values, strict=True):
        if key is None:
            is_open |= _read(item, made, look)
        else:
            made.entries.append(Entry(key_of(key, look), key.lineno, key.col_offset + 1, *_value(item, look)))
    return is_open


def _read_call(value: ast.Call, made: Change, look: Lookup) -> bool:
    name = dotted(value.func).rpartition(".")[2]
    if name == "copy" and not value.args and isinstance(value.func, ast.Attribute):
        return _read(value.func.value, made, look)
    if name == "fromkeys" and value.args and isinstance(value.args[0], ast.List | ast.Tuple | ast.Set):
        keys = value.args[0].elts
        given = value.args[1] if len(value.args) > 1 else ast.Constant(None)
        return _read_literal(ast.Dict(keys=list(keys), values=[given] * len(keys)), made, look)
    if name not in _WRAPPERS:
        return True
    is_open = False
    for argument in value.args[1:] if name == "defaultdict" else value.args:
        pairs = _pairs(argument)
        is_open |= _read(pairs if pairs is not None else argument, made, look)
    for keyword in value.keywords:
        if keyword.arg is None:
            is_open |= _read(keyword.value, made, look)
        else:
            key = Symbol("const", keyword.arg)
            form, base, member = _value(keyword.value, look)
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


def _value(node: ast.expr, look: Lookup) -> tuple[str, Symbol | None, str]:
    match node:
        case ast.Constant(value=str(text)):
            return "text", None, text
        case ast.Attribute(value=ast.Attribute(value=base, attr=member), attr="value" | "name"):
            return "member", expression_name(base, look), member
        case ast.Attribute(value=base, attr=member):
            return "member", expression_name(base, look), member
        case ast.Subscript(value=base, slice=ast.Constant(value=text)):
            return "member", expression_name(base, look), str(text)
        case ast.Call(func=base, args=[ast.Constant(value=text)]):
            return "value", expression_name(base, look), repr(text)
        case _:
            return "other", expression_name(node, look), ""
