"""Durations, moments, rates, odds and sizes as people write them: ``5m``, ``0.1%``, ``1 in 1000``, ``4MiB``.  PURE."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

LONGEST = timedelta(days=366)  # of any duration in a file; sums of a few stay far from where timedelta ends

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:[0-9]{1,15}(?:\.[0-9]{1,9})?(?:ms|[smhd]))+")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd])")
_RATE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,15})?)\s?%")
_ODDS = re.compile(r"([0-9]{1,9})\s+in\s+([0-9](?:[0-9,_]{0,13}[0-9])?)")
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}
_SIZE = re.compile(r"([1-9][0-9]{0,8})\s?(B|KiB|MiB)")
_LONGEST_TEXT = 60  # what is longer is no duration, rate or bound, whatever stands in it


def parse_duration(text: object) -> timedelta:
    """``500ms``, ``5m``, ``1h30m``, ``24h``. Raises ValueError for anything else, bare numbers above all."""
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT or not _DURATION.fullmatch(text):
        raise ValueError(f"{shown(text)} is not a duration: {_duration_hint(text)}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"{text!r} is too long: a duration is at most {LONGEST.days}d")
    return timedelta(seconds=seconds)


def _duration_hint(text: object) -> str:
    if isinstance(text, int | float) and not isinstance(text, bool) and 0 <= text < 1e6:
        return f"write {text}s or {text}m"
    if isinstance(text, str) and text.startswith("-"):
        return "it cannot be negative"
    return "write for example 30s, 5m or 1h30m"


def format_duration(duration: timedelta) -> str:
    """The shortest text that ``parse_duration`` reads back, to the millisecond."""
    milliseconds = round(duration.total_seconds() * 1000)
    if milliseconds == 0:
        return "0s"
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def parse_rate(text: object) -> float:
    """``0.1%`` to 0.001. Raises ValueError: a bare number could mean either."""
    match = _RATE.fullmatch(text) if isinstance(text, str) else None
    if match is None or float(match[1]) > 100:
        raise ValueError(
            f"{shown(text)} is not a rate: write a percentage from 0% to 100%, such as 0.1% or 5%"
        )
    return float(match[1]) / 100


def format_rate(rate: float) -> str:
    return f"{rate * 100:.4g}%"


def parse_odds(text: object) -> float:
    """``1 in 1000`` to 0.001. Raises ValueError."""
    match = _ODDS.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{shown(text)} is not a bound: write for example 1 in 1000")
    ones, many = int(match[1]), int(match[2].replace(",", "").replace("_", ""))
    if not 0 < 2 * ones <= many:
        raise ValueError(f"{shown(text)} is not a bound: it must lie between 1 in 2 and never")
    return ones / many


def parse_size(text: object) -> int:
    """``64KiB``, ``4MiB`` to bytes. Raises ValueError."""
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{shown(text)} is not a size: write for example 64KiB or 4MiB")
    return int(match[1]) * _SIZES[match[2]]


def format_size(size: int) -> str:
    """The shortest text that ``parse_size`` reads back."""
    unit = next(unit for unit in reversed(_SIZES) if size % _SIZES[unit] == 0)
    return f"{size // _SIZES[unit]}{unit}"


def when(moment: datetime) -> str:
    """``2026-11-27 19:00:00 UTC``. Args: moment: in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def count(number: int, noun: str) -> str:
    """``1 session``, ``1,204 sessions``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shown(value: object) -> str:
    """A value for a complaint: scalars as they are, cut; of anything else its kind alone."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        text = repr(value) if not isinstance(value, int) or abs(value) < 10**20 else "a huge number"
        return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 3]}..."
    return "a list" if isinstance(value, list | tuple) else "a mapping"
