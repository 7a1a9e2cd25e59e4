"""Parameters that are sent as they are annotated, and what the tree's own calls give for them.

``def send(self, key: UUID): post(url, json={"key": key})`` fails for every caller that does what the annotation says, so
it is as certain as a value that is made there. Where a call in the tree gives it text, the annotation is what is wrong,
and the finding is in doubt. Calls in tests say nothing: they give what is at hand, to clients that send nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from checks.rules.json_safe_logs.facts import Facts, Reach
from checks.rules.json_safe_logs.refusals import REFUSED
from checks.rules.json_safe_logs.sinks import RAISING
from checks.tree.calls import is_marked
from checks.tree.definitions import FUNCTIONS, Function, module_scope
from checks.tree.symbols import Parameter, Symbol, annotation, is_plain, walk
from checks.tree.tree import Tree

_ANNOTATED = "is annotated so"


class Noted(NamedTuple):
    """One annotated parameter: of which function (``app/send.py:Sender.send``), and the line and column at which it is sent."""

    function: str
    parameter: Parameter
    path: str
    place: tuple[int, int]


def noted(tree: Tree, facts: Mapping[str, Facts], is_lost: Callable[[str, Reach], bool]) -> list[Noted]:
    """Those that are refused for certain where their calls give what they are annotated with."""
    found: list[Noted] = []
    for path, each in facts.items():
        reaches = [reach for reach in each.reaches if _is_annotated(reach) and is_lost(path, reach)]
        found += _of_file(tree, path, reaches) if reaches else ()
    return found


def _is_annotated(reach: Reach) -> bool:
    """With something that is known to be refused by its name alone: classes of the tree are not read yet."""
    is_annotated = reach.sink in RAISING and any(how.endswith(_ANNOTATED) for _, how in reach.steps)
    return is_annotated and any(_is_refused(part) for part in walk(reach.symbol))


def _is_refused(symbol: Symbol) -> bool:
    return symbol.form == "of" and symbol.name in REFUSED


def _of_file(tree: Tree, path: str, reaches: list[Reach]) -> Iterator[Noted]:
    parsed = tree.parsed(path)
    if parsed is None:
        return
    look = module_scope(path, parsed.tree)[2]
    for reach in reaches:
        sent = set(walk(reach.symbol))
        for function, index, argument in _parameters(parsed.tree.body, reach.line):
            symbol = annotation(argument.annotation, look)
            if symbol in sent and symbol is not None and _is_refused(symbol):
                made = Parameter(function, argument.arg, index)
                yield Noted(f"{path}:{function}", made, path, (reach.line, reach.column))


def _parameters(body: list[ast.stmt], line: int, owner: str = "") -> Iterator[tuple[str, int, ast.arg]]:
    """Of the function of a module or class that a line is in: its dotted name, and its parameters with their places."""
    for node in body:
        if isinstance(node, FUNCTIONS) and node.lineno <= line <= (node.end_lineno or 0):
            yield from _of_function(node, owner)
        elif isinstance(node, ast.ClassDef) and node.lineno <= line <= (node.end_lineno or 0):
            yield from _parameters(node.body, line, f"{owner}{node.name}.")


def _of_function(node: Function, owner: str) -> Iterator[tuple[str, int, ast.arg]]:
    placed = (*node.args.posonlyargs, *node.args.args)
    own = bool(owner) and not is_marked(node, "staticmethod")
    for index, argument in enumerate((*placed, *node.args.kwonlyargs)):
        yield f"{owner}{node.name}", index - own if index < len(placed) else -1, argument


def given_otherwise(
    tree: Tree, facts: Mapping[str, Facts], asked: Iterable[Noted]
) -> dict[str, list[tuple[int, int]]]:
    """By path, where a parameter is sent for which a call in the tree gives text."""
    sought: dict[str, list[Noted]] = {}
    for one in asked:
        sought.setdefault(one.function, []).append(one)
    found: dict[str, list[tuple[int, int]]] = {}
    for path, fact in facts.items() if sought else ():
        for given in fact.given:
            thing = tree.resolver.what(given.callee, path) if is_plain(given.symbol) else None
            for each in sought.get(f"{thing.path}:{thing.name}", ()) if thing is not None else ():
                name, place = each.parameter.name, each.parameter.place
                if given.keyword == name or (not given.keyword and 0 <= given.place == place):
                    found.setdefault(each.path, []).append(each.place)
    return found
