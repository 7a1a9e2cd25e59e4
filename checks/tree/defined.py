"""What one module defines, as plain data that JSON writes and gives back."""

from __future__ import annotations

from typing import Any, NamedTuple

from checks.tree.symbols import Symbol, symbol_of


class Member(NamedTuple):
    """A name assigned in a class body: an enum member, a field, a class attribute."""

    line: int
    value: str  # the value's source text; empty for a bare annotation
    annotation: str

    @property
    def is_field(self) -> bool:
        """Whether a record of this class has it in each instance and gives it away."""
        return (
            bool(self.annotation) and "ClassVar" not in self.annotation and "exclude=True" not in self.value
        )

    @property
    def is_serialized(self) -> bool:
        """Whether its annotation says how pydantic writes it, in Python's mode too."""
        is_written = "PlainSerializer(" in self.annotation or "WrapSerializer(" in self.annotation
        return is_written and "when_used" not in self.annotation

    @property
    def may_be_none(self) -> bool:
        return self.value == "None" or "Optional" in self.annotation or "None" in self.annotation


Symbols = dict[str, Symbol | None]


class Class(NamedTuple):
    """One class: ``fields`` are its members and what its methods assign to ``self``.

    Args:
        serialized: fields that pydantic writes by a function of the class; ``*`` for all.
        changes_reads: a metaclass or a method of it may give something else than what its attributes hold.
    """

    line: int
    bases: list[Symbol | None]
    decorators: list[str]
    uses_enum_values: bool
    members: dict[str, Member]
    fields: Symbols
    returns: Symbols
    properties: list[str]
    serialized: list[str]
    changes_reads: bool = False


class Definitions(NamedTuple):
    """One module, by top-level name (classes by their dotted path inside the module).

    Args:
        left_out: names of which nothing is said here, though the module defines them.
    """

    imports: dict[str, str]
    stars: list[str]
    classes: dict[str, Class]
    functions: Symbols
    values: Symbols
    left_out: list[str]

    def tells(self, name: str | None) -> bool:
        """Whether all is here that there is to say of a name at the top, or of all of them."""
        return name not in self.left_out if name is not None else not self.left_out


def left_out_of(row: Any) -> list[str]:
    """The same of definitions that are still as JSON gives them back."""
    left_out: list[str] = row[-1]
    return left_out


def definitions_of(row: Any) -> Definitions:
    """Definitions as JSON gives them back. Raises AttributeError, TypeError, ValueError for anything else."""
    imports, stars, classes, functions, values, left_out = row
    made = {name: _class_of(*each) for name, each in classes.items()}
    return Definitions(imports, stars, made, _symbols_of(functions), _symbols_of(values), left_out)


def _class_of(
    line: int, bases: list[Any], decorators: list[str], uses_enum_values: bool, *rest: Any
) -> Class:
    members, fields, returns, *others = rest
    made = {name: Member(*each) for name, each in members.items()}
    above = [symbol_of(each) for each in bases]
    return Class(
        line, above, decorators, uses_enum_values, made, _symbols_of(fields), _symbols_of(returns), *others
    )


def _symbols_of(row: dict[str, Any]) -> Symbols:
    return {name: symbol_of(each) for name, each in row.items()}
