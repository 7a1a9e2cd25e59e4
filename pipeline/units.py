"""Durations, rates and odds as people write them: ``5m``, ``0.1%``, ``1 in 1000``.  PURE."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_ODDS = re.compile(r"(\d+)\s+in\s+([\d_,]+)")


def parse_duration(text: object) -> timedelta:
    """``500ms``, ``5m``, ``1h30m``, ``24h``. Raises ValueError for anything else, numbers above all."""
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        hint = (
            f"write {text}s or {text}m"
            if isinstance(text, int | float)
            else "write for example 30s, 5m or 1h30m"
        )
        raise ValueError(f"{text!r} is not a duration: {hint}")
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))


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
        raise ValueError(f"{text!r} is not a rate: write a percentage such as 0.1% or 5%")
    return float(match[1]) / 100


def format_rate(rate: float) -> str:
    return f"{rate * 100:.4g}%"


def parse_odds(text: object) -> float:
    """``1 in 1000`` to 0.001."""
    match = _ODDS.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a bound: write for example 1 in 1000")
    odds = int(match[1]) / int(match[2].replace(",", "").replace("_", ""))
    if not 0 < odds <= 0.5:
        raise ValueError(f"{text!r} is not a bound: it must lie between 1 in 2 and never")
    return odds
