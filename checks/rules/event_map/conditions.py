"""Dispatch by conditions: chains of ``if`` and ``match`` on one value, which may go on in functions that are handed it.

Theory of operation. Whatever is compared is spelt alike however it is read: ``message["type"]``, ``message.get("type")``, a
name that was given it, ``{"type": ...}`` in a pattern. All that is compared with a key is one candidate for what messages are
told apart by; which of them it is, whoever knows the keys that are asked for must say.
"""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from checks.rules.event_map.keys import Dispatch, Key, is_class, is_key
from checks.tree.body import walk
from checks.tree.definitions import Function
from checks.tree.symbols import dotted

_MOST = 8
_DEPTH = 3
_PLAIN_METHODS = frozenset({"lower", "upper", "strip", "casefold", "decode"})
#: what ends what stands behind it
LEAVES = (ast.Return, ast.Continue, ast.Break, ast.Raise)

#: by its name, what stands in a row at the top of the module
Rows = Mapping[str, list[ast.expr]]
#: by name, the functions that another may call: of its class, or of its module
Near = Mapping[str, Function]
Names = Mapping[str, ast.expr]
Found = Iterator[tuple[str, Key]]


def by_comparison(node: Function, rows: Rows, near: Near, depth: int = _DEPTH) -> list[Dispatch]:
    """``if kind == "x"`` and ``match kind``: one for each value that is compared with keys, the one compared most first."""
    names = given_once(node)
    found: dict[str, list[Key]] = defaultdict(list)
    written: dict[str, str] = {}
    for child in walk(node):
        if isinstance(child, ast.If | ast.IfExp | ast.While):
            for left, key in (*_compared(child.test, leaves=_leaves(child)), *_in_row(child, rows, names)):
                subject = subject_of(left, names)
                written.setdefault(subject, _as_written(left))
                found[subject].append(key)
        elif isinstance(child, ast.Match):
            for case in child.cases:
                for subject, key in _patterns(case.pattern, child.subject, names):
                    found[subject].append(key)
    best = sorted(found, key=lambda each: -len(found[each]))[:_MOST]
    made = [_dispatch(node, each, found[each], written.get(each, ""), rows, names) for each in best]
    return [
        each._replace(keys=each.keys + _handed_on(node, each.subject, rows, near, depth)) for each in made
    ]


def _dispatch(
    node: Function, subject: str, keys: list[Key], written: str, rows: Rows, names: Names
) -> Dispatch:
    is_open = any(_is_unread(child, subject, rows, names) for child in walk(node))
    if not written:
        return Dispatch(f"match in {node.name}", 'case "{key}":', keys, is_open, subject)
    example = f'elif {written} == "{{key}}":'
    if all(key.form == "message" for key in keys):
        example = f"elif isinstance({written}, ...):"
    return Dispatch(f"a chain of if in {node.name}", example, keys, is_open, subject)


def given_once(node: Function) -> dict[str, ast.expr]:
    """Local names that are assigned once, and what."""
    pairs: list[tuple[str, ast.expr]] = []
    for child in walk(node):
        match child:
            case ast.Assign(targets=targets, value=value):
                pairs += [(target.id, value) for target in targets if isinstance(target, ast.Name)]
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                pairs.append((name, value))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pairs.append((name, value))
    times = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if times[name] == 1}


def subject_of(node: ast.expr, names: Names, met: tuple[str, ...] = ()) -> str:
    """What is compared, spelt alike: ``kind``, ``str(kind)``, ``kind.lower()`` and ``m.pop("type")`` are ``m['type']``."""
    match node:
        case ast.NamedExpr(value=inner) | ast.Await(value=inner):
            return subject_of(inner, names, met)
        case ast.Name(id=name) if name in names and name not in met:
            return subject_of(names[name], names, (*met, name))
        case ast.Call(func=ast.Attribute(value=inner, attr=method), args=[]) if method in _PLAIN_METHODS:
            return subject_of(inner, names, met)
        case (
            ast.Call(
                func=ast.Attribute(value=inner, attr="get" | "pop"), args=[ast.Constant(value=str(key)), *_]
            )
            | ast.Subscript(value=inner, slice=ast.Constant(value=str(key)))
        ):
            return f"{subject_of(inner, names, met)}[{key!r}]"
        case ast.Call(func=maker, args=[inner], keywords=[]) if dotted(maker) == "str" or is_class(maker):
            return subject_of(inner, names, met)
        case ast.Attribute(value=inner, attr="value" | "name") if not isinstance(inner, ast.Name):
            return subject_of(inner, names, met)
        case ast.BoolOp(op=ast.Or(), values=[first, *_]):
            return subject_of(first, names, met)
    return ast.unparse(node)


def _as_written(node: ast.expr) -> str:
    """``(kind := message["type"])`` goes on as ``kind``."""
    return ast.unparse(node.target if isinstance(node, ast.NamedExpr) else node)


def _leaves(node: ast.If | ast.IfExp | ast.While) -> bool:
    """Whether what is not equal goes another way: what stands behind is for what is."""
    return isinstance(node, ast.IfExp) or (
        isinstance(node, ast.If) and (bool(node.orelse) or isinstance(node.body[-1], LEAVES))
    )


def _compared(test: ast.expr, *, leaves: bool) -> Iterator[tuple[ast.expr, Key]]:
    match test:
        case ast.BoolOp(values=values):
            for each in values:
                yield from _compared(each, leaves=leaves)
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            yield from _compared(inner, leaves=leaves)
        case ast.Compare(left=ast.Call(func=ast.Name(id="type"), args=[left]), comparators=[right]) if (
            is_class(right)
        ):
            yield left, Key(right, "", "message")
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            yield from _equal(left, operator, right, leaves=leaves)
        case ast.Call(func=ast.Name(id="isinstance"), args=[left, kinds]):
            several = kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]
            yield from ((left, Key(each, "", "message")) for each in several if is_class(each))


def _equal(
    left: ast.expr, operator: ast.cmpop, right: ast.expr, *, leaves: bool
) -> Iterator[tuple[ast.expr, Key]]:
    is_equal = isinstance(operator, ast.Eq | ast.Is) or (
        leaves and isinstance(operator, ast.NotEq | ast.IsNot)
    )
    if is_equal and is_key(right):
        yield left, Key(right, "")
    elif is_equal and is_key(left):
        yield right, Key(left, "")
    elif isinstance(operator, ast.In) and isinstance(right, ast.Tuple | ast.List | ast.Set):
        yield from ((left, Key(key, "")) for key in right.elts if is_key(key))


def _in_row(node: ast.If | ast.IfExp | ast.While, rows: Rows, names: Names) -> Iterator[tuple[ast.expr, Key]]:
    """``kind in PROGRESS``, where that decides alone: what is asked again below is only known to be some message."""
    match node.test:
        case ast.Compare(left=left, ops=[ast.In()], comparators=[ast.Name(id=name)]) if name in rows:
            subject = ast.unparse(left)
            below = node.body if isinstance(node.body, list) else [node.body]
            inside = [child for each in below for child in walk(each)]
            asks_again = any(
                (isinstance(child, ast.Compare | ast.Match) and subject in ast.unparse(child))
                or _is_unread(child, subject_of(left, names), {}, names)
                for child in inside
            )
            yield from ((left, Key(key, "")) for key in rows[name] if not asks_again)


def _is_unread(node: ast.AST, subject: str, rows: Rows, names: Names) -> bool:
    """Whether the value is looked up where its keys are not written: ``kind in KNOWN``, ``kind.startswith("x")``, ``MAP[kind]``."""
    match node:
        case ast.Compare(left=left, ops=[ast.In()], comparators=[ast.Name() | ast.Attribute() as row]):
            return subject_of(left, names) == subject and dotted(row) not in rows
        case ast.Call(func=ast.Attribute(value=value, attr="startswith" | "endswith")):
            return subject_of(value, names) == subject
        case ast.Call(func=ast.Attribute(attr="get"), args=[key, *_]) | ast.Subscript(slice=key):
            return not isinstance(key, ast.Constant) and subject_of(key, names) == subject
    return False


def _patterns(pattern: ast.pattern, value: ast.expr, names: Names) -> Found:
    """Keys of one ``case``: alone, among others, in a place of a row, under a key or an attribute of a message, or its class."""
    if isinstance(pattern, ast.MatchSequence) and isinstance(value, ast.Tuple):
        for each, inner in zip(value.elts, pattern.patterns, strict=False):
            yield from _patterns(inner, each, names)
        return
    yield from _inside(pattern, subject_of(value, names))


def _inside(pattern: ast.pattern, subject: str) -> Found:
    pairs: list[tuple[str, ast.pattern]] = []
    match pattern:
        case ast.MatchValue(value=value) if is_key(value):
            yield subject, Key(value, "")
        case ast.MatchOr(patterns=several):
            pairs = [(subject, each) for each in several]
        case ast.MatchAs(pattern=ast.pattern() as inner):
            pairs = [(subject, inner)]
        case ast.MatchMapping(keys=keys, patterns=several):
            named = zip(keys, several, strict=True)
            pairs = [
                (f"{subject}[{key.value!r}]", inner) for key, inner in named if isinstance(key, ast.Constant)
            ]
        case ast.MatchSequence(patterns=several):
            pairs = [(f"{subject}[{number}]", each) for number, each in enumerate(several)]
        case ast.MatchClass(cls=made, kwd_attrs=attributes, kwd_patterns=several):
            if is_class(made):
                yield subject, Key(made, "", "message")
            pairs = [(f"{subject}.{name}", each) for name, each in zip(attributes, several, strict=True)]
    for where, inner in pairs:
        yield from _inside(inner, where)


def _handed_on(node: Function, subject: str, rows: Rows, near: Near, depth: int) -> list[Key]:
    """The keys that functions know which are handed the value, or the message that it is of."""
    names = given_once(node)
    found: list[Key] = []
    for call in (child for child in walk(node) if depth and isinstance(child, ast.Call)):
        given = [subject_of(each, names) for each in call.args]
        if not any(subject == each or subject.startswith((f"{each}[", f"{each}.")) for each in given):
            continue
        match call.func:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name) if name == node.name:
                found.append(Key(call.func, name, "super"))
            case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if (
                name in near and near[name] is not node
            ):
                found += _known_to(near[name], call, given, subject, rows, near, depth - 1)
    return found


def _known_to(
    other: Function, call: ast.Call, given: list[str], subject: str, rows: Rows, near: Near, depth: int
) -> list[Key]:
    """What another function compares the same value with, which its arguments are called otherwise for."""
    own = [a.arg for a in (*other.args.posonlyargs, *other.args.args)]
    bound = dict(zip(own[isinstance(call.func, ast.Attribute) :], given, strict=False))

    def outside(inner: str) -> str:
        return re.sub(r"^\w+", lambda name: bound.get(name[0], ""), inner)

    return [
        key
        for each in by_comparison(other, rows, near, depth)
        if outside(each.subject) == subject
        for key in each.keys
    ]
