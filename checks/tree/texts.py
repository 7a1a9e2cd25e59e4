"""Functions of a file by its text alone: where each is, and what its body has whatever its variables are called.

A parser takes many times as long. Lines tell where a function ends: the next one that is indented no further and stands in
no bracket. What a string holds is no part of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from checks.tree.body import Function, functions
from checks.tree.parse import Unparsable, parse
from checks.tree.slices import KEYWORDS, WITH_FIELDS, opening, without_strings

_HEAD = re.compile(rb"\n([ \t\f]*)(?:async[ \t]+)?(def|class)[ \t]+(\w+)")
_IN_BRACKETS = rb"[^()]*+"
for _ in range(5):
    _IN_BRACKETS = rb"[^()]*+(?:\(%b\)[^()]*+)*+" % _IN_BRACKETS
#: from behind the name to the body
_PARAMETERS = re.compile(rb"[^()]*+\(%b\)[^:]*+:" % _IN_BRACKETS)
_WORD = re.compile(rb"\w+")
_CALLED = re.compile(rb"\.\s*(\w+)[ \t)]*\(")
#: signs that neither layout nor an annotation adds or takes away
_NO_SIGNS = bytes(each for each in range(256) if each not in b"-+*/%&^~<>=!{")
#: of what may stand for a syntax node; the others close what another one opened, or part two of them
_NO_NODES = bytes(each for each in range(128) if chr(each).isalnum() or each in b"_.:)]} \t\f\r\n")
#: lines in brackets that are indented no further than the function
_MOST_ENDS = 100
_COUNTED = KEYWORDS - {b"None", b"True", b"False", b"async", b"def", b"class"}


class FunctionText(NamedTuple):
    """One function. Args: name: its dotted path inside the module. first, last: its lines, from 1. body: without strings."""

    name: str
    first: int
    last: int
    body: bytes

    @property
    def plain_name(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def words(self) -> list[bytes]:
        return _WORD.findall(self.body)

    def key(self, words: list[bytes]) -> bytes:
        """The same for bodies of one normal form: keywords, called methods and signs in order.

        Local names are no part of it, nor are texts, layout or annotations; calls in these are, and in inner decorators.
        """
        kept = b" ".join([word for word in words if word in _COUNTED]).replace(b"elif", b"else if")
        signs = self.body.replace(b"->", b"").translate(None, _NO_SIGNS)
        return b"%b;%b;%b" % (kept, b" ".join(_CALLED.findall(self.body)), signs)

    def is_smaller(self, nodes: int, words: list[bytes]) -> bool:
        """Whether the body surely has fewer syntax nodes: a word or a sign stands for two at most, a field for any number."""
        if 2 * len(words) >= nodes:
            return False
        signs = len(self.body.translate(None, _NO_NODES))
        return 2 * (len(words) + signs) < nodes and not WITH_FIELDS.search(self.body)


def function_texts(data: bytes) -> Iterator[FunctionText]:
    """In order; functions that are in others, too. Of a file with lines that end with CR, those ends must be replaced."""
    plain = b"\n" + without_strings(data)
    around: list[tuple[int, str]] = []
    at = line = 0
    for head in _HEAD.finditer(plain):
        start = head.start() + 1
        line += plain.count(b"\n", at, start)
        at = start
        while around and around[-1][0] <= start:
            around.pop()
        name = head[3].decode()
        name = f"{around[-1][1]}.{name}" if around else name
        end = _end(plain, start, head.end(), len(head[1]))
        around.append((end, name))
        if head[2] == b"def":
            parameters = _PARAMETERS.match(plain, head.end(), end)
            body = plain[parameters.end() if parameters else head.end() : end]
            yield FunctionText(name, line, line + plain.count(b"\n", start, end), body)


def _end(plain: bytes, start: int, at: int, indent: int) -> int:
    """The end of the function; of one whose brackets never match up, where it ends by its lines alone."""
    first = depth = 0
    for found in islice(_outdented(indent).finditer(plain, at), _MOST_ENDS):
        depth += opening(plain[start : found.start()])
        start = found.start()
        if depth <= 0:
            return start
        first = first or start
    return first or len(plain)


@lru_cache
def _outdented(indent: int) -> re.Pattern[bytes]:
    return re.compile(rb"\n(?<!\\\n)(?=[ \t\f]{0,%d}[^\s)\]}])" % indent)


def parsed_function(data: bytes, rows: list[bytes], text: FunctionText) -> Function:
    """The tree of one function, of its own rows where these can be parsed alone. Raises Unparsable."""
    head = b"if 0:\n" if rows[text.first - 1][:1].isspace() else b""
    with suppress(Unparsable):
        found = next(functions(parse("", head + b"\n".join(rows[text.first - 1 : text.last])).tree), None)
        if found and found[0] == text.plain_name:
            return found[1]
    for _, node in functions(parse("", data).tree):
        if node.lineno == text.first:
            return node
    raise Unparsable("functions are not where their lines are", text.first)
