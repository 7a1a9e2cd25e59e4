"""Parameters that are sent as they are annotated, and what the tree's own calls give for them.

``def send(self, key: UUID): post(url, json={"key": key})`` fails for every caller that does what the annotation says, so
it is as certain as a value that is made there. Where a call in the tree gives it text, the annotation is what is wrong,
and the finding is in doubt, unless another call gives what is refused. Calls in tests say nothing: they give what is at
hand, to clients that send nothing.
"""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from checks.rules.json_safe_logs.facts import Facts, Reach
from checks.rules.json_safe_logs.refusals import REFUSED, refusal
from checks.rules.json_safe_logs.sinks import RAISING
from checks.tree.calls import is_marked
from checks.tree.definitions import FUNCTIONS, Function, flat, module_scope
from checks.tree.symbols import Lookup, Parameter, Symbol, annotation, is_plain, walk
from checks.tree.tree import Tree

_ANNOTATED = "is annotated so"
_TEXT = Symbol("of", "builtins.str")


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
    functions = sorted(_functions(parsed.tree.body), key=lambda each: each[0].lineno)
    starts = [node.lineno for node, _ in functions]
    known: dict[int, list[tuple[Parameter, Symbol]]] = {}
    for reach in reaches:
        at = bisect_right(starts, reach.line) - 1
        if at < 0 or reach.line > (functions[at][0].end_lineno or 0):
            continue
        if at not in known:
            known[at] = list(_refused_of(*functions[at], look))
        for parameter in _sent(reach, known[at]):
            yield Noted(f"{path}:{parameter.function}", parameter, path, (reach.line, reach.column))


def _functions(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[Function, str]]:
    """Those of a module and its classes, and in front of the name of each what it belongs to."""
    for node in flat(body):
        if isinstance(node, FUNCTIONS):
            yield node, owner
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{owner}{node.name}.")


def _refused_of(node: Function, owner: str, look: Lookup) -> Iterator[tuple[Parameter, Symbol]]:
    """Its parameters that are annotated with what is refused, and what that is."""
    placed = (*node.args.posonlyargs, *node.args.args)
    own = bool(owner) and not is_marked(node, "staticmethod")
    for index, argument in enumerate((*placed, *node.args.kwonlyargs)):
        symbol = annotation(argument.annotation, look)
        if symbol is not None and _is_refused(symbol):
            place = index - own if index < len(placed) else -1
            yield Parameter(f"{owner}{node.name}", argument.arg, place), symbol


def _sent(reach: Reach, parameters: list[tuple[Parameter, Symbol]]) -> list[Parameter]:
    """Those that may be what is sent: of several of its type the one that it is said to come from."""
    sent, said = set(walk(reach.symbol)), {how for _, how in reach.steps}
    alike = [parameter for parameter, symbol in parameters if symbol in sent]
    return [each for each in alike if f"{each.name} {_ANNOTATED}" in said] or alike


def given_otherwise(
    tree: Tree, facts: Mapping[str, Facts], asked: Iterable[Noted]
) -> dict[str, list[tuple[int, int]]]:
    """By path, where a parameter is sent for which calls in the tree give text, and none gives what is refused."""
    sought: dict[tuple[str, str | int], list[Noted]] = {}
    for one in asked:
        name, place = one.parameter.name, one.parameter.place
        sought.setdefault((one.function, name), []).append(one)
        if place >= 0:
            sought.setdefault((one.function, place), []).append(one)
    is_text: dict[Noted, bool] = {}
    for path, fact in facts.items() if sought else ():
        for given in fact.given:
            thing = tree.resolver.what(given.callee, path)
            key = given.keyword or given.place
            for each in sought.get((f"{thing.path}:{thing.name}", key), ()) if thing is not None else ():
                if is_plain(given.symbol) or given.symbol == _TEXT:
                    is_text.setdefault(each, True)
                elif _is_refused_for_certain(tree, path, given.symbol):
                    is_text[each] = False
    found: dict[str, list[tuple[int, int]]] = {}
    for each in (one for one, is_it in is_text.items() if is_it):
        found.setdefault(each.path, []).append(each.place)
    return found


def _is_refused_for_certain(tree: Tree, path: str, symbol: Symbol) -> bool:
    found = refusal(tree.resolver.what(symbol, path), tree.resolver)
    return found is not None and found.is_sure
