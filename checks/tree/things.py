"""What a symbol turns out to be when all files are known, and what is inside of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from checks.tree.library import LOWER_CASE_CLASSES, RESULTS


class Thing(Struct, frozen=True):
    """One of: ``class``, ``instance``, ``function``, ``method``, ``module``, ``kind``, ``const``, ``known``, ``box``,
    ``row``, ``iter``, ``key``, ``any``, ``view``; ``outside``, ``outside instance``, ``outside attribute``, ``outside result`` for what the tree does not hold.

    Args:
        path: the file that defines it; empty for something outside of the tree.
        name: inside the file, or the full dotted name outside of it, or the kind's word.
        parts: what is inside a ``box`` or the choices of an ``any``; None stands for unknown.
        line: of the definition, 0 outside of the tree.
        is_sure: False for a ``known`` attribute of something that may be anything.
    """

    what: str
    path: str = ""
    name: str = ""
    parts: tuple[Thing | None, ...] = ()
    line: int = 0
    is_sure: bool = True


IsEnum = Callable[[Thing], bool]


def item_of(thing: Thing | None, *, is_enum: IsEnum) -> Thing | None:
    """What iterating gives: of a dictionary its keys, of an enum its members."""
    match thing:
        case Thing(what="box", name="dict"):
            return _one_of(_keys(thing))
        case Thing(what="box" | "iter" | "row"):
            return _one_of(_values(thing))
        case Thing(what="any"):
            return any_of(item_of(part, is_enum=is_enum) for part in thing.parts)
        case Thing(what="class") if is_enum(thing):
            return instance_of(thing)
    return None


def at_of(thing: Thing | None, place: str, *, is_enum: IsEnum) -> Thing | None:
    """What subscripting gives; ``place`` as in a symbol's form ``at``."""
    match thing:
        case Thing(what="any"):
            return any_of(at_of(part, place, is_enum=is_enum) for part in thing.parts)
        case Thing(what="class") if is_enum(thing) and not place.isdigit():
            return instance_of(thing)
        case Thing(what="row") if place and not place.startswith("="):
            index = int(place)
            return thing.parts[index] if -len(thing.parts) <= index < len(thing.parts) else None
        case Thing(what="box" | "iter" | "row") if not place.startswith("="):
            return _one_of(_values(thing))
    return None


def _keys(thing: Thing) -> list[Thing | None]:
    return [part.parts[0] for part in thing.parts if part is not None and part.what == "key"]


def _values(thing: Thing) -> list[Thing | None]:
    return [part for part in thing.parts if part is None or part.what != "key"]


def _one_of(several: list[Thing | None]) -> Thing | None:
    return several[0] if len(several) == 1 else any_of(several) if several else None


def any_of(things: Iterable[Thing | None]) -> Thing:
    """One of these, each named once and none inside of another: what branches give in turn would double with every step."""
    flat = (part for thing in things for part in (thing.parts if thing and thing.what == "any" else (thing,)))
    return Thing("any", parts=tuple(dict.fromkeys(flat)))


def made_of(form: str, name: str, parts: tuple[Thing | None, ...]) -> Thing:
    """What is of a form and holds these."""
    return any_of(parts) if form == "any" else Thing(form, name=name, parts=parts)


def arith_of(operator: str, left: Thing | None, right: Thing | None) -> Thing | None:
    """The left side decides where it is an instance of an outside class: ``now() - start``; a path alone goes on with ``/``."""
    if operator == "/":
        return left if left is not None and left.name.startswith("pathlib.") else None
    return left if left is not None and left.what in ("outside instance", "iter") else right


def perhaps(thing: Thing | None) -> Thing | None:
    """The thing, or nothing."""
    return thing and any_of((thing, None))


def view_of(thing: Thing) -> Thing:
    """What ``items``, ``keys`` and ``values`` of a dictionary give."""
    key, value = _one_of(_keys(thing)), _one_of(_values(thing))
    parts = {"items": Thing("row", parts=(key, value)), "keys": key, "values": value}
    return Thing("iter", name="dict view", parts=(parts[thing.name],))


def outside_result(name: str) -> Thing:
    """An instance where the name is a class's (by its capital, or in the list); else what the table knows."""
    if name in RESULTS or name in LOWER_CASE_CLASSES:
        return Thing("outside instance", name=RESULTS.get(name, name))
    is_class = name.rpartition(".")[2][:1].isupper()
    return Thing("outside instance" if is_class else "outside result", name=name)


def instance_of(thing: Thing | None) -> Thing | None:
    """What calling a class gives."""
    if thing is None:
        return None
    if thing.what == "class":
        return Thing("instance", thing.path, thing.name, line=thing.line)
    return Thing("outside instance", name=thing.name) if thing.what == "outside" else None
