"""What is inside: the symbols of containers, and what iterating, unpacking and subscripting give.

A dictionary is a ``box`` called ``dict``: iterating it gives its keys, subscripting its values. What JSON takes by no
means, but iterates like a list, is an ``iter`` (a set, a generator, a view of a dictionary), apart from its elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from checks.tree.symbols import DOUBT, Symbol, box, either

DICT = "dict"
VIEWS = frozenset({"items", "keys", "values"})
#: forms that hold nothing that could be taken out
_CLOSED = frozenset({"kind", "const", "known", "key", "lost", "param", "arith"})


def joined(*symbols: Symbol | None) -> Symbol | None:
    """One of several branches; a branch in which the value is harmless makes the others uncertain."""
    known = [s for s in symbols if s is not None]
    return either(known if len(known) in (0, len(symbols)) else (*known, DOUBT))


def row(symbols: Iterable[Symbol | None]) -> Symbol | None:
    """A tuple, each part in its place; None where nothing inside it can be said to be anything but harmless."""
    parts = tuple(None if symbol is None or symbol.form == "const" else symbol for symbol in symbols)
    return Symbol("row", parts=parts) if any(parts) else None


def iterable(name: str, *symbols: Symbol | None) -> Symbol:
    """What gives these when it is iterated, and is called so."""
    return Symbol("iter", name, tuple(s for s in symbols if s is not None and s.form != "const"))


def item(symbol: Symbol | None) -> Symbol | None:
    """What iterating gives: of a dictionary its keys."""
    if symbol is None or symbol.form in _CLOSED:
        return None
    match symbol.form:
        case "box" if symbol.name == DICT:
            return _one_of(_keys(symbol))
        case "box" | "iter":
            return _one_of(_values(symbol))
        case "row":
            return joined(*symbol.parts)
        case _:
            return Symbol("item", parts=(symbol,))


def at(symbol: Symbol | None, place: int | None = None) -> Symbol | None:
    """What subscripting gives, by a place that is known or by a computed key; unpacking is the same."""
    if symbol is None or symbol.form in _CLOSED:
        return None
    match symbol.form:
        case "row" if place is not None:
            return symbol.parts[place] if -len(symbol.parts) <= place < len(symbol.parts) else None
        case "row":
            return joined(*symbol.parts)
        case "box" | "iter":
            return _one_of(_values(symbol))
        case _:
            return Symbol("at", "" if place is None else str(place), (symbol,))


def member(symbol: Symbol | None, key: str) -> Symbol | None:
    """What subscripting by a text gives: of a dictionary it says nothing which of the values, of an enum a member."""
    closed = symbol is None or symbol.form in _CLOSED or symbol.form in ("box", "iter", "row", "fields")
    return None if closed else Symbol("at", f"={key}", (symbol,))


def view(symbol: Symbol | None, word: str) -> Symbol:
    """What ``items``, ``keys`` and ``values`` of a dictionary give."""
    if symbol is None:
        return iterable("dict view")
    key, value = _one_of(_keys(symbol)), _one_of(_values(symbol))
    return iterable("dict view", {"items": row((key, value)), "keys": key, "values": value}[word])


def spread(symbol: Symbol | None) -> list[Symbol | None]:
    """What ``**symbol`` brings into a dictionary: keys and values."""
    if symbol is None or symbol.form in ("iter", "row"):
        return []
    return list(symbol.parts) if symbol.form == "box" else [symbol if symbol.form == "param" else at(symbol)]


def is_dict(symbol: Symbol | None) -> bool:
    return symbol is not None and symbol.form == "box" and symbol.name == DICT


def _keys(symbol: Symbol) -> Iterator[Symbol | None]:
    return (part.parts[0] for part in symbol.parts if part is not None and part.form == "key")


def _values(symbol: Symbol) -> Iterator[Symbol]:
    return (part for part in symbol.parts if part is not None and part.form != "key")


def _one_of(symbols: Iterable[Symbol | None]) -> Symbol | None:
    """The only one, or one of several and perhaps something else."""
    several = list(symbols)
    return several[0] if len(several) == 1 else joined(*several, None)


def extended(before: Symbol | None, value: Symbol | None, name: str) -> Symbol | None:
    """A container with one more value: a set stays a set."""
    if before is not None and before.form == "iter":
        return iterable(before.name, *before.parts, value)
    if before is not None and before.form == "any" and any(p and p.form == "iter" for p in before.parts):
        several = (part for part in before.parts if part is not None)
        return either(part if part.form == "const" else extended(part, value, name) for part in several)
    parts = before.parts if before is not None and before.form == "box" else (before,)
    return box((*parts, value), name)
