"""Bytes to syntax tree, or a reason why not. Parsing is all that ever happens to checked code.

An interpreter reads no syntax newer than itself: on a second try, what is newer is blanked out (see ``new_syntax.py``).
"""

from __future__ import annotations

import ast
import warnings
from contextlib import suppress

from msgspec import Struct

from checks.tree.new_syntax import without_new_syntax

PARSE_LIMIT_BYTES = 4 << 20


class Unparsable(Exception):
    """The file is not Python that this interpreter reads."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


class Parsed(Struct, frozen=True):
    """One file: its path below the root, its bytes, its tree.

    Args:
        lines: those that the tree was made for, where it is a part of the file.
        left_out: names at its top that are not there whole.
    """

    path: str
    data: bytes
    tree: ast.Module
    lines: tuple[int, ...] | None = None
    left_out: frozenset[str] = frozenset()


def parse(path: str, data: bytes) -> Parsed:
    """Raises Unparsable, and nothing else whatever the bytes are."""
    if len(data) > PARSE_LIMIT_BYTES:
        raise Unparsable(
            f"{len(data) / (1 << 20):.1f} MiB: larger than the {PARSE_LIMIT_BYTES >> 20} MiB that are parsed"
        )
    if b"\0" in data:
        raise Unparsable("holds null bytes", data.count(b"\n", 0, data.index(b"\0")) + 1)
    try:
        return Parsed(path, data, _tree(data))
    except SyntaxError as error:
        with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            older = without_new_syntax(data)
            if older != data:
                return Parsed(path, data, _tree(older))
        raise Unparsable(f"does not parse: {error.msg}", error.lineno or 0) from error
    except (RecursionError, MemoryError) as error:
        raise Unparsable("nested too deeply to parse") from error
    except ValueError as error:
        raise Unparsable(f"does not parse: {error}") from error


def _tree(data: bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in checked code are its owner's business
        return ast.parse(data)
