"""What ``event-map`` reads of a proposed function: it holds on to one value that is compared, and knows no other keys."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from checks.rules.event_map import dispatch
from checks.rules.event_map.keys import Dispatch
from checks.service.answers import text_of
from checks.service.source import Source
from checks.tree.body import Function, functions
from checks.tree.definitions import flat
from checks.tree.symbols import dotted

#: keys that stand in another class or module
_ELSEWHERE = ("super", "functions", "members")


def held(source: Source, path: str, name: str, known: Sequence[str]) -> tuple[str, ...]:
    """The keys of the value that is compared with most of the known ones; all known ones where no function is called so."""
    tree = source.tree(path)
    named = [node for dotted_path, node in functions(tree) if dotted_path == name] if tree else []
    if tree is None or not named:
        return tuple(known)
    ways = [way for node in named for way in _dispatches(tree, name, node)]
    best: tuple[str, ...] = ()
    for way in ways:
        if any(key.form in _ELSEWHERE for key in way.keys):
            return tuple(known)
        keys = tuple(dict.fromkeys(filter(None, _texts(source, path, way))))
        if len({*keys} & {*known}) > len({*best} & {*known}):
            best = keys
    return best


def _dispatches(tree: ast.Module, name: str, node: Function) -> list[Dispatch]:
    owner: ast.ClassDef | None = None
    body = tree.body
    for part in name.split(".")[:-1]:
        outer = next((each for each in body if getattr(each, "name", "") == part), None)
        owner = outer if isinstance(outer, ast.ClassDef) else None
        body = getattr(outer, "body", [])
    return dispatch.of_function(node, owner, dispatch.rows_of(tree.body), dispatch.functions_of(body))


def _texts(source: Source, path: str, way: Dispatch) -> Iterator[str]:
    """Classes that a function imports itself are not looked for."""
    tree = source.tree(path)
    known = {name for each in flat(tree.body if tree else []) for name in _bound(each)}
    read = (
        key.node for key in way.keys if key.form != "message" or dotted(key.node).partition(".")[0] in known
    )
    return (text_of(source, node, path) for node in read)


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from (each.asname or each.name.partition(".")[0] for each in node.names)
    elif isinstance(node, ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from map(dotted, node.targets)
