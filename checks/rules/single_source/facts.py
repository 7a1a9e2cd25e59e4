"""What one file says about one symbol, as tuples of plain values that JSON can write."""

from __future__ import annotations

from typing import Any, NamedTuple


class Definition(NamedTuple):
    """One definition in one file. ``where`` is the scope's dotted path; empty for the module's top level."""

    line: int
    column: int
    kind: str
    where: str
    is_conditional: bool
    print: str
    first_line: int
    last_line: int
    parameters: list[str]
    is_alone: bool
    name: str


class Import(NamedTuple):
    """One import of the name; ``end`` is the statement's last line and column."""

    line: int
    column: int
    kind: str
    module: str
    end: list[int]
    is_whole: bool  # the only name of its statement
    is_relative: bool


class Read(NamedTuple):
    """One use, and how the name came there: ``unbound``, ``param``, ``local``, ``types``, ``star``, ``through``."""

    line: int
    column: int
    how: str
    detail: str


class Mentions(NamedTuple):
    """Everything that one file says about one symbol. ``uses``: lines that read the bare name."""

    definitions: list[Definition]
    imports: list[Import]
    reads: list[Read]
    uses: list[int]


Facts = dict[str, Mentions]


def read(row: Any) -> Facts:
    """By symbol, what one file says, as JSON gives it back."""
    return {
        name: Mentions(
            [Definition(*each) for each in definitions],
            [Import(*each) for each in imports],
            [Read(*each) for each in reads],
            uses,
        )
        for name, (definitions, imports, reads, uses) in row.items()
    }
