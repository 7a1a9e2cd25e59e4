"""A regular expression as Glushkov's automaton, which goes through a text once, however it was chosen.  PURE.

A *position* is one place in the pattern where a character stands. A state is all positions at which the text so far may
be; states are made as they are met, and kept. The text's begin and end are taken by ``^`` and ``$`` as characters are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

_parser: Any = import_module("re._parser")  # as Python itself reads patterns, since 3.11
_compiler: Any = import_module("re._compiler")
_of: Any = import_module("re._constants")

_MOST_POSITIONS = 500
_MOST_KEPT = 20_000  # steps of one automaton
_BEGIN, _END, _LINE_END = "begin", "end", "\n end"  # none is a character
_BEGINNINGS = (_of.AT_BEGINNING, _of.AT_BEGINNING_STRING)


class Unbounded(ValueError):
    """Why no automaton is made of a pattern."""


_ENDS = {_of.AT_END: (_END, _LINE_END), _of.AT_END_STRING: (_END,)}
_ONE = (_of.LITERAL, _of.NOT_LITERAL, _of.ANY, _of.IN)


class _Part(NamedTuple):
    """A part of a pattern: whether it may be empty, and positions that it may begin and end with."""

    is_empty: bool
    first: frozenset[int]
    last: frozenset[int]


_NOTHING = _Part(is_empty=True, first=frozenset(), last=frozenset())
_State = frozenset[int]


@dataclass(slots=True)
class Automaton:
    """Where in a pattern a text may be.

    Args:
        takes: by position, whether it takes a character, or what stands for the text's begin or end.
        follow: by position, which may come next.
        begins, ends: positions of ``^`` and ``$``.
    """

    takes: list[Callable[[str], bool]] = field(default_factory=list)
    follow: list[set[int]] = field(default_factory=list)
    whole: _Part = _NOTHING
    begins: set[int] = field(default_factory=set)
    ends: set[int] = field(default_factory=set)
    steps: dict[tuple[_State, str], _State] = field(default_factory=dict)

    def end(self, text: str) -> int:
        """Where the first match ends; 0 where there is none."""
        state: _State = frozenset()
        for number, symbol in enumerate(text, 1):
            state = self._next(state, symbol)
            if not state.isdisjoint(self.whole.last):
                return number
        return 0

    def finds(self, text: str) -> bool:
        state: _State = frozenset()
        if self.whole.is_empty:
            return True
        body, tail = (text[:-1], _LINE_END) if text.endswith("\n") else (text, "")
        for symbol in (_BEGIN, *body, *([tail, "\n"] if tail else ()), _END):
            is_aside = (
                symbol is _LINE_END
            )  # the end that stands before the last line feed, which comes as well
            state_there = self._next(state, symbol)
            if not state_there.isdisjoint(self.whole.last):
                return True
            state = state if is_aside else state_there
        return False

    def _next(self, state: _State, symbol: str) -> _State:
        made = self.steps.get((state, symbol))
        if made is None:
            near = self.whole.first.union(*(self.follow[each] for each in state))
            made = frozenset(each for each in near if self.takes[each](symbol))
            if len(self.steps) >= _MOST_KEPT:
                self.steps.clear()
            self.steps[state, symbol] = made
        return made

    def add(self, takes: Callable[[str], bool]) -> _Part:
        if len(self.takes) >= _MOST_POSITIONS:
            raise Unbounded(f"it comes to more than {_MOST_POSITIONS} characters")
        self.takes.append(takes)
        self.follow.append(set())
        here = frozenset({len(self.takes) - 1})
        return _Part(is_empty=False, first=here, last=here)

    def joined(self, parts: Iterable[_Part]) -> _Part:
        made = _NOTHING
        for part in parts:
            for each in made.last:
                self.follow[each] |= part.first
            first = made.first | part.first if made.is_empty else made.first
            last = made.last | part.last if part.is_empty else part.last
            made = _Part(made.is_empty and part.is_empty, first, last)
        return made


@lru_cache(maxsize=100)
def automaton(pattern: str) -> Automaton:
    """Raises Unbounded for what it does not know."""
    tree, made = _parser.parse(pattern), Automaton()
    made.whole = _sequence(made, tree, tree.state, tree.state.flags)
    _check_anchors(made)
    return made


def _check_anchors(made: Automaton) -> None:
    """Each end of the text is there once: what asks for it twice, or goes on behind it, is not gone through here."""
    for each in made.ends:
        if made.follow[each]:
            raise Unbounded("it has $ inside")
    for each in made.begins:
        if made.follow[each] & made.begins:
            raise Unbounded("it has ^ inside")


def _sequence(made: Automaton, tree: Any, state: Any, flags: int) -> _Part:
    return made.joined([_part(made, op, argument, state, flags) for op, argument in tree])


def _part(made: Automaton, op: Any, argument: Any, state: Any, flags: int) -> _Part:
    if op in _ONE:
        one = _compiler.compile(_parser.SubPattern(state, [(op, argument)]), flags)
        return made.add(lambda symbol: len(symbol) == 1 and one.fullmatch(symbol) is not None)
    if op is _of.AT and not flags & re.MULTILINE and argument in (*_BEGINNINGS, *_ENDS):
        marks = _ENDS.get(argument, (_BEGIN,))
        part = made.add(lambda symbol: symbol in marks)
        (made.ends if argument in _ENDS else made.begins).update(part.first)
        return part
    if op is _of.SUBPATTERN and not argument[2]:
        return _sequence(made, argument[3], state, flags | argument[1])
    if op is _of.BRANCH:
        parts = [_sequence(made, each, state, flags) for each in argument[1]]
        is_empty = any(part.is_empty for part in parts)
        first = _NOTHING.first.union(*(part.first for part in parts))
        return _Part(is_empty, first, _NOTHING.last.union(*(part.last for part in parts)))
    if op in (_of.MAX_REPEAT, _of.MIN_REPEAT):
        return _repeat(made, argument, state, flags)
    raise Unbounded(f"it has {_NAMES.get(op, 'what cannot be looked for otherwise')}")


def _repeat(made: Automaton, argument: Any, state: Any, flags: int) -> _Part:
    least, most, body = argument
    is_open = most is _of.MAXREPEAT
    parts = []
    for number in range(max(least, 1) if is_open else most):
        part = _sequence(made, body, state, flags)
        parts.append(part if number < least else part._replace(is_empty=True))
    if is_open:
        for each in parts[-1].last:
            made.follow[each] |= parts[-1].first
    return made.joined(parts)


_NAMES = {
    _of.AT: "\\b, or an anchor of lines",
    _of.ASSERT: "look-around",
    _of.ASSERT_NOT: "look-around",
    _of.GROUPREF: "a reference to a group",
    _of.GROUPREF_EXISTS: "a reference to a group",
    _of.SUBPATTERN: "flags that are taken away",
}
