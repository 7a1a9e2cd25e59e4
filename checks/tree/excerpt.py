"""The part of a file that is asked about, in its place: parsing is nearly all that a look at a file costs.

Theory of operation. Functions and classes begin with a line of their own, and end before the next line that is indented
no further. Those that hold no line of interest are cut down to their name, and blank lines take the place of the rest, so
that lines and columns stay what they are. Kept is what stands outside of them, and in a class with such a line every method
that gives something to ``self``. Lines do not tell what is inside a string: where a function begins or seems to end
inside of one, or the excerpt cannot be parsed, the whole file is parsed.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice

from checks.tree.definitions import Function
from checks.tree.parse import Parsed, Unparsable, parse
from checks.tree.slices import slice_of, without_strings
from checks.tree.untouched import GIVING, untouched

_HEAD = re.compile(rb"(?:async +def|def|class) +(\w+)")
_GOES_ON = (b")", b"]", b"}", b"''")
_METHOD = re.compile(rb"([ \t]+)(?:async +def|def) ")
#: how many lines that look like the end of a function are tried
_MOST_ENDS = 4
#: of a smaller file the whole is parsed as fast
_LEAST_BYTES = 2000


def parse_part(path: str, data: bytes, lines: Sequence[int], *, with_classes: bool = False) -> Parsed:
    """The file with those functions and methods that hold one of the lines, which are in order.

    Args:
        with_classes: classes that hold none are kept whole, too.
    Raises: Unparsable, where the whole file cannot be parsed.
    """
    left_out: set[str] = set()
    part = _excerpt(data, lines, left_out, with_classes=with_classes) if len(data) > _LEAST_BYTES else None
    if part is not None:
        try:
            return Parsed(path, data, parse(path, part).tree, tuple(lines), frozenset(left_out))
        except Unparsable:
            pass
    return parse(path, data)


def _excerpt(
    data: bytes, lines: Sequence[int], left_out: set[str], *, with_classes: bool = False
) -> bytes | None:
    """The part, or None where lines do not show what is in a string.

    Args:
        left_out: takes the names at the top that are not there whole.
    """
    if b"\r" in data or b"\f" in data or b"\\\n" in data:
        return None
    text = without_strings(data)
    rows, plain = data.split(b"\n"), text.split(b"\n")
    if len(rows) != len(plain):
        return None
    # Names that are not ASCII may be spelt in several ways; and the field of a string may bind one.
    if not text.isascii() or data.count(b":=") != text.count(b":="):
        return None
    kept = rows[:]
    for first, last in _blocks(plain, 0, len(rows), b""):
        is_class, is_asked = plain[first].startswith(b"class"), _holds(lines, first, last)
        if is_class and with_classes and not is_asked:
            continue
        left_out.add(_name_of(rows[first], b"").decode(errors="replace"))
        if not is_asked:
            _cut(rows, kept, first, last, b"")
        elif is_class:
            _class(rows, plain, kept, first, last, lines)
        else:
            _slice(rows, plain, kept, first, last, lines)
    return b"\n".join(kept)


def _class(
    rows: list[bytes], plain: list[bytes], kept: list[bytes], first: int, last: int, lines: Sequence[int]
) -> None:
    """Keep of a class those methods that hold a line of interest, or give something to the object."""
    indent = next((m[1] for row in plain[first + 1 : last] if (m := _METHOD.match(row))), b"")
    for start, end in _blocks(plain, first + 1, last, indent) if indent else ():
        if not _holds(lines, start, end):
            if next(_giving(plain, start + 1, end), None) is None:
                _cut(rows, kept, start, end, indent)
        elif not plain[start].startswith(b"class", len(indent)):
            near = lines[bisect_left(lines, start + 1) : bisect_right(lines, end)]
            # Other methods see what it gives the object behind the last of them.
            _slice(rows, plain, kept, start, end, [*near, *_giving(plain, near[-1], end)])


def _giving(plain: list[bytes], first: int, last: int) -> Iterator[int]:
    """The lines, from 1, of rows from ``first`` to before ``last``, from 0, that give something to the object."""
    for number, row in enumerate(plain[first:last], first + 1):
        if b"self." in row and GIVING.search(row):
            yield number


def _holds(lines: Sequence[int], first: int, last: int) -> bool:
    """Whether one of the lines, from 1, is among the rows from ``first`` to before ``last``, from 0."""
    at = bisect_left(lines, first + 1)
    return at < len(lines) and lines[at] <= last


def _blocks(rows: list[bytes], start: int, end: int, indent: bytes) -> Iterator[tuple[int, int]]:
    """Functions and classes that are indented so: the row of each head, and the row behind its end."""
    head, depth = -1, len(indent)
    for number in range(start, end):
        row = rows[number]
        if len(row) <= depth or row[depth] in b" \t" or row.startswith(_GOES_ON, depth):
            continue
        if not row.startswith(indent):
            if not row.strip():
                continue
            row = b""  # it stands further out
        if head >= 0:
            yield head, number
        head = number if _HEAD.match(row, depth) else -1
    if head >= 0:
        yield head, end


def _slice(
    rows: list[bytes], plain: list[bytes], kept: list[bytes], first: int, last: int, lines: Sequence[int]
) -> None:
    """Keep of a function what its lines of interest need, where that can be told."""
    wanted = [line - 1 - first for line in lines[bisect_left(lines, first + 1) : bisect_right(lines, last)]]
    inside = rows[first:last], plain[first:last], wanted
    kept[first:last] = untouched(*inside) or slice_of(*inside) or kept[first:last]


def _cut(rows: list[bytes], kept: list[bytes], first: int, last: int, indent: bytes) -> None:
    word = b"class %b: pass" if rows[first].startswith(b"class", len(indent)) else b"def %b(): pass"
    kept[first] = indent + word % _name_of(rows[first], indent)
    kept[first + 1 : last] = [b""] * (last - first - 1)


def _name_of(head: bytes, indent: bytes) -> bytes:
    match = _HEAD.match(head, len(indent))
    assert match is not None
    return match[1]


def whole_function(parsed: Parsed, line: int) -> Function | None:
    """The function whose head is in that line, from the file's bytes; None where it cannot be told where it ends."""
    rows = parsed.data.split(b"\n")
    head = rows[line - 1]
    indent = len(head) - len(head.lstrip())
    before = [b""] * (line - 1)
    if indent:
        before[-1] = b"if 0:"
    ends = (at for at in range(line, len(rows)) if _is_further_out(rows[at], indent))
    for end in (*islice(ends, _MOST_ENDS), len(rows)):
        try:
            tree = parse(parsed.path, b"\n".join((*before, *rows[line - 1 : end]))).tree
        except Unparsable:  # that was inside of a string
            continue
        return next((n for n in ast.walk(tree) if isinstance(n, Function) and n.lineno == line), None)
    return None


def _is_further_out(row: bytes, indent: int) -> bool:
    text = row.lstrip()
    return bool(text) and len(row) - len(text) <= indent and not text.startswith((*_GOES_ON, b"#"))
