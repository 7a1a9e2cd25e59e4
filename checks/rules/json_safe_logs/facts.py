"""What one file says to json-safe-logs, as tuples of plain values that JSON can write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from checks.rules.json_safe_logs.installs import Install, install_of
from checks.tree.symbols import DOUBT, Symbol, symbol_of, walk


class Reach(NamedTuple):
    """A value that reaches a sink.

    Args:
        field: the key next to it.
        top: the field of the log line that it is in; empty where that is unknown.
        steps: lines and words, first first.
        owner: what the sink belongs to, where only its name says that it is a logger or a socket.
    """

    line: int
    column: int
    sink: str
    field: str
    top: str
    text: str
    symbol: Symbol
    steps: list[tuple[int, str]]
    owner: Symbol | None


class Given(NamedTuple):
    """A value that a call gives to a function that hands it on to a sink, as far as its name says.

    Args:
        place: of a positional argument, from 0; -1 for a keyword.
        keyword: empty for a positional argument; ``**`` for what is spread.
    """

    line: int
    column: int
    callee: Symbol
    place: int
    keyword: str
    text: str
    symbol: Symbol
    steps: list[tuple[int, str]]


class Facts(NamedTuple):
    """Values that reach a sink, the encoders that are set up, and values that functions are given."""

    reaches: list[Reach]
    installs: list[Install]
    given: list[Given]


def read(row: Any) -> Facts:
    """Facts as JSON gives them back."""
    reaches, found, given = row
    made = [
        Reach(line, column, sink, field, top, text, symbol_of(symbol) or DOUBT, steps, symbol_of(owner))
        for line, column, sink, field, top, text, symbol, steps, owner in reaches
    ]
    handed = [
        Given(
            line, column, symbol_of(callee) or DOUBT, index, keyword, text, symbol_of(symbol) or DOUBT, steps
        )
        for line, column, callee, index, keyword, text, symbol, steps in given
    ]
    return Facts(made, [install_of(each) for each in found], handed)


def join(facts: Facts, more: Facts) -> Facts:
    return Facts(facts.reaches + more.reaches, facts.installs + more.installs, facts.given + more.given)


def refers(facts: Facts) -> Iterator[str]:
    """Names whose definitions judging will ask for."""
    for reach in facts.reaches:
        yield from named(reach.symbol)
        yield from named(reach.owner) if reach.owner is not None else ()
    for given in facts.given:
        yield from named(given.symbol)


def gave_up(facts: Facts) -> Iterator[tuple[int, str]]:
    """Values of which not all could be followed."""
    for reach in facts.reaches:
        if any(part.form == "lost" for part in walk(reach.symbol)):
            yield reach.line, f"{reach.text} has more parts than are followed"


def named(symbol: Symbol) -> Iterator[str]:
    return (part.name for part in walk(symbol) if part.form in ("obj", "of"))
