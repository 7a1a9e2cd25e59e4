"""Kinds of values in ``spillway.yaml``, each with its limits and our own words for what does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from pipeline.units import format_duration, format_rate, parse_duration, parse_odds, parse_rate, shown


def text_like(pattern: str, words: str) -> Callable[[str], str]:
    """A check for text of a certain form; ``words`` complete "must be ..."."""
    form = re.compile(pattern)

    def check(value: str) -> str:
        if not form.fullmatch(value):
            raise ValueError(f"{shown(value)} must be {words}")
        return value

    return check


def whole(least: int, most: int) -> Any:
    """A whole number within these two, both allowed."""
    return Field(ge=least, le=most)


def between(least: str, most: str) -> AfterValidator:
    """A duration within these two, both allowed."""
    shortest, longest = parse_duration(least), parse_duration(most)

    def check(value: timedelta) -> timedelta:
        if not shortest <= value <= longest:
            raise ValueError(f"{format_duration(value)} must lie between {least} and {most}")
        return value

    return AfterValidator(check)


def _duration(value: object) -> timedelta:
    """What stands in the file is text; what the program hands over (defaults) is a timedelta already."""
    return value if isinstance(value, timedelta) else parse_duration(value)


Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(format_duration)]
Rate = Annotated[float, BeforeValidator(parse_rate), PlainSerializer(format_rate)]
Odds = Annotated[float, BeforeValidator(parse_odds), PlainSerializer(lambda odds: f"1 in {round(1 / odds)}")]
Name = Annotated[
    str,
    AfterValidator(
        text_like(
            r"[a-z]([-a-z0-9]{0,47}[a-z0-9])?",
            "at most 49 small letters, digits and hyphens; a letter first, no hyphen last",
        )
    ),
]
UrlPath = Annotated[str, AfterValidator(text_like(r"/.*", "a path that starts with a slash"))]
