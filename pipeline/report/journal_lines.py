"""Journal lines as values.  PURE.

They come from a file that anybody may have edited: whatever has not the expected shape is left out, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

Line = Mapping[str, object]


def moment(value: object) -> datetime | None:
    """An aware time, or None."""
    try:
        made = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return made if made.tzinfo else None


def number(value: object) -> float:
    """A finite number, or 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= 1e12 else 0.0  # type: ignore[arg-type]


def mappings(value: object) -> Sequence[Mapping[str, object]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list | tuple) else ()


def shares(value: object) -> Mapping[str, int]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): percent for name, percent in value.items() if isinstance(percent, int)}
