"""Dispatch by a function's name: ``getattr(self, f"on_{kind}")``, ``globals()["handle_" + kind]``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from checks.rules.event_map.conditions import Near, given_once
from checks.rules.event_map.keys import Dispatch, Key
from checks.tree.body import walk
from checks.tree.definitions import Function, flat
from checks.tree.symbols import dotted

#: classes of libraries that call the method of an event's name
_EVENTS = frozenset({"Namespace", "AsyncNamespace", "ClientNamespace", "AsyncClientNamespace"})
_PLAIN_BASES = frozenset({"object", "ABC", "abc.ABC", "Protocol", "Generic"})
_FIELD = re.compile(r"%s|\{\w*\}")

Affixes = tuple[str, str]


def by_name(node: Function, owner: ast.ClassDef | None, near: Near) -> Dispatch | None:
    """The functions that are called so: of the class, of another thing, or of the module."""
    looked_up = list(_looked_up(node))
    names = given_once(node) if looked_up else {}
    for target, name in looked_up:
        found = _affixes(name, names)
        where = dotted(target)
        if found is None or (found == ("", "") and where not in ("self", "cls")):
            continue
        if where in ("self", "cls") and owner is not None:
            return _methods(owner, found, node)
        if not where:  # ``globals()``
            return _functions([each for each in near.values() if each is not node], found)
        base = (
            ast.Name(owner.name, ctx=ast.Load()) if owner is not None and where.startswith("self.") else None
        )
        keys = [] if base else [Key(target, " ".join(found), "functions")]
        return _called(f"functions of {where} called", found, keys, is_open=not keys)
    return None


def of_library(node: ast.ClassDef) -> Dispatch | None:
    """The events of a class that a library calls by the names of its methods."""
    is_so = any(dotted(base).rpartition(".")[2] in _EVENTS for base in node.bases)
    return _methods(node, ("on_", ""), None, is_whole=True) if is_so else None


def _looked_up(node: Function) -> Iterator[tuple[ast.expr, ast.expr]]:
    """In what a name is looked up, and the name; nothing that is dotted for the module's own functions."""
    for child in walk(node):
        match child:
            case ast.Call(func=ast.Name(id="getattr"), args=[target, name, *_]):
                yield target, name
            case (
                ast.Subscript(
                    value=ast.Call(func=ast.Name(id="globals" | "vars" | "locals")) as table, slice=name
                )
                | ast.Call(
                    func=ast.Attribute(value=ast.Call(func=ast.Name(id="globals")) as table, attr="get"),
                    args=[name, *_],
                )
            ):
                yield table, name


def _affixes(node: ast.expr, names: Mapping[str, ast.expr]) -> Affixes | None:
    """What stands before and behind the one part that is not constant."""
    match names.get(node.id, node) if isinstance(node, ast.Name) else node:
        case ast.JoinedStr(values=values):
            return _around(values)
        case ast.BinOp(op=ast.Add()) as sum_:
            return _around(list(_added(sum_)))
        case (
            ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod())
            | ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format"))
        ) if len(_FIELD.findall(text)) == 1:
            before, behind = _FIELD.split(text)
            return before, behind
        case ast.Subscript(slice=ast.Constant()) | ast.Call(func=ast.Attribute(attr="replace" | "lower")):
            return "", ""
    return None


def _added(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _added(node.left)
        yield from _added(node.right)
    else:
        yield node


def _around(parts: list[ast.expr]) -> Affixes | None:
    texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
    if texts.count(None) != 1:
        return None
    at = texts.index(None)
    return "".join(map(str, texts[:at])), "".join(map(str, texts[at + 1 :]))


def _methods(
    owner: ast.ClassDef, affixes: Affixes, node: Function | None, *, is_whole: bool = False
) -> Dispatch:
    methods = [n for n in flat(owner.body) if isinstance(n, Function) and n is not node]
    made = _functions(methods, affixes, "self, ...")
    bases = [base for base in owner.bases if not is_whole and dotted(base) not in _PLAIN_BASES]
    above = [Key(base, " ".join(affixes), "functions") for base in bases]
    return made._replace(style=made.style.replace("functions", "methods"), keys=[*made.keys, *above])


def _functions(several: list[Function], affixes: Affixes, arguments: str = "...") -> Dispatch:
    keys = [
        Key(ast.copy_location(ast.Constant(text), each), each.name)
        for each in several
        if (text := between(each.name, affixes))
    ]
    return _called("functions called", affixes, keys, arguments=arguments)


def _called(
    style: str, affixes: Affixes, keys: list[Key], *, arguments: str = "...", is_open: bool = False
) -> Dispatch:
    before, behind = affixes
    return Dispatch(f"{style} {before}*{behind}", f"def {before}{{key}}{behind}({arguments}):", keys, is_open)


def between(name: str, affixes: Affixes) -> str:
    """What of a name is the key; empty where it is called otherwise."""
    before, behind = affixes
    is_so = name.startswith(before) and name.endswith(behind) and len(name) > len(before) + len(behind)
    if not before and name.startswith("_"):
        return ""
    return name[len(before) : len(name) - len(behind)] if is_so else ""
