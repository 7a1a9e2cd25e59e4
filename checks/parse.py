"""Bytes to syntax tree, or a reason why not. Parsing is all that ever happens to checked code.

An interpreter reads no syntax newer than itself. The parts of Python 3.12 to 3.14 that can be blanked out without
moving a line (type parameters, ``type`` statements, template strings, bare ``except A, B``) are, on a second try.
"""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass

PARSE_LIMIT_BYTES = 4 << 20


class Unparsable(Exception):
    """The file is not Python that this interpreter reads."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


@dataclass(frozen=True, slots=True)
class Parsed:
    """One file: its path below the root, its bytes, its tree."""

    path: str
    data: bytes
    tree: ast.Module


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
        older = _without_new_syntax(data)
        if older != data:
            try:
                return Parsed(path, data, _tree(older))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                pass
        raise Unparsable(f"does not parse: {error.msg}", error.lineno or 0) from error
    except (RecursionError, MemoryError) as error:
        raise Unparsable("nested too deeply to parse") from error
    except ValueError as error:
        raise Unparsable(f"does not parse: {error}") from error


def _tree(data: bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in checked code are its owner's business
        return ast.parse(data)


def _spaces(match: re.Match[bytes]) -> bytes:
    return match[1] + b" " * len(match[2])


_NEWER = (
    (
        re.compile(rb"^([ \t]*(?:async\s+)?(?:def|class)\s+\w+)(\[[^\n]*?\])(?=\s*[(:])", re.MULTILINE),
        _spaces,
    ),
    (re.compile(rb"^([ \t]*)type[ \t]+(\w+)\s*(?:\[[^\n]*?\])?\s*=", re.MULTILINE), rb"\1\2 ="),
    (re.compile(rb"""(?<![\w"'])([rR]?)[tT]([rR]?)(?=["'])"""), rb"\1f\2"),
    (re.compile(rb"^([ \t]*except\*?\s+)([\w.]+(?:\s*,\s*[\w.]+)+)(\s*:)", re.MULTILINE), rb"\1(\2)\3"),
)


def _without_new_syntax(data: bytes) -> bytes:
    for pattern, replacement in _NEWER:
        data = pattern.sub(replacement, data)
    return data
