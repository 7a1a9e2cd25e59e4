"""Regular expressions in texts that somebody else chose, in bounded time.  PURE.

Theory of operation. ``re`` tries one way after the other, and a text may be chosen so that the ways multiply: ``(a+)+$``
takes years on thirty letters, and holds up the whole process. How many ways there may be is estimated from the pattern
(``_ways``): an open repeat may end anywhere, a repeat with choices inside of a repeat multiplies them each time. Where
text and pattern make more than ``_MOST_BITS`` allows, ``finds`` goes through the text once instead, with all ways at the
same time: the states of Glushkov's automaton, kept as they are met. That knows no look-around and no references, so a
pattern with those and too many ways is refused by ``refusal``, before anything is searched.

Groups are known to ``re`` alone, which gets no more of a text than is done in time: its beginning, or for ``searched``
what is around the first match, as the automaton finds it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from pipeline.framing.automaton import BEGINNINGS, Unbounded, automaton, constants, parser

LONGEST = 10_000  # characters that are looked at, if the pattern has few enough ways
_SHORTEST = 128  # characters that must be looked at, for groups to be of use
_FURTHEST = 1 << 16
_MOST_BITS = 27.0  # of the number of ways that ``re`` is let try: a tenth of a second

_REPEATS = (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT)


def refusal(pattern: str, *, has_groups: bool = False) -> str:
    """Why a pattern cannot be searched for in time; empty when it can. Raises re.error for what is none.

    Args:
        has_groups: they are asked for.
    """
    re.compile(pattern)
    ways = _ways_of(pattern)
    if ways.bits(LONGEST) <= _MOST_BITS:
        return ""
    if has_groups:
        is_short = ways.reach() < _SHORTEST
        return "it may be tried in too many ways: a repeat stands inside of a repeat" if is_short else ""
    try:
        automaton(pattern)
    except Unbounded as error:
        return f"it may be tried in too many ways: repeats stand inside of repeats, or many in a row, and {error}"
    return ""


def complaint(pattern: object, *, has_groups: bool = False) -> str:
    """Why a value is no pattern that may be searched for, as what is said of it; empty when it is one."""
    try:
        why = refusal(pattern if isinstance(pattern, str) else "(", has_groups=has_groups)
    except (re.error, RecursionError, OverflowError) as error:
        return f"is no regular expression: {error}"
    return f"could take for ever: {why}" if why else ""


def finds(pattern: str, text: str) -> bool:
    """Whether it is found anywhere in the first ``LONGEST`` characters. Raises re.error, Unbounded."""
    text = text[:LONGEST]
    if _ways_of(pattern).bits(len(text)) <= _MOST_BITS:
        return re.search(pattern, text) is not None
    return automaton(pattern).finds(text)


def searched(pattern: str, text: str) -> re.Match[str] | None:
    """A match, with its groups. Raises re.error."""
    most = reach(pattern)
    return re.search(pattern, text[:most] if len(text) <= most else _around(pattern, text, most))


def _around(pattern: str, text: str, most: int) -> str:
    """The part of a text that has the match that ends first; its beginning where that cannot be told."""
    try:
        made = automaton(pattern)
    except Unbounded:
        return text[:most]
    if made.begins or made.ends:
        return text[:most]
    begin = max(0, made.end(text) - most // 2)
    return text[begin : begin + most]


def reach(pattern: str) -> int:
    """How many characters of a text are looked at for groups of a pattern."""
    return _ways_of(pattern).reach()


class _Ways(NamedTuple):
    """In how many ways a pattern may be tried: ``length ** open_repeats * 2 ** others``."""

    open_repeats: float
    others: float

    def bits(self, length: int) -> float:
        return self.open_repeats * math.log2(length + 1) + self.others

    def reach(self) -> int:
        """The longest text that is done in time; at most ``_FURTHEST``."""
        left = _MOST_BITS - self.others
        if self.open_repeats == 0 or left <= 0 or math.isinf(self.open_repeats):
            return _FURTHEST if self.open_repeats == 0 and left > 0 else 0
        return int(min(_FURTHEST, 2 ** min(left / self.open_repeats, 30.0)))


@lru_cache(maxsize=500)
def _ways_of(pattern: str) -> _Ways:
    return _all_ways(parser.parse(pattern))


def _all_ways(tree: Any) -> _Ways:
    made = _ways(tree)
    is_anchored = len(tree) and tree[0][0] is constants.AT and tree[0][1] in BEGINNINGS
    return made if is_anchored and not tree.state.flags & re.MULTILINE else _Ways(made[0] + 1, made[1])


def _ways(tree: Any) -> _Ways:
    return _sum(_ways_of_node(op, argument) for op, argument in tree)


def _sum(parts: Iterable[_Ways]) -> _Ways:
    return _Ways(*map(sum, zip((0, 0), *parts, strict=True)))


def _ways_of_node(op: Any, argument: Any) -> _Ways:
    if op in _REPEATS:
        least, most, body = argument
        inner = _ways(body)
        if most is constants.MAXREPEAT:
            return _Ways(1, 0) if inner == (0, 0) else _Ways(math.inf, math.inf)
        return _Ways(inner[0] * most, inner[1] * most + math.log2(most - least + 1))
    if op is constants.BRANCH:
        inside = [_ways(each) for each in argument[1]]
        is_clear = _are_clear([_begins(each) for each in argument[1]])
        others = max(each[1] for each in inside) + (0 if is_clear else math.log2(len(inside)))
        return _Ways(max(each[0] for each in inside), others)
    parts = argument if isinstance(argument, tuple) else (argument,)
    return _sum(_ways(part) for part in parts if hasattr(part, "state"))


def _begins(tree: Any) -> str:
    """The characters that a part begins with, whatever comes then."""
    letters = itertools.takewhile(lambda node: node[0] is constants.LITERAL, tree)
    return "".join(chr(argument) for _, argument in letters).casefold()


def _are_clear(words: list[str]) -> bool:
    """No two of these alternatives fit the same text."""
    return not any(one.startswith(other) for one, other in itertools.permutations(words, 2))
