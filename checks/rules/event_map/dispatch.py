"""Dispatch that is no dictionary, read as if it were one: each style's keys, and what one more would be written like.

A chain of ``if`` and ``match`` on one value, ``getattr(self, f"on_{kind}")``, decorators and calls that register a handler,
subclasses with a literal of their own, and unions of them.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from checks.tree.definitions import Function, flat
from checks.tree.symbols import dotted

REGISTERED = "handlers that are registered"
KINDS = ("type", "kind", "event", "event_type", "message_type", "action", "name", "op", "topic")


#: by its name, what stands in a row at the top of the module
Rows = Mapping[str, list[ast.expr]]


class Key(NamedTuple):
    """One key where it stands; ``handler`` is what answers it, empty where that has no name."""

    node: ast.expr
    handler: str


class Dispatch(NamedTuple):
    """Keys of one dispatcher, in order.

    Args:
        style: what it is, in words.
        example: how one more is written; ``{key}`` stands for its key.
        is_open: something in it cannot be read.
    """

    style: str
    example: str
    keys: list[Key]
    is_open: bool = False


def of_function(node: Function, owner: ast.ClassDef | None, rows: Rows) -> Dispatch | None:
    """How a function chooses by a value; None where it does not, as one that registers handlers."""
    found = _by_name(node, owner), _by_comparison(node, rows), _by_table(node)
    return found[0] or max((each for each in found if each), key=lambda each: len(each.keys), default=None)


def rows_of(body: list[ast.stmt]) -> Rows:
    """Texts that stand in a row under a name: ``PROGRESS = frozenset({"a", "b"})``."""
    found: dict[str, list[ast.expr]] = {}
    for node in body:
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Call) and dotted(value.func) in ("frozenset", "set", "tuple") and value.args:
            value = value.args[0]
        if isinstance(value, ast.Tuple | ast.List | ast.Set) and all(map(_is_key, value.elts)):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            found |= {target.id: value.elts for target in targets if isinstance(target, ast.Name)}
    return found


def _by_table(node: Function) -> Dispatch | None:
    """A dictionary inside of the function, subscripted by what is not constant."""
    tables = {
        target.id: child.value
        for child in ast.walk(node)
        if isinstance(child, ast.Assign) and isinstance(child.value, ast.Dict)
        for target in child.targets
        if isinstance(target, ast.Name)
    }
    for child in ast.walk(node):
        match child:
            case ast.Subscript(value=table, slice=key, ctx=ast.Load()):
                pass
            case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[key, *_]):
                pass
            case _:
                continue
        made = tables.get(table.id) if isinstance(table, ast.Name) else table
        if isinstance(made, ast.Dict) and not isinstance(key, ast.Constant) and made.keys:
            keys = [
                Key(each, dotted(value)) for each, value in zip(made.keys, made.values, strict=True) if each
            ]
            is_open = len(keys) < len(made.keys) or not all(_is_key(each.node) for each in keys)
            return Dispatch(f"a dictionary in {node.name}", '"{key}": ...,', keys, is_open)
    return None


def _by_comparison(node: Function, rows: Rows) -> Dispatch | None:
    """``if kind == "x"`` and ``match kind``: of all values that are compared with text, the one compared most."""
    found: dict[str, list[Key]] = defaultdict(list)
    matched: set[str] = set()
    for child in ast.walk(node):
        if isinstance(child, ast.If | ast.IfExp | ast.While):
            for subject, key in (*_compared(child.test), *_in_row(child, rows)):
                found[subject].append(Key(key, ""))
        elif isinstance(child, ast.Match):
            subject = _subject(child.subject)
            for case in child.cases:
                for key in _patterns(case.pattern):
                    matched.add(subject)
                    found[subject].append(Key(key, ""))
    if not found:
        return None
    subject = max(found, key=lambda each: len(found[each]))
    keys, is_open = found[subject], any(_is_unread(child, subject, rows) for child in ast.walk(node))
    if subject in matched:
        return Dispatch(f"match in {node.name}", 'case "{key}":', keys, is_open)
    return Dispatch(f"a chain of if in {node.name}", f'elif {subject} == "{{key}}":', keys, is_open)


def _in_row(node: ast.If | ast.IfExp | ast.While, rows: Rows) -> Iterator[tuple[str, ast.expr]]:
    """``kind in PROGRESS``, where that decides alone: what is asked again below is only known to be some message."""
    match node.test:
        case ast.Compare(left=left, ops=[ast.In()], comparators=[ast.Name(id=name)]) if name in rows:
            subject = ast.unparse(left)
            below = node.body if isinstance(node.body, list) else [node.body]
            inside = [child for each in below for child in ast.walk(each)]
            asks_again = any(
                (isinstance(child, ast.Compare | ast.Match) and subject in ast.unparse(child))
                or _is_unread(child, subject, {})
                for child in inside
            )
            yield from ((_subject(left), key) for key in rows[name] if not asks_again)


def _is_unread(node: ast.AST, subject: str, rows: Rows) -> bool:
    """Whether the value is looked up where its keys are not written: ``kind in KNOWN``, ``kind.startswith("x")``, ``MAP[kind]``."""
    match node:
        case ast.Compare(left=left, ops=[ast.In()], comparators=[ast.Name() | ast.Attribute() as row]):
            return ast.unparse(left) == subject and dotted(row) not in rows
        case ast.Call(func=ast.Attribute(value=value, attr="startswith" | "endswith")):
            return ast.unparse(value) == subject
        case ast.Call(func=ast.Attribute(attr="get"), args=[key, *_]) | ast.Subscript(slice=key):
            return ast.unparse(key) == subject
    return False


def _compared(test: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match test:
        case ast.BoolOp(values=values):
            for each in values:
                yield from _compared(each)
        case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[right]):
            if _is_key(right):
                yield _subject(left), right
            elif _is_key(left):
                yield _subject(right), left
        case ast.Compare(
            left=left, ops=[ast.In()], comparators=[ast.Tuple() | ast.List() | ast.Set() as row]
        ):
            yield from ((_subject(left), key) for key in row.elts if _is_key(key))


def _subject(node: ast.expr) -> str:
    """What is compared; ``(kind := message["type"])`` goes on as ``kind``."""
    return ast.unparse(node.target if isinstance(node, ast.NamedExpr) else node)


def _is_key(node: ast.expr) -> bool:
    """A text, ``Kind.X`` or ``Kind.X.value``, a class by its capital, or a constant by its capitals."""
    if isinstance(node, ast.Name):
        return node.id.isupper()
    if isinstance(node, ast.Attribute):
        return node.attr.isupper() or any(part[:1].isupper() for part in dotted(node).split(".")[:-1])
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _patterns(pattern: ast.pattern) -> Iterator[ast.expr]:
    """Keys of one ``case``: alone, among others, or under a message's type."""
    match pattern:
        case ast.MatchValue(value=value) if _is_key(value):
            yield value
        case ast.MatchOr(patterns=several):
            for each in several:
                yield from _patterns(each)
        case ast.MatchAs(pattern=ast.pattern() as inner):
            yield from _patterns(inner)
        case ast.MatchMapping(keys=keys, patterns=several):
            pairs = zip(keys, several, strict=True)
            named = [inner for key, inner in pairs if isinstance(key, ast.Constant) and key.value in KINDS]
            for inner in named[:1]:
                yield from _patterns(inner)
        case ast.MatchSequence(patterns=[first, *_]):
            yield from _patterns(first)


def _by_name(node: Function, owner: ast.ClassDef | None) -> Dispatch | None:
    """``getattr(self, f"on_{kind}")``: the methods of the class that are called so."""
    names = {
        target.id: child.value
        for child in ast.walk(node)
        if isinstance(child, ast.Assign)
        for target in child.targets
        if isinstance(target, ast.Name)
    }
    prefix = next((found for child in ast.walk(node) if (found := _prefix(child, names))), "")
    if not prefix or owner is None:
        return None
    methods = [n for n in flat(owner.body) if isinstance(n, Function) and n.name.startswith(prefix)]
    keys = [
        Key(ast.copy_location(ast.Constant(n.name.removeprefix(prefix)), n), n.name)
        for n in methods
        if n is not node
    ]
    inherits = any(dotted(base) not in ("object", "ABC", "abc.ABC") for base in owner.bases)
    return Dispatch(f"methods called {prefix}*", f"def {prefix}{{key}}(self, ...):", keys, inherits)


def _prefix(node: ast.AST, names: Mapping[str, ast.expr]) -> str:
    """``on_`` of ``getattr(self, f"on_{kind}")``, also where the name was put together above."""
    if not isinstance(node, ast.Call) or dotted(node.func) != "getattr" or len(node.args) < 2:
        return ""
    given = node.args[1]
    match names.get(given.id) if isinstance(given, ast.Name) else given:
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), _]):
            return text
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Add()):
            return text
    return ""


def registered(node: ast.AST, name: str) -> Iterator[tuple[ast.expr, Key]]:
    """Uses of a registry called ``name``: ``@name("x")``, ``@router.name("x")``, ``name("x", handler)``, ``name(kind="x")(handler)``.

    Each with the expression that stands for the registry.
    """
    if isinstance(node, Function | ast.ClassDef):
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and _is_named(decorator.func, name):
                texts = [a for a in decorator.args if not isinstance(a, ast.Starred)]
                texts += [k.value for k in decorator.keywords if k.arg in KINDS]
                yield from (
                    (decorator.func, Key(text, node.name)) for each in texts for text in _several(each)
                )
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        call, given = node.value, [*node.value.args, *(k.value for k in node.value.keywords)]
        if isinstance(call.func, ast.Call):
            call = call.func
        keys = _keys(call)
        others = [each for each in given if each not in keys]
        if _is_named(call.func, name) and keys and others:
            yield from ((call.func, Key(text, dotted(others[0]))) for text in _several(keys[0]))


def _keys(call: ast.Call) -> list[ast.expr]:
    """What a handler is registered for: the first argument, or one that is called so."""
    return call.args[:1] or [k.value for k in call.keywords if k.arg in KINDS][:1]


def _is_named(node: ast.expr, name: str) -> bool:
    return dotted(node).rpartition(".")[2] == name


def _several(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]


def registry(node: Function) -> Dispatch:
    """A function that registers handlers; its keys stand where it is used."""
    example = f'@{node.name}("{{key}}") above its handler'
    return Dispatch(REGISTERED, example if is_decorator(node) else f'{node.name}("{{key}}", handler)', [])


def is_decorator(node: Function) -> bool:
    """Whether what a registering function gives back is a function: it is written above its handlers."""
    return any(isinstance(n, Function) for n in node.body) or any(
        isinstance(n, ast.Return) and isinstance(n.value, ast.Lambda) for n in flat(node.body)
    )


def literal_of(node: ast.ClassDef) -> ast.expr | None:
    """The key of a message class: ``type: Literal["x"] = "x"``, ``type = "x"``."""
    for statement in node.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Subscript(value=kind, slice=text)):
                if name in KINDS and dotted(kind).endswith("Literal"):
                    return text.elts[0] if isinstance(text, ast.Tuple) else text
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str()) as text) if (
                name in KINDS
            ):
                return text
            case ast.Assign(targets=[ast.Name(id=name)], value=text) if name in KINDS and _is_key(text):
                return text
    return None


def union_of(value: ast.expr) -> list[ast.expr] | None:
    """The members of ``A | B``, ``Union[A, B]``, ``Annotated[A | B, Field(discriminator="type")]``."""
    match value:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            sides = union_of(left), union_of(right)
            return None if None in sides else [*(sides[0] or []), *(sides[1] or [])]
        case ast.Subscript(value=kind, slice=inner):
            members = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            if dotted(kind).endswith("Annotated"):
                return union_of(members[0])
            return list(members) if dotted(kind).endswith("Union") else None
        case ast.Name() | ast.Attribute() if dotted(value).rpartition(".")[2][:1].isupper():
            return [value]
    return None
