"""Kinds of values in ``spillway.yaml``, each with its limits and our own words for what does not fit.  PURE.

A kind is ``Annotated``: a type, and steps that are taken with the value, one after the other. A step returns the value, or
makes another of it; it raises ValueError with the whole complaint, or Unfit with what the value must be. Beside what it
refuses stands what a JSON schema can say of that.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from typing import Annotated, Any

from msgspec import Struct

from pipeline.model import OWN_VARIABLES
from pipeline.units import (
    format_duration,
    format_rate,
    format_size,
    parse_duration,
    parse_odds,
    parse_rate,
    parse_size,
    shown,
)


class Step(Struct, frozen=True, eq=False):
    """One step, called with the value.

    Args:
        schema: what a JSON schema says of the values that it takes; it may take fewer.
        write: what it makes, as people write it; None where it makes nothing else of the value.
    """

    take: Callable[[Any], Any]
    schema: Mapping[str, Any]
    write: Callable[[Any], str] | None = None

    def __call__(self, value: Any) -> Any:
        return self.take(value)


def told(**schema: Any) -> Callable[[Callable[[Any], Any]], Step]:
    """Makes a step of a function: ``schema`` says of its values what a JSON schema can."""
    return lambda take: Step(take, schema)


class Unfit(ValueError):
    """A value that is not what these words say; whoever tells it adds what was given instead, and then the hint."""

    def __init__(self, words: str, hint: str = "") -> None:
        super().__init__(words)
        self.hint = hint


class Misplaced(ValueError):
    """A complaint about something inside of the value: by which keys it is reached."""

    def __init__(self, below: tuple[str | int, ...], words: str) -> None:
        super().__init__(words)
        self.below = below


def text_like(pattern: str, words: str) -> Step:
    """A check for text of a certain form; ``words`` complete "must be ..."."""
    form = re.compile(pattern)

    def check(value: str) -> str:
        if not form.fullmatch(value):
            raise ValueError(f"{shown(value)} must be {words}")
        return value

    return Step(check, {"pattern": f"^(?:{pattern})$"})


def whole(least: int, most: int) -> Step:
    """A whole number within these two, both allowed."""

    def check(value: int) -> int:
        if not least <= value <= most:
            raise Unfit(f"must be at least {least}" if value < least else f"must be at most {most}")
        return value

    return Step(check, {"minimum": least, "maximum": most})


def between(least: str, most: str) -> Step:
    """A duration within these two, both allowed."""
    shortest, longest = parse_duration(least), parse_duration(most)

    def check(value: timedelta) -> timedelta:
        if not shortest <= value <= longest:
            raise ValueError(f"{format_duration(value)} must lie between {least} and {most}")
        return value

    return Step(check, {"$comment": f"from {least} to {most}"})


@told(minLength=1, minItems=1, minProperties=1)
def not_empty(value: Collection[object]) -> Collection[object]:
    if not value:
        raise Unfit("must not be empty")
    return value


_VARIABLE = r"[ -<>-~]+"  # printable, and no equals sign
#: That Cloud Run sets in the container that serves. Source: cloud.google.com/run/docs/container-contract.
_SET_BY_CLOUD_RUN = ("K_CONFIGURATION", "K_REVISION", "K_SERVICE", "PORT")


@told(propertyNames={"pattern": f"^(?:{_VARIABLE})$"})
def variables(env: dict[str, str]) -> dict[str, str]:
    """Raises ValueError for what no variable can be called."""
    for name in env:
        if not re.fullmatch(_VARIABLE, name):
            raise Misplaced((name,), f"{shown(name)} is no name of a variable: printable, and without =")
    return env


@told(propertyNames={"not": {"enum": sorted((*OWN_VARIABLES, *_SET_BY_CLOUD_RUN))}})
def not_our_variables(env: dict[str, str]) -> dict[str, str]:
    """Raises ValueError for a variable that each deploy, or Cloud Run, writes itself."""
    for name in env:
        if name in OWN_VARIABLES:
            raise Misplaced((name,), f"{name} is Spillway's own")
        if name in _SET_BY_CLOUD_RUN:
            hint = "; the port is said by port:" if name == "PORT" else ""
            raise Misplaced((name,), f"{name} is set by Cloud Run itself{hint}")
    return env


@told(pattern=r"^(?!/|\.\.(?:/|$)|\.$)[^\0]+$")
def _below_source(path: str) -> str:
    """The path made plain. Raises ValueError where it leads out of the source folder."""
    plain = posixpath.normpath(path)
    if "\0" in path or not path or plain == "." or plain.startswith(("/", "../")) or plain == "..":
        raise ValueError(
            f"{shown(path)} is not a file below the source folder: write for example app/core/utils.py"
        )
    return plain


#: the kinds that ``checks.settings`` names, since it knows nothing of this module
NAMED_KINDS = {
    "name": text_like(
        r"\w{1,200}(\.\w{1,200}){0,20}", "a name of the source, such as helper or Class.method"
    ),
    "source file": _below_source,
    "word": not_empty,
}

#: marks a field that is no key; ``checks.settings`` has the same
NOT_A_KEY = "not a key"

_PART = r"[0-9]{1,15}(?:\.[0-9]{1,9})?(?:ms|[smhd])"
_PERCENTAGE = r"[0-9]{1,2}(?:\.[0-9]{1,15})?|0[0-9]{2}(?:\.[0-9]{1,15})?|100(?:\.0{1,15})?"

Duration = Annotated[
    timedelta,
    Step(
        parse_duration,
        {"type": "string", "pattern": f"^(?:{_PART})+$", "maxLength": 60},
        format_duration,
    ),
]
Rate = Annotated[
    float, Step(parse_rate, {"type": "string", "pattern": rf"^(?:{_PERCENTAGE})\s?%$"}, format_rate)
]
Odds = Annotated[
    float,
    Step(
        parse_odds,
        {"type": "string", "pattern": r"^[0-9]{1,9}\s+in\s+[0-9](?:[0-9,_]{0,13}[0-9])?$"},
        lambda value: f"1 in {round(1 / value)}",
    ),
]
_LARGEST = 64 << 20  # of a message; each conversation that is under way may hold a few


def _size(text: object) -> int:
    size = parse_size(text)
    if size > _LARGEST:
        raise ValueError(f"{shown(text)} is more than {format_size(_LARGEST)}")
    return size


Size = Annotated[
    Any,  # bytes, a whole number
    Step(_size, {"type": "string", "pattern": r"^[1-9][0-9]{0,8}\s?(?:B|KiB|MiB)$"}, format_size),
]
Name = Annotated[
    str,
    text_like(
        r"[a-z]([-a-z0-9]{0,47}[a-z0-9])?",
        "at most 49 small letters, digits and hyphens; a letter first, no hyphen last",
    ),
]
UrlPath = Annotated[str, text_like(r"/.*", "a path that starts with a slash")]
