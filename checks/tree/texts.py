"""Functions of a file by its text alone: where each is, and what its body has whatever its variables are called.

A parser takes many times as long. Lines tell where a function ends: before the next one that is indented no further and
stands in no bracket. Of strings only letters and digits are kept, however they are quoted, split or escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from checks.tree.body import Function, functions
from checks.tree.parse import Unparsable, parse
from checks.tree.stripped import HASH, KEYWORDS, TEXT, blanking, opening

_QUOTE = ord("'")
_HEAD = re.compile(rb"(def|class)[ \t]+(\w+)")
_INDENT = re.compile(rb"([ \t\f]*)(?:async[ \t]+)?")
_IN_BRACKETS = rb"[^()]*+"
for _ in range(5):
    _IN_BRACKETS = rb"[^()]*+(?:\(%b\)[^()]*+)*+" % _IN_BRACKETS
#: from behind the name of a function to its body
_PARAMETERS = re.compile(rb"[^()]*+\(%b\)[^:]*+:" % _IN_BRACKETS)
#: of functions inside: what decorates them, and their heads
_DECORATOR = re.compile(rb"\n[ \t]*@[\w. \t]+(?:\(%b\))?" % _IN_BRACKETS)
_INNER_HEAD = re.compile(rb"def[ \t]+\w+" + _PARAMETERS.pattern)
_DOCSTRING = re.compile(rb"\s*(?:[rRuU] )?(?:\(?'\w*\n*\)? )+[ \t]*(?=[\n;]|\Z)")
_ESCAPE = re.compile(rb"\\+(?:x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|N\{[^}]*\}|[0-7]{1,3}|.|\n)")
_FIELD = re.compile(rb"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")
_F = tuple(b"".join((a, b)) for a in (b"f", b"F") for b in (b"", b"r", b"R"))
_FIELDS = re.compile(rb"[fF][rR]? \(?'")
_NO_LETTERS = bytes(each for each in range(256) if not (each < 128 and chr(each).isalnum()))
#: a word has a quote in front where it is a string's
_WORDS = blanking(b"'")
_CALLED = re.compile(rb"\.\s*(\w+)[ \t)]*\(")
#: all but signs that neither layout nor annotations add or take away
_NO_SIGNS = bytes(each for each in range(256) if each not in b"-+*/%&^~<>=!{")
#: what stands for no syntax node: parts of words, and signs that close what another one opened or stand between two
_NO_NODES = bytes(each for each in range(128) if chr(each).isalnum() or each in b"_.:)]}' \t\f\r\n")
_COUNTED = KEYWORDS - {b"None", b"True", b"False", b"async", b"def", b"class"}
#: lines in brackets that are indented no further than the function
_MOST_ENDS = 100


class FunctionText(NamedTuple):
    """One function. Args: name: its dotted path inside the module. first, last: its lines, from 1. body: as plain text."""

    name: str
    first: int
    last: int
    body: bytes

    @property
    def words(self) -> list[bytes]:
        return self.body.translate(_WORDS).split()

    def key(self, words: list[bytes]) -> bytes:
        """The same for bodies of one normal form: keywords, strings, called methods and signs, each in order.

        Local names are no part of it, nor is layout; nor what an annotation has, apart from strings and calls.
        """
        kept = b" ".join([word for word in words if word in _COUNTED or word[0] == _QUOTE])
        kept = kept.replace(b" '", b"'").replace(b"'", b"").replace(b"elif", b"else if")
        return b"%b;%b;%b" % (
            kept,
            b" ".join(_CALLED.findall(self.body)),
            self.body.translate(None, _NO_SIGNS),
        )

    def is_smaller(self, nodes: int, words: list[bytes]) -> bool:
        """Whether the body surely has fewer syntax nodes: a word or a sign stands for two at most, a field for any number."""
        if 2 * len(words) >= nodes or b"def" in words:
            return False
        signs = len(self.body.translate(None, _NO_NODES))
        return 2 * (len(words) + signs) < nodes and not _FIELDS.search(self.body)


class Block(NamedTuple):
    """A function or class. Args: name, first, last: as those of ``FunctionText``. start, end: of what is behind its name."""

    name: str
    first: int
    last: int
    is_class: bool
    start: int
    end: int


def function_texts(data: bytes) -> Iterator[FunctionText]:
    """In order, also those that are in others. Lines must end with LF."""
    plain = _plain(data)
    for block in _blocks(plain):
        if not block.is_class:
            yield FunctionText(block.name, block.first, block.last, _body(plain, block.start, block.end))


def blocks(data: bytes) -> Iterator[Block]:
    """Functions and classes in order, also those that are in others. Lines must end with LF."""
    return _blocks(_plain(data))


def _blocks(plain: bytes) -> Iterator[Block]:
    around: list[tuple[int, str]] = []
    at, line = 0, 1
    for head in _HEAD.finditer(plain):
        start = plain.rfind(b"\n", 0, head.start()) + 1
        indent = _INDENT.fullmatch(plain, start, head.start())
        if indent is None:
            continue
        line += plain.count(b"\n", at, start)
        at = start
        while around and around[-1][0] <= start:
            around.pop()
        name = head[2].decode()
        name = f"{around[-1][1]}.{name}" if around else name
        end = _end(plain, start, head.end(), len(indent[1]))
        around.append((end, name))
        yield Block(name, line, line + plain.count(b"\n", start, end), head[1] == b"class", head.end(), end)


def _plain(data: bytes) -> bytes:
    """Without comments, and of strings what letters they have; brackets hold the lines of one together."""
    pieces = TEXT.split(data)  # every second one is a string or a comment
    pieces[1::2] = [
        b"" if text[0] == HASH else _letters(before, text)
        for before, text in zip(pieces[::2], pieces[1::2], strict=False)
    ]
    return b"".join(pieces)


def _letters(before: bytes, text: bytes) -> bytes:
    """Args: before: what stands in front of it, perhaps with a prefix at its end."""
    lines = text.count(b"\n")
    gap = b" " if before[-1:].isalpha() else b""
    if gap and before.endswith(_F):
        text = _FIELD.sub(b"", text)
    if b"\\" in text:
        text = _ESCAPE.sub(b"", text)
    text = text.translate(None, _NO_LETTERS)
    return b"%b('%b%b) " % (gap, text, b"\n" * lines) if lines else b"%b'%b " % (gap, text)


def _end(plain: bytes, start: int, at: int, indent: int) -> int:
    """The end of the function; of one whose brackets never match up, where it ends by its lines alone."""
    first = depth = 0
    for found in islice(_outdented(indent).finditer(plain, at), _MOST_ENDS):
        depth += opening(plain[start : found.start()])
        start = found.start()
        if depth <= 0:
            return start
        first = first or start
    is_to_the_end = not first or depth + opening(plain[start:]) <= 0
    return len(plain) if is_to_the_end else first


@lru_cache
def _outdented(indent: int) -> re.Pattern[bytes]:
    return re.compile(rb"\n(?<!\\\n)(?=[ \t\f]{0,%d}[^\s)\]}])" % indent)


def _body(plain: bytes, at: int, end: int) -> bytes:
    """What counts of a function behind its name: neither docstring nor annotations of parameters."""
    parameters = _PARAMETERS.match(plain, at, end)
    at = parameters.end() if parameters else at
    docstring = _DOCSTRING.match(plain, at, end)
    body = plain[docstring.end() if docstring else at : end]
    return _INNER_HEAD.sub(b"def", _DECORATOR.sub(b"", body)) if b"def " in body else body


def parsed_function(rows: Sequence[bytes], name: str, first: int, last: int) -> Function:
    """The tree of one function of these rows, of its own where they can be parsed alone. Raises Unparsable."""
    head = b"if 0:\n" if rows[first - 1][:1].isspace() else b""
    with suppress(Unparsable):
        found = next(functions(parse("", head + b"\n".join(rows[first - 1 : last])).tree), None)
        if found and found[0] == name.rpartition(".")[2]:
            return found[1]
    for _, node in functions(parse("", b"\n".join(rows)).tree):
        if node.lineno == first:
            return node
    raise Unparsable("functions are not where their lines are", first)
