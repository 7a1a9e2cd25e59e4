"""A regular expression as Glushkov's automaton, which goes through a text once, however it was chosen.  PURE.

A *position* is one place in the pattern where a character stands. A state is all positions at which the text so far may
be, as the bits of a number; states are made as they are met, and kept. The text's begin and end are taken by ``^`` and
``$`` as characters are.

A text may be chosen so that each character makes a new state of hundreds of positions. So whether they take it is asked
once for all that ask the same, and what may come next is looked up for all that have the same next: usually the position
behind each, which is one shift, and few sets besides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

parser: Any = import_module("re._parser")  # as Python itself reads patterns, since 3.11
_compiler: Any = import_module("re._compiler")
constants: Any = import_module("re._constants")

_MOST_POSITIONS = 500
_MOST_KEPT = 20_000  # steps of one automaton
_BEGIN, _END, _LINE_END = "begin", "end", "\n end"  # none is a character
BEGINNINGS = (constants.AT_BEGINNING, constants.AT_BEGINNING_STRING)


class Unbounded(ValueError):
    """Why no automaton is made of a pattern."""


_ENDS = {constants.AT_END: (_END, _LINE_END), constants.AT_END_STRING: (_END,)}
_ONE = (constants.LITERAL, constants.NOT_LITERAL, constants.ANY, constants.IN)


class _Part(NamedTuple):
    """A part of a pattern: whether it may be empty, and positions that it may begin and end with."""

    is_empty: bool
    first: int
    last: int


_NOTHING = _Part(is_empty=True, first=0, last=0)
_Takes = Callable[[str], bool]


@dataclass(slots=True)
class Automaton:
    """Where in a pattern a text may be. Positions are counted from 0, and sets of them are the bits of a number.

    Args:
        takes: whether a character is taken, or what stands for the text's begin or end, by the positions that ask so.
        asked: the ways to ask, by what of the pattern makes them.
        follow: by position, which may come next.
        begins, ends: positions of ``^`` and ``$``.
    """

    takes: dict[_Takes, int] = field(default_factory=dict)
    asked: dict[tuple[object, ...], _Takes] = field(default_factory=dict)
    follow: list[int] = field(default_factory=list)
    whole: _Part = _NOTHING
    begins: int = 0
    ends: int = 0
    _behind: int = 0  # positions that the next one may follow
    _jumps: list[tuple[int, int]] = field(
        default_factory=list
    )  # positions, and what else may follow each of them
    _steps: dict[tuple[int, str], int] = field(default_factory=dict)

    def finish(self, whole: _Part) -> None:
        """All positions are there."""
        self.whole = whole
        jumps: dict[int, int] = {}
        for position, follow in enumerate(self.follow):
            following = 2 << position
            self._behind |= (1 << position) if follow & following else 0
            if other := follow & ~following:
                jumps[other] = jumps.get(other, 0) | 1 << position
        self._jumps = [(positions, other) for other, positions in jumps.items()]

    def end(self, text: str) -> int:
        """Where the first match ends; 0 where there is none."""
        state = 0
        for number, symbol in enumerate(text, 1):
            state = self._next(state, symbol)
            if state & self.whole.last:
                return number
        return 0

    def finds(self, text: str) -> bool:
        state = 0
        if self.whole.is_empty:
            return True
        body, tail = (text[:-1], _LINE_END) if text.endswith("\n") else (text, "")
        for symbol in (_BEGIN, *body, *([tail, "\n"] if tail else ()), _END):
            is_aside = (
                symbol is _LINE_END
            )  # the end that stands before the last line feed, which comes as well
            state_there = self._next(state, symbol)
            if state_there & self.whole.last:
                return True
            state = state if is_aside else state_there
        return False

    def _next(self, state: int, symbol: str) -> int:
        made = self._steps.get((state, symbol))
        if made is None:
            near = self.whole.first | (state & self._behind) << 1
            for positions, other in self._jumps:
                if state & positions:
                    near |= other
            made = 0
            for takes, positions in self.takes.items():
                if near & positions and takes(symbol):
                    made |= near & positions
            if len(self._steps) >= _MOST_KEPT:
                self._steps.clear()
            self._steps[state, symbol] = made
        return made

    def add(self, takes: _Takes) -> _Part:
        """One more position. Args: takes: the same for all that ask the same."""
        if len(self.follow) >= _MOST_POSITIONS:
            raise Unbounded(f"it comes to more than {_MOST_POSITIONS} characters")
        here = 1 << len(self.follow)
        self.follow.append(0)
        self.takes[takes] = self.takes.get(takes, 0) | here
        return _Part(is_empty=False, first=here, last=here)

    def lead(self, last: int, first: int) -> None:
        """After any of these positions may come any of those."""
        while last:
            self.follow[last.bit_length() - 1] |= first
            last ^= 1 << last.bit_length() - 1

    def joined(self, parts: Iterable[_Part]) -> _Part:
        made = _NOTHING
        for part in parts:
            self.lead(made.last, part.first)
            first = made.first | part.first if made.is_empty else made.first
            last = made.last | part.last if part.is_empty else part.last
            made = _Part(made.is_empty and part.is_empty, first, last)
        return made


@lru_cache(maxsize=100)
def automaton(pattern: str) -> Automaton:
    """Raises Unbounded for what it does not know."""
    tree, made = parser.parse(pattern), Automaton()
    made.finish(_sequence(made, tree, tree.state, tree.state.flags))
    _check_anchors(made)
    return made


def _check_anchors(made: Automaton) -> None:
    """Each end of the text is there once: what asks for it twice, or goes on behind it, is not gone through here."""
    for position, follow in enumerate(made.follow):
        if made.ends >> position & 1 and follow:
            raise Unbounded("it has $ inside")
        if made.begins >> position & 1 and follow & made.begins:
            raise Unbounded("it has ^ inside")


def _sequence(made: Automaton, tree: Any, state: Any, flags: int) -> _Part:
    return made.joined([_part(made, op, argument, state, flags) for op, argument in tree])


def _part(made: Automaton, op: Any, argument: Any, state: Any, flags: int) -> _Part:
    if op in _ONE:
        asked = (op, repr(argument), flags)
        if asked not in made.asked:
            one = _compiler.compile(parser.SubPattern(state, [(op, argument)]), flags)
            made.asked[asked] = lambda symbol: len(symbol) == 1 and one.fullmatch(symbol) is not None
        return made.add(made.asked[asked])
    if op is constants.AT and not flags & re.MULTILINE and argument in (*BEGINNINGS, *_ENDS):
        marks = _ENDS.get(argument, (_BEGIN,))
        part = made.add(lambda symbol: symbol in marks)
        if argument in _ENDS:
            made.ends |= part.first
        else:
            made.begins |= part.first
        return part
    if op is constants.SUBPATTERN and not argument[2]:
        return _sequence(made, argument[3], state, flags | argument[1])
    if op is constants.BRANCH:
        parts = [_sequence(made, each, state, flags) for each in argument[1]]
        either = _Part(is_empty=False, first=0, last=0)
        for part in parts:
            either = _Part(
                either.is_empty or part.is_empty, either.first | part.first, either.last | part.last
            )
        return either
    if op in (constants.MAX_REPEAT, constants.MIN_REPEAT):
        return _repeat(made, argument, state, flags)
    raise Unbounded(f"it has {_NAMES.get(op, 'what cannot be looked for otherwise')}")


def _repeat(made: Automaton, argument: Any, state: Any, flags: int) -> _Part:
    least, most, body = argument
    is_open = most is constants.MAXREPEAT
    parts = []
    for number in range(max(least, 1) if is_open else most):
        part = _sequence(made, body, state, flags)
        parts.append(part if number < least else part._replace(is_empty=True))
        if not part.first:  # there is no character in it, however often it is repeated
            break
    if is_open:
        made.lead(parts[-1].last, parts[-1].first)
    return made.joined(parts)


_NAMES = {
    constants.AT: "\\b, or an anchor of lines",
    constants.ASSERT: "look-around",
    constants.ASSERT_NOT: "look-around",
    constants.GROUPREF: "a reference to a group",
    constants.GROUPREF_EXISTS: "a reference to a group",
    constants.SUBPATTERN: "flags that are taken away",
}
