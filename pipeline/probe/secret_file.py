"""A file that holds one secret."""

from __future__ import annotations

from pathlib import Path

from pipeline import regular_file
from pipeline.errors import UserError

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


def read_for(what: str, path: Path, fix: str) -> str:
    """The same, of a path in spillway.yaml. Raises UserError, which says what cannot be read, and ``fix``."""
    try:
        return read(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(
            f"{what} cannot be read",
            f"{path.absolute()}: {why}.",
            f"{fix}, or correct the path, which begins in the folder of spillway.yaml.",
        ) from error
