"""Of a function, the statements that decide what is known at its lines of interest; blank lines for the others.

Theory of operation. What a name is at a line is decided by the statements before it that bind the name, change what it
holds, or ask what it is. So the statements of a function are taken from the last line of interest upwards, with the words
that are needed so far: one that decides about such a word is kept whole, with the branches and functions in it, and its own
words are needed, too. Of all others, only the lines of interest are. This looks at text, since a parser is what it saves:
too much is harmless, too little would be a finding missed.
"""

from __future__ import annotations

import keyword
import re
import string
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

#: a comment, or a string, with three quotes or one; without alternatives for single characters, which are slow
TEXT = re.compile(
    rb"""(#[^\n]*"""
    rb"""|\"\"\"[^"\\]*(?:(?:\\.|"{1,2}(?!"))[^"\\]*)*\"\"\"|'''[^'\\]*(?:(?:\\.|'{1,2}(?!'))[^'\\]*)*'''"""
    rb"""|"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\\\n]*(?:\\.[^'\\\n]*)*')""",
    re.DOTALL,
)
WORD_BYTES = f"_{string.ascii_letters}{string.digits}".encode()
#: makes blanks of all else
_WORDS = bytes(each if each in WORD_BYTES else 32 for each in range(256))
HASH = ord("#")
_NO_BRACKETS = bytes(each for each in range(256) if each not in b"()[]{}")
_NO_BRACKETS_IN_ROWS = _NO_BRACKETS.replace(b"\n", b"")
_FIRST = re.compile(rb"([ \t]*)(?:async\s+)?(@|[^\W\d]\w*)?")
_ASKING = re.compile(
    rb"\b(?:isinstance|hasattr|issubclass|callable)\b|\bis\s+(?:not\s+)?None\b|\s*(?:el)?if\s+(?:not\s+)?\w+\s*:\Z"
)
_AS = re.compile(rb"\bas\s+([^:]*)")
_ASSIGNED = re.compile(rb"=(?<![=!<>:]=)(?!=)|=(?<=>>=)|=(?<=<<=)")
_ANNOTATED = re.compile(rb"[^:=({]+:(?!=)")
#: methods that change what they are called on
CHANGING = rb"(?:update|append|setdefault|insert|extend|add|pop|clear)"
_ADDED = re.compile(rb"\.%b\s*\(" % CHANGING)
#: ``with suppress(TypeError):`` is a ``try``, too
_SUPPRESSING = re.compile(rb"with\b.*\bsuppress\b", re.DOTALL)
WITH_FIELDS = re.compile(rb"""[fF][rR]?["']""")
_OWN_CALL = re.compile(rb"\bself\.\w+\s*\(")
#: ``count += 1``: what is a number stays one, and all else stays what it is
_COUNTING = re.compile(
    rb"\s*\w+\s*[-+*/]=\s*(?:%b)(?:\s*[-+*/%%]\s*(?:%b))*\s*"
    % ((rb"\d[\w.]*(?<![jJ])|(?:int|float|len)\((?:[^():]|\([^():]*\))*\)",) * 2)
)
_CALLED = re.compile(rb"\s*([\w.]+)\(")
#: ``make_plain(row)`` alone: it may change what it is given
_HANDING = re.compile(rb"\s*(?:await\s+)?(?:[\w.()]+\.)?(\w+)\s*\(")
#: words in the names of calls that look at what they are given, keep it or send it, and do not change it
_LEAVING_ALONE = frozenset(
    {"add", "append", "assert", "assertequal", "broadcast", "call", "callback", "check", "critical", "debug", "delete", "dump",
     "dumps", "emit", "error", "exception", "execute", "extend", "info", "insert", "isinstance", "json", "len", "log", "message",
     "notify", "observe", "patch", "post", "pprint", "print", "publish", "push", "put", "record", "register", "request",
     "respond", "save", "send", "set", "setattr", "store", "trace", "update", "validate", "verify", "warn", "warning", "write"}
)  # fmt: skip
#: what is in a call that is refused where it stands, so that a ``try`` around it can have another way
_RAISING = (b"dump", b"send", b"json", b"emit")

_BRANCHES = frozenset((b"elif", b"else", b"except", b"finally"))
#: statements that hold others
_COMPOUND = _BRANCHES | {b"if", b"for", b"while", b"with", b"try", b"match"}
_SCOPES = frozenset((b"def", b"class", b"@"))
#: all of their words are bound, or may be
_BINDING = _SCOPES | {b"match", b"case", b"import", b"from", b"del", b"global", b"nonlocal"}
_TESTING = frozenset((b"if", b"elif", b"while"))
_LEAVING = frozenset((b"return", b"raise", b"continue", b"break"))
KEYWORDS = frozenset(word.encode() for word in keyword.kwlist)


class Statement(NamedTuple):
    """One statement, or the head of one that holds others. Args: first, last: its rows. text: without strings."""

    first: int
    last: int
    indent: int
    word: bytes
    text: bytes


#: a statement of the function itself with all that is in it, and branches that belong to it
Unit = list[Statement]
Span = tuple[int, int]


def without_strings(data: bytes, *, keeps_lines: bool = True) -> bytes:
    """The same, with empty strings and no comments.

    Args:
        keeps_lines: brackets stand for a string of several lines, and hold them together.
    """
    pieces = TEXT.split(data)  # every second one is a string or a comment
    if not keeps_lines:
        pieces[1::2] = [b"" if text[0] == HASH else b"''" for text in pieces[1::2]]
        return b"".join(pieces)
    # What ends in two quotes may have three of them, and so several lines.
    pieces[1::2] = [
        _without(text) if text[0] == HASH or text[-1] == text[-2] else b"''" for text in pieces[1::2]
    ]
    return b"".join(pieces)


def _without(text: bytes) -> bytes:
    if text[0] == HASH:
        return b""
    lines = text.count(b"\n")
    return b"(" + b"\n" * lines + b")" if lines else b"''"


def slice_of(rows: Sequence[bytes], plain: Sequence[bytes], wanted: Sequence[int]) -> list[bytes] | None:
    """As many rows, with those that are needed for the rows ``wanted``, which are in order; None where it cannot be told.

    Args:
        plain: the rows without strings.
    """
    found = _statements(plain, wanted[-1])
    if len(found) < 2 or not found[0].text.endswith(b":"):
        return None
    head, body = found[0], found[1:]
    spans = _Function(rows, body, wanted).needed()
    if not spans:
        return None
    made = [b""] * len(rows)
    for first, last in [(head.first, head.last), *spans]:
        made[first : last + 1] = rows[first : last + 1]
        indent = body[0].indent
        if first > head.last and rows[first][indent : indent + 1] in (b" ", b"\t"):  # it stands further in
            made[first - 1] = rows[body[0].first][:indent] + b"if 0:"
    return made


def _statements(plain: Sequence[bytes], end: int) -> list[Statement]:
    """From the head of the function to the end of what holds the row ``end``; nothing where brackets do not match up."""
    found: list[Statement] = []
    first, depth = -1, 0
    for number, (row, brackets) in enumerate(zip(plain, _brackets(plain), strict=True)):
        if first < 0:
            if not row or row.isspace():
                continue
            first = number
        if brackets:
            depth += len(brackets) - 2 * len(brackets.translate(None, b"([{"))
        if depth <= 0:
            text = row.rstrip() if first == number else b"\n".join(plain[first : number + 1]).rstrip()
            match = _FIRST.match(text)
            assert match is not None
            indent, word = match.end(1), match[2] or b""
            if first > end and len(found) > 1 and indent <= found[1].indent and word not in _BRANCHES:
                return found
            found.append(Statement(first, number, indent, word, text))
            first = -1
    return found if first < 0 else []


def _brackets(rows: Sequence[bytes]) -> list[bytes]:
    """Those of each row."""
    return b"\n".join(rows).translate(None, _NO_BRACKETS_IN_ROWS).split(b"\n")


def opening(text: bytes) -> int:
    """How many more brackets are opened than closed."""
    brackets = text.translate(None, _NO_BRACKETS)
    return len(brackets) - 2 * len(brackets.translate(None, b"([{"))


class _Function:
    """The statements of one function, and which of its rows are wanted."""

    def __init__(self, rows: Sequence[bytes], body: list[Statement], wanted: Sequence[int]) -> None:
        self._rows, self._body, self._wanted = rows, body, wanted
        self._sets_own = any(b"self." in each.text and b"self." in _deciding(each) for each in body)

    def needed(self) -> list[Span]:
        """The rows to keep, in order."""
        # What the object is given tells what it holds, in other functions as well.
        words = {b"self"}.union(*(self._words(s) for s in self._body if self._is_wanted(s)))
        spans: list[Span] = []
        for unit in reversed(self._units()):
            if any(self._decides(each, words) for each in unit):
                words.update(*map(self._words, unit))
                spans.append((unit[0].first, unit[-1].last))
            else:
                spans += self._wanted_of(unit)[::-1]
        return spans[::-1]

    def _units(self) -> list[Unit]:
        units: list[Unit] = []
        for statement in self._body:
            is_inside = units and (
                statement.indent > self._body[0].indent
                or statement.word in _BRANCHES
                or units[-1][-1].word == b"@"
            )
            if is_inside:
                units[-1].append(statement)
            else:
                units.append([statement])
        return units

    def _wanted_of(self, unit: Unit) -> list[Span]:
        """Of a statement that decides nothing: what is wanted in it, or all of it where that is no log line in a branch."""
        whole = (unit[0].first, unit[-1].last)
        if len(unit) == 1:
            return [whole] if self._is_wanted(unit[0]) or unit[0].word in _LEAVING else []
        asked = [each for each in unit if self._is_wanted(each)]
        if not asked:
            return []
        is_held = not _SCOPES.isdisjoint(each.word for each in unit)
        is_tried = any(each.word == b"try" or _SUPPRESSING.search(each.text) for each in unit)
        spans: list[Span] = []
        for each in asked:
            is_plain = each.word not in _COMPOUND and not (is_tried and not self._is_log_line(each))
            if is_held or not is_plain or (spans and spans[-1][1] >= each.first - 1):
                return [whole]
            spans.append((each.first, each.last))
        return spans

    def _is_wanted(self, statement: Statement) -> bool:
        at = bisect_left(self._wanted, statement.first)
        return at < len(self._wanted) and self._wanted[at] <= statement.last

    def _source(self, statement: Statement) -> bytes:
        return b"\n".join(self._rows[statement.first : statement.last + 1])

    def _words(self, statement: Statement) -> frozenset[bytes]:
        """What is in the fields of a string is read, too."""
        text, source = statement.text, self._source(statement)
        return _words(source if WITH_FIELDS.search(source) else text) - KEYWORDS

    def _is_log_line(self, statement: Statement) -> bool:
        called = _CALLED.match(statement.text)
        owner = called[1].lower().rpartition(b".")[0].rpartition(b".")[2] if called else b""
        return b"log" in owner and not any(word in self._source(statement) for word in _RAISING)

    def _decides(self, statement: Statement, words: set[bytes]) -> bool:
        """Whether a statement may bind one of the words, change what it holds, or ask what it is."""
        if words.isdisjoint(statement.text.translate(_WORDS).split()):
            return False
        if self._sets_own and _OWN_CALL.search(statement.text):
            return True  # a method of its own may set it anew
        if _COUNTING.fullmatch(statement.text):
            return False
        return not words.isdisjoint(_deciding(statement).translate(_WORDS).split())


def leaves_alone(name: str) -> bool:
    """Whether a call by this name, alone in a line, is none that changes in place what it is given."""
    return not _LEAVING_ALONE.isdisjoint(name.lower().split("_"))


def _words(text: bytes) -> frozenset[bytes]:
    return frozenset(text.translate(_WORDS).split())


def _deciding(statement: Statement) -> bytes:
    """The part of a statement whose words it decides about."""
    text, word = statement.text, statement.word
    if b":=" in text or b";" in text or word in _BINDING:
        return text
    if word not in _COMPOUND:
        handing = _HANDING.match(text)
        if handing and not leaves_alone(handing[1].decode(errors="replace")):
            return text
        added = _ADDED.search(text) if b"." in text else None
        return _bound(text) if added is None else _bound(text) + b" " + text[: added.start()]
    if not text.endswith(b":"):
        return text  # a whole statement in one line
    if word in _TESTING:
        return text if _ASKING.search(text) else b""
    return text.partition(b" in ")[0] if word == b"for" else b" ".join(m[1] for m in _AS.finditer(text))


def _bound(text: bytes) -> bytes:
    """What stands left of the last ``=`` that is in no brackets, or of what only annotates."""
    if b"=" not in text:
        match = _ANNOTATED.match(text) if b":" in text else None
        return match[0] if match else b""
    end = begin = depth = 0
    for found in _ASSIGNED.finditer(text):
        depth += opening(text[begin : found.start()])
        begin = found.start()
        if not depth:
            end = begin
    return text[:end]
