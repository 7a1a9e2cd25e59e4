"""A file that holds one secret."""

from __future__ import annotations

from pathlib import Path

from pipeline import regular_file

_LONGEST = 64 * 1024  # bytes


def read(path: Path) -> str:
    """Its text, without the mark, blanks and line ends around it that editors add. Raises: OSError; ValueError with why."""
    data = regular_file.read(path, _LONGEST)
    if len(data) > _LONGEST:
        raise ValueError(f"it is larger than {_LONGEST} bytes")
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None
    if not text:
        raise ValueError("it is empty")
    return text
