"""The part of a file that is asked about, in its place: parsing is nearly all that a look at a file costs.

Theory of operation. Functions and classes begin with a line of their own, and end before the next line that is indented
no further. Those that hold no line of interest are cut down to their name, and blank lines take the place of the rest, so
that lines and columns stay what they are. Kept is what stands outside of them, and in a class with such a line of every
method the statements that give something to ``self``. Lines do not tell what is inside a string: where a function begins or seems to end
inside of one, or the excerpt cannot be parsed, the whole file is parsed.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from checks.tree.definitions import Function
from checks.tree.parse import Parsed, Unparsable, parse
from checks.tree.slices import PartOf, giving, is_self_apart, slice_of, statements_at
from checks.tree.stripped import GOING_ON, without_strings

_GOES_ON = (b")", b"]", b"}", b"''")
_METHOD = re.compile(rb"\n([ \t]+)(?:async +def|def) ")
#: how many lines that look like the end of a function are tried
_MOST_ENDS = 4
#: of a smaller file the whole is parsed as fast
_LEAST_BYTES = 2000


class _Block(NamedTuple):
    """A function or class: the rows from ``first`` to before ``last``, from 0; the text from ``start`` to before ``end``."""

    first: int
    last: int
    start: int
    end: int
    is_class: bool
    name: bytes


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
    if b"\r" in data or b"\f" in data:
        return None
    text = b"\n" + without_strings(data)  # so that every row stands behind a line end
    text = text.replace(b"\\\n", GOING_ON)
    # Names that are not ASCII may be spelt in several ways; and the field of a string may bind one.
    if not text.isascii() or data.count(b":=") != text.count(b":="):
        return None
    if is_self_apart(text):
        return None
    rows = data.split(b"\n")
    if len(rows) != text.count(b"\n"):
        return None
    kept = rows[:]
    for block in _blocks(text, (0, len(text)), 0, b""):
        is_asked = bool(_of(lines, block))
        if block.is_class and with_classes and not is_asked:
            continue
        left_out.add(block.name.decode(errors="replace"))
        if not is_asked:
            _cut(kept, block, b"")
        elif block.is_class:
            _class(rows, text, kept, block, lines)
        else:
            _keep(rows, text, kept, block, _of(lines, block), slice_of)
    return b"\n".join(kept)


def _class(rows: list[bytes], text: bytes, kept: list[bytes], around: _Block, lines: Sequence[int]) -> None:
    """Keep of a class those methods that hold a line of interest, and of others what gives something to the object."""
    first = _METHOD.search(text, around.start + 1, around.end)
    if first is None:
        return
    given = list(_giving(text, around))
    for block in _blocks(text, (around.start + 1, around.end), around.first + 1, first[1]):
        near, gives_at = _of(lines, block), _of(given, block)
        if near and not block.is_class:
            # Other methods see what it gives the object behind the last of them.
            wanted = [*near, *(line for line in gives_at if line > near[-1])]
            _keep(rows, text, kept, block, wanted, slice_of)
        elif not near and gives_at:
            _keep(rows, text, kept, block, gives_at, statements_at)
        elif not near:
            _cut(kept, block, first[1])


def _giving(text: bytes, around: _Block) -> Iterator[int]:
    """The lines, from 1, of a class that give something to the object, in order."""
    row, at = around.first + 1, around.start + 1
    for start in sorted(giving(text, at, around.end)):
        row, at = row + text.count(b"\n", at, start + 1), start + 1
        yield row


def _of(lines: Sequence[int], block: _Block) -> Sequence[int]:
    """Those of the lines, from 1, that are among its rows."""
    return lines[bisect_left(lines, block.first + 1) : bisect_right(lines, block.last)]


def _blocks(text: bytes, span: tuple[int, int], row: int, indent: bytes) -> Iterator[_Block]:
    """Functions and classes that are indented so.

    Args:
        span: of the text; it begins with a line end, behind which the row ``row`` stands.
    """
    (at, end), head = span, None
    for match in _beginning(indent).finditer(text, at, end):
        kind, name = match.groups()
        if head is None and kind is None:
            continue
        row, at = row + text.count(b"\n", at, match.start()), match.start()
        if head is not None:
            yield _Block(head[0], row, head[1], at, *head[2:])
        head = (row, at, kind == b"class", name) if kind is not None else None
    if head is not None:
        yield _Block(head[0], row + text.count(b"\n", at, end), head[1], end, *head[2:])


@lru_cache
def _beginning(indent: bytes) -> re.Pattern[bytes]:
    """Rows that are indented so or less, but for those that go on with what is above them."""
    begins = rb"[^\s)\]}']"
    less = rb"|[ \t]{0,%d}+%b" % (len(indent) - 1, begins) if indent else b""
    return re.compile(rb"\n(?:%b(?:(async +def|def|class) +(\w+)|%b)%b)" % (indent, begins, less))


def _keep(
    rows: list[bytes], text: bytes, kept: list[bytes], block: _Block, lines: Sequence[int], part_of: PartOf
) -> None:
    """Keep of a function its part for these lines, where it can be told."""
    first, last = block.first, block.last
    made = part_of(rows[first:last], text[block.start + 1 : block.end], [line - 1 - first for line in lines])
    kept[first:last] = made or kept[first:last]


def _cut(kept: list[bytes], block: _Block, indent: bytes) -> None:
    word = b"class %b: pass" if block.is_class else b"def %b(): pass"
    kept[block.first] = indent + word % block.name
    kept[block.first + 1 : block.last] = [b""] * (block.last - block.first - 1)


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
