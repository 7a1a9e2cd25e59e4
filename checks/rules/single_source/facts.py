"""What one file says about one symbol: rows of plain values, so that they travel as JSON."""

from __future__ import annotations

from typing import NamedTuple


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
