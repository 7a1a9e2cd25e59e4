"""Values as JSON values and back, as records have them since version 1. PURE.

What is at its default is left out, and where all fields are whole numbers (counts, of which there are many) so are
their names: a list, without the zeros at its end. Until version 2 these were objects too, and are still read. Times are ISO 8601, durations too (``PT5M``; a year is 365 days). Unknown keys are
passed over: a later version of the same layout may have more. pydantic wrote the first records and reads the same; but it
takes longer to load than a roll-back does, and tests alone use it, to hold this to it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin

from msgspec import NODEFAULT, Struct, ValidationError, convert, structs, to_builtins
from msgspec.structs import FieldInfo

T = TypeVar("T")

_DURATION = re.compile(
    r"(?P<sign>-?)P(?:(?P<y>\d+)Y)?(?:(?P<d>\d+)D)?"
    r"(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+(?:\.\d{1,6})?)S)?)?",
    re.ASCII,
)
_YEAR_DAYS = 365


class Misfit(ValueError):
    """A value that is not of its type; the text says where and why."""


def plain(value: Any) -> Any:
    """JSON values: dictionaries, lists, texts, numbers (infinite ones too), true, false and None."""
    if isinstance(value, Struct):
        if _is_row(type(value)):
            return _row(value)
        given = ((f, getattr(value, f.name)) for f in _fields(type(value)))
        return {f.name: plain(each) for f, each in given if not _is_default(f, each)}
    if isinstance(value, timedelta):
        return _iso(value)
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, tuple | list) else to_builtins(value)


@cache
def _is_row(kind: Any) -> bool:
    return all(field.type is int and field.default == 0 for field in _fields(kind))


def _row(value: Any) -> list[int]:
    numbers = list(structs.astuple(value))
    while numbers and not numbers[-1]:
        numbers.pop()
    return numbers


def _is_default(field: FieldInfo, value: Any) -> bool:
    made = field.default_factory() if field.default_factory is not NODEFAULT else field.default
    return made is not NODEFAULT and bool(value == made)


def made(kind: type[T], value: Any) -> T:
    """The value that ``plain`` told of. Raises: Misfit; OverflowError for numbers beyond all measure."""
    found: T = _made(kind, value, "record")
    return found


def _made(kind: Any, value: Any, where: str) -> Any:
    if kind is object:
        return value
    if isinstance(kind, type) and issubclass(kind, Struct):
        return _struct(kind, value, where)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Mapping:
        _must(isinstance(value, dict), where, "an object")
        return {key: _made(inner[1], each, f"{where}.{key}") for key, each in value.items()}
    if origin is tuple:
        _must(isinstance(value, list), where, "a list")
        kinds = [inner[0]] * len(value) if inner[-1] is ... else list(inner)
        _must(len(value) == len(kinds), where, f"a list of {len(kinds)}")
        return tuple(_made(k, v, f"{where}.{n}") for n, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if NoneType in inner:
        return None if value is None else _made(inner[0], value, where)
    return _leaf(kind, value, where)


def _struct(kind: Any, value: Any, where: str) -> Any:
    if isinstance(value, list) and _is_row(kind):
        _must(len(value) <= len(_fields(kind)), where, f"at most {len(_fields(kind))} numbers")
        return kind(*(_leaf(int, each, f"{where}.{n}") for n, each in enumerate(value)))
    _must(isinstance(value, dict), where, "an object")
    given = {}
    for field in _fields(kind):
        if field.name in value:
            given[field.name] = _made(field.type, value[field.name], f"{where}.{field.name}")
        else:
            _must(not field.required, f"{where}.{field.name}", "there")
    return kind(**given)


@cache
def _fields(kind: Any) -> tuple[FieldInfo, ...]:
    return structs.fields(kind)


def _leaf(kind: Any, value: Any, where: str) -> Any:
    try:
        return _duration(value) if kind is timedelta else convert(value, kind)
    except (TypeError, ValueError, ValidationError) as error:
        raise Misfit(f"{where}: {str(error)[:200]}") from error


def _must(is_so: bool, where: str, what: str) -> None:
    if not is_so:
        raise Misfit(f"{where}: it should be {what}")


def _iso(value: timedelta) -> str:
    sign, rest = ("-", -value) if value < timedelta(0) else ("", value)
    years, days = divmod(rest.days, _YEAR_DAYS)
    hours, seconds = divmod(rest.seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    exact = (
        f"{seconds}.{rest.microseconds:06d}".rstrip("0").rstrip(".") if rest.microseconds else f"{seconds}"
    )
    date = "".join(f"{n}{unit}" for n, unit in ((years, "Y"), (days, "D")) if n)
    time = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M")) if n)
    time += f"{exact}S" if exact != "0" or not (date or time) else ""
    return f"{sign}P{date}" + (f"T{time}" if time else "")


def _duration(text: str) -> timedelta:
    found = _DURATION.fullmatch(text)
    if found is None or text[-1] in "PT":
        raise ValueError(f"{text[:40]!r} is no duration")
    years, days, hours, minutes = (int(found[unit] or 0) for unit in "ydhm")
    whole, _, part = (found["s"] or "0").partition(".")
    length = timedelta(
        days=years * _YEAR_DAYS + days, hours=hours, minutes=minutes, seconds=int(whole),
        microseconds=int(part.ljust(6, "0") or 0),
    )  # fmt: skip
    return -length if found["sign"] else length
