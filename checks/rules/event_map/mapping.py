"""What a module says about a mapping: literal entries, spreads, and everything that changes it later.

Read is what is assigned to the name (``reading.py`` says in which forms), and then ``NAME[key] = value``, ``update``,
``setdefault``, ``|=``, ``del`` and ``pop`` wherever they stand. Keys and values stay symbols.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from typing import Any, NamedTuple

from checks.rules.event_map.change import Change
from checks.rules.event_map.dispatched import dispatchers, handlers
from checks.rules.event_map.reading import Scope, change
from checks.rules.event_map.turns import Literals, literals, unrolled
from checks.tree.body import walk
from checks.tree.definitions import Function, bound_names, flat, module_scope
from checks.tree.parse import Parsed
from checks.tree.symbols import Symbol, dotted, expression_name

_READERS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log", "update"})
_UNREADABLE = ast.Constant(...)


def changes(parsed: Parsed, name: str) -> Iterator[Change]:
    """Every statement of the module about a mapping called ``name``, in order."""
    _, _, look = module_scope(parsed.path, parsed.tree)
    scope = Scope(look, literals(parsed.tree), parsed.path)
    yield from _assignments(parsed, name, scope)
    yield from dispatchers(parsed, name, look)
    for node, around in _seen(parsed.tree, name, scope.literals, Around()):
        if isinstance(node, ast.stmt | ast.Call):
            found = _later(node, name, around, scope)
            if found is not None:
                yield found
        yield from handlers(node, name, look)


class Around(NamedTuple):
    """The class and the functions that a statement is in, outermost first."""

    owner: str = ""
    functions: tuple[Function, ...] = ()

    def inside(self, node: ast.AST) -> Around:
        if isinstance(node, ast.ClassDef):
            return Around(node.name)
        return Around(self.owner, (*self.functions, node)) if isinstance(node, Function) else self

    def given(self, key: ast.expr) -> str:
        """The function that is handed what the key is made of; empty where none is."""
        name = dotted(key.values[0] if isinstance(key, ast.BoolOp) else key).partition(".")[0]
        return next((each.name for each in self.functions if name in _handed_to(each)), "")


def _handed_to(function: Function) -> set[str]:
    """Parameters, and what loops take from them."""
    given = function.args
    own = [*given.posonlyargs, *given.args, *given.kwonlyargs, *([given.vararg] if given.vararg else [])]
    names = {argument.arg for argument in own} - {"self", "cls"}
    loops = (n for n in walk(function) if isinstance(n, ast.For) and dotted(n.iter) in names)
    return names | {dotted(loop.target) for loop in loops}


def _seen(node: ast.AST, name: str, known: Literals, around: Around) -> Iterator[tuple[ast.AST, Around]]:
    """Everything below a node, but for what is in functions in which the name is a variable of their own.

    Loops over what is written out are gone through turn by turn.
    """
    for child in ast.iter_child_nodes(node):
        turned = unrolled(child, known) if isinstance(child, ast.For | ast.AsyncFor) else None
        if turned is not None:
            yield from _seen(ast.Module(turned, []), name, known, around)
            continue
        yield child, around
        if not (isinstance(child, Function) and _is_own_in(child, name)):
            yield from _seen(child, name, known, around.inside(child))


def _is_own_in(function: Function, name: str) -> bool:
    statements = flat(function.body)
    if any(isinstance(n, ast.Global) and name in n.names for n in statements):
        return False
    arguments = function.args
    own = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    return name in own or any(name in bound_names(n) for n in statements if not isinstance(n, Function))


def _assignments(parsed: Parsed, name: str, scope: Scope) -> Iterator[Change]:
    bodies = [("", parsed.tree.body)]
    bodies += [(n.name, n.body) for n in flat(parsed.tree.body) if isinstance(n, ast.ClassDef)]
    for owner, body in bodies:
        methods = [inner for n in flat(body) if owner and isinstance(n, Function) for inner in flat(n.body)]
        for node in (*flat(body), *methods):
            for value in _given(node, f"self.{name}" if node in methods else name):
                target = Symbol("obj", f"{parsed.path}:{owner}.{name}" if owner else f"{parsed.path}:{name}")
                yield change("assign", target, owner, node, value, scope)
            for above, value in _given_to_class(node, name) if not owner else ():
                yield change(
                    "assign", Symbol("obj", f"{parsed.path}:{above}.{name}"), above, node, value, scope
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


def _later(node: ast.AST, name: str, around: Around, scope: Scope) -> Change | None:
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
        case ast.Expr(
            value=ast.Call(
                func=ast.Attribute(value=ast.Subscript(value=receiver, slice=key), attr="append" | "add"),
                args=[value],
            )
        ):
            made = ast.Dict([key], [value])
        case ast.Expr(value=ast.Call() as call):
            return _handed_over(call, name, around, scope)
        case ast.Call(func=ast.Attribute(value=receiver, attr="update"), args=args, keywords=keywords):
            made = ast.Call(ast.Name("dict"), args, keywords)
        case ast.Call(
            func=ast.Attribute(value=receiver, attr="pop" | "setdefault" as method), args=[key, *more]
        ):
            kind = "remove" if method == "pop" else "update"
            made = ast.Dict([key], [(key, *more)[-1]])
        case _:
            return None
    return _about(receiver, kind, node, made, name, around, scope)


def _handed_over(call: ast.Call, name: str, around: Around, scope: Scope) -> Change | None:
    """``fill(NAME)``: the function may add entries that cannot be read here, so the map is open from then on."""
    word = dotted(call.func).rpartition(".")[2]
    if word in _READERS or hasattr(builtins, word):
        return None
    return next(
        (found for a in call.args if (found := _about(a, "update", call, _UNREADABLE, name, around, scope))),
        None,
    )


def _about(
    receiver: ast.expr, kind: str, node: Any, value: ast.expr, name: str, around: Around, scope: Scope
) -> Change | None:
    if dotted(receiver).rpartition(".")[2] != name:
        return None
    is_own = dotted(receiver) in (f"self.{name}", f"cls.{name}")
    target = (
        Symbol("obj", f"{scope.path}:{around.owner}.{name}")
        if is_own
        else expression_name(receiver, scope.look)
    )
    if target is None:
        return None
    key = value.keys[0] if kind == "update" and isinstance(value, ast.Dict) and value.keys else None
    maker = around.given(key) if key is not None else ""
    if maker:
        return Change("below", target, maker, node.lineno, node.col_offset + 1, [], False, [])
    return change(kind, target, around.owner if is_own else "", node, value, scope)
