"""Whether a helper hands its parameter on whatever it is given, or chooses by it or by another argument.

``if binary: return data`` before ``json.dumps(data)``: that a caller's bytes reach the encoder is then not certain. What
counts is what becomes of the value where the test turns out otherwise: ``if not self.ready: return`` does nothing else
with it, so those who call the helper do mean it to be sent.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from typing import NamedTuple

from checks.tree.body import walk as nodes_of
from checks.tree.definitions import Function
from checks.tree.excerpt import whole_function
from checks.tree.parse import Parsed
from checks.tree.symbols import DOUBT, Parameter, Symbol, dotted, either, walk

#: calls that only tell of a value
_TELLING = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log", "print"})
_BUILTINS = frozenset(dir(builtins))


class _Fork(NamedTuple):
    """A condition above a call: its test, where it has one, and what is done where it turns out otherwise.

    Args:
        is_yes: the call is made where the test holds.
        end: its last line, where what stands below it is also reached otherwise; else 0.
    """

    test: ast.expr | None
    others: list[ast.stmt] | list[ast.expr]
    is_yes: bool
    end: int = 0


class _Assigned(NamedTuple):
    """An assignment: its line, the names that its value reads, and those that it binds."""

    line: int
    read: set[str]
    bound: set[str]


class Ways:
    """The functions of one file, each whole: a file of which only a part was parsed does not show their other ways."""

    def __init__(self, parsed: Parsed) -> None:
        self._parsed = parsed
        self._whole: dict[int, Function] = {}
        self._around: dict[ast.Call, tuple[set[str], list[_Fork]]] = {}
        self._set: dict[Function, list[_Assigned]] = {}

    def as_handed(self, symbol: Symbol, value: ast.expr, call: ast.Call, function: Function | None) -> Symbol:
        """What a call is given, with its parameters in doubt where the function has another way for them."""
        mine = {Parameter.of(part.name).name for part in walk(symbol) if part.form == "param"}
        if not mine or function is None:
            return symbol
        names, whole = mine | _names(value), self._function(function)
        if call not in self._around:  # one call may be given thousands of values
            given = {a.arg for a in (*whole.args.posonlyargs, *whole.args.args, *whole.args.kwonlyargs)}
            flags = given - {"self", "cls"} - _names(_statement(whole.body, call))
            self._around[call] = flags, list(_forks(whole.body, call))
        flags, forks = self._around[call]
        anew = self._set_anew(whole, call, names) if forks else set()
        is_doubtful = any(_has_another_way(fork, names, flags - names, anew, whole) for fork in forks)
        return _doubted(symbol) if is_doubtful else symbol

    def _set_anew(self, function: Function, call: ast.Call, names: set[str]) -> set[str]:
        """What the statement of a call sets that held the value before: ``body = data`` above, ``body = json.dumps(data)``."""
        statement = _statement(function.body, call)
        if not isinstance(statement, ast.Assign):
            return set()
        if function not in self._set:
            self._set[function] = list(_assigned(function))
        above = (each for each in self._set[function] if each.line < statement.lineno)
        held = {name for each in above if each.read & names for name in each.bound}
        return _targets(statement) & (names | held)

    def _function(self, function: Function) -> Function:
        if self._parsed.lines is None:
            return function
        if function.lineno not in self._whole:
            self._whole[function.lineno] = whole_function(self._parsed, function.lineno) or function
        return self._whole[function.lineno]


def _doubted(symbol: Symbol) -> Symbol:
    if symbol.form == "param":
        return either((symbol, DOUBT)) or symbol
    return symbol._replace(parts=tuple(part and _doubted(part) for part in symbol.parts))


def _has_another_way(
    fork: _Fork, names: set[str], flags: set[str], anew: set[str], function: Function
) -> bool:
    if _asks_for_kind(fork, names) or any(_hands_on(each, names) for each in fork.others):
        return True
    if not fork.end or fork.test is None:
        return False
    # ``if self.is_json: body = json.dumps(body)``: below it, otherwise, it is as it was given
    looked = anew if _names(fork.test) - names - _BUILTINS else set()
    looked = looked | names if _names(fork.test) & flags else looked
    return bool(looked) and any(_hands_on(each, looked) for each in _below(function.body, fork.end))


def _assigned(function: Function) -> Iterator[_Assigned]:
    for node in nodes_of(function):
        if isinstance(node, ast.Assign):
            yield _Assigned(node.lineno, _names(node.value), _targets(node))


def _targets(node: ast.Assign) -> set[str]:
    return {name for target in node.targets for name in _names(target)}


def _below(body: list[ast.stmt], line: int) -> Iterator[ast.stmt]:
    """What stands below a line, in the blocks around it too."""
    for node in body:
        if node.lineno > line:
            yield node
        elif (node.end_lineno or node.lineno) > line:
            yield from (each for inner in _blocks(node) for each in _below(inner, line))


def _asks_for_kind(fork: _Fork, names: set[str]) -> bool:
    """``isinstance(data, dict)``; that it is no text yet, is what every value that is refused has in common."""
    if fork.test is None:
        return False
    asked = [
        call.args[1]
        for call in nodes_of(fork.test)
        if isinstance(call, ast.Call) and dotted(call.func) == "isinstance" and len(call.args) == 2
        if _names(call.args[0]) & names
    ]
    is_not = isinstance(fork.test, ast.UnaryOp)
    return any(dotted(kind) != "str" or is_not != fork.is_yes for kind in asked)


def _forks(body: list[ast.stmt], call: ast.Call) -> Iterator[_Fork]:
    """The conditions under which a call is reached, from outside to inside."""
    for node in body:
        end = node.end_lineno or node.lineno
        if end < call.lineno:
            yield from _passed(node)
            continue
        if node.lineno > call.lineno:
            return
        yield from _around(node, call, end)
        for inner in _blocks(node):
            yield from _forks(inner, call)
        yield from _chosen_in(node, call)
        return


def _passed(node: ast.stmt) -> Iterator[_Fork]:
    """What stands above a call and may have left before it."""
    if isinstance(node, ast.If):
        yield from (
            _Fork(node.test, way, not is_yes)
            for way, is_yes in ((node.body, True), (node.orelse, False))
            if _leaves(way)
        )
        yield from (fork for each in node.orelse for fork in _passed(each))
    elif isinstance(node, ast.Match):
        yield from (_Fork(None, case.body, True) for case in node.cases if _leaves(case.body))
    elif isinstance(node, ast.Try):
        yield from (fork for each in (*node.body, *node.orelse) for fork in _passed(each))
        if _leaves(node.body) or _leaves(node.orelse):
            yield _Fork(None, node.body, True)


def _around(node: ast.stmt, call: ast.Call, end: int) -> Iterator[_Fork]:
    """The statement in one of whose blocks the call stands."""
    if isinstance(node, ast.If):
        if _holds(node.body, call):
            yield _Fork(node.test, node.orelse, True, end)
        elif _holds(node.orelse, call):
            yield _Fork(node.test, node.body, False, end)
    elif isinstance(node, ast.Match):
        others = [each for case in node.cases if not _holds(case.body, call) for each in case.body]
        yield _Fork(None, others, True, end)
    elif isinstance(node, ast.Try) and any(_holds(handler.body, call) for handler in node.handlers):
        yield _Fork(None, node.body, True)


def _chosen_in(node: ast.stmt, call: ast.Call) -> Iterator[_Fork]:
    """``json.dumps(data) if is_text else data``."""
    for child in nodes_of(node) if not any(_blocks(node)) else ():
        if isinstance(child, ast.IfExp):
            is_yes = any(_is_same(each, call) for each in nodes_of(child.body))
            if is_yes or any(_is_same(each, call) for each in nodes_of(child.orelse)):
                yield _Fork(child.test, [child.orelse if is_yes else child.body], is_yes)


def _statement(body: list[ast.stmt], call: ast.Call) -> ast.AST:
    """The simple statement that a call is part of, with what it is done on."""
    for node in body:
        if node.lineno <= call.lineno <= (node.end_lineno or node.lineno):
            inner = next((each for each in _blocks(node) if _holds(each, call)), None)
            return _statement(inner, call) if inner else node
    return call


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        yield from [found] if (found := getattr(node, name, None)) else []
    yield from (each.body for each in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())))


def _holds(body: list[ast.stmt], call: ast.Call) -> bool:
    return bool(body) and body[0].lineno <= call.lineno <= (body[-1].end_lineno or body[-1].lineno)


def _leaves(body: list[ast.stmt]) -> bool:
    """Whether a block may return from the middle; one that raises does nothing else with the value."""
    return any(isinstance(node, ast.Return | ast.Continue) for each in body for node in nodes_of(each))


def _hands_on(node: ast.AST, names: set[str]) -> bool:
    """Whether one of these is used: in a message of an error or of a log it is not."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, ast.Name) and each.id in names and not _is_bound(each):
            return True
        is_told = isinstance(each, ast.Call) and dotted(each.func).rpartition(".")[2] in _TELLING
        if not is_told and not isinstance(each, ast.Raise):
            waiting += ast.iter_child_nodes(each)
    return False


def _is_bound(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)


def _is_same(node: ast.AST, call: ast.Call) -> bool:
    """The same call, of the same text that was parsed twice."""
    return isinstance(node, ast.Call) and _place(node) == _place(call)


def _place(node: ast.expr) -> tuple[int | None, ...]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in nodes_of(node) if isinstance(each, ast.Name)}
