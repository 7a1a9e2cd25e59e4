"""Of a function, the statements that decide what is known at its lines of interest; blank lines for the others.

Theory of operation. What a name is at a line is decided by the statements before it that bind the name, change what it
holds, or ask what it is. So the statements of a function are taken from the last line of interest upwards, with the words
that are needed so far: one that decides about such a word is kept whole, with the branches and functions in it, and its own
words are needed, too. Of all others, only the lines of interest are. A name in front of a dot or of its arguments is read
there: most statements are told by that alone. This looks at text, since a parser is what it saves: too much is harmless,
too little would be a finding missed.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from checks.tree.handing import changes, changes_in_a_line
from checks.tree.stripped import KEYWORDS, blanking, opening

_WORDS = blanking()
#: leaves names with what is joined to them, which is read there: ``model.name``, ``len(``
_JOINED = blanking(b".(")
#: from behind the head of a function to what its first statement is indented by
_BODY = re.compile(rb"\s*\n([ \t]*)(?=\S)")
_FIRST = re.compile(rb"[ \t]*(?:async\s+)?(@|[^\W\d]\w*)?")
_ASKING_WORDS = (b"isinstance", b"hasattr", b"issubclass", b"callable")
_ASKING = re.compile(
    rb"\b(?:%b)\b|\bis[\s{}]+(?:not[\s{}]+)?None\b|\s*(?:el)?if[\s{}]+(?:not[\s{}]+)?\w+[\s{}]*:\Z"
    % b"|".join(_ASKING_WORDS)
)
_AS = re.compile(rb"\bas\b([^:]*)")
_ASSIGNED = re.compile(rb"=(?<![=!<>:]=)(?!=)|=(?<=>>=)|=(?<=<<=)")
#: where a name may be bound, or annotated, or a statement stands behind another one
_BOUND = re.compile(rb"[=;]|:(?<=[\w)\]]:)[ \t]*+[^\s]")
_ANNOTATED = re.compile(rb"[^:=({]+:(?!=)")
#: methods that change what they are called on
_CHANGING = rb"(?:update|append|setdefault|insert|extend|add|pop|clear)"
_ADDED = re.compile(rb"\.[\s{}]*%b[\s{}]*\(" % _CHANGING)
_CHANGED = re.compile(rb"\.[\s{}]*%b\b" % _CHANGING)
_CHANGED_NAME = re.compile(rb"([^\W\d]\w*)[\s{}]*\.[\s{}]*%b\b" % _CHANGING)
_AMONG = rb"[ \t(*[]*+(?:\w[\w ]*+,(?:[ \t(*]|{\n})*+)*+self\.\w++[ \t]*+(?:[],:[)]|{\n}|[|+]?=(?!=))"
#: what gives something to the object: alone, or as one of several
_GIVING = (
    re.compile(rb"self\.\w++[ \t)]*+(?:\[[^]]{0,80}+\][ \t]*+)?(?:{\n}[ \t]*+)*+\|?=(?!=)"),
    # each is found by its first sign, so not as one
    *(re.compile(begins + _AMONG) for begins in (rb"\n}?", rb";")),
)
#: the same, or what may change what the object holds
_GIVING_TOO = (
    *_GIVING,
    re.compile(rb"self\.\w++\.%b\b" % _CHANGING),
    re.compile(rb"for\b(?<!\wfor)(?:(?! in )(?:{\n}|.))*\bself\."),
    re.compile(rb"as\b(?<!\was)(?:{\n}|.)*\bself\."),
)
#: it is spelt in a way that none of these shows
_APART = re.compile(rb"self(?:[ \t{][ \t\n{}]*+\.|\.[ \t{])")
#: the object itself, which may then be something else
_BARE_SELF = re.compile(rb"self(?<!\wself)\b(?!\.)")
#: names of attributes, of arguments and of what is bound there: nothing that is read
_UNREAD = re.compile(rb"\.\w+|\w+[ \t]*=(?![=}!:])(?! *})")
#: ``with suppress(TypeError):`` is a ``try``, too
_SUPPRESSING = re.compile(rb"with\b.*\bsuppress\b", re.DOTALL)
_WITH_FIELDS = re.compile(rb"""[fF][rR]?["']""")
_OWN_CALL = re.compile(rb"\bself\.\w+[\s{}]*\(")
#: ``count += 1``: what is a number stays one, and all else stays what it is
_COUNTING = re.compile(
    rb"\s*\w+\s*[-+*/]=\s*(?:%b)(?:\s*[-+*/%%]\s*(?:%b))*\s*"
    % ((rb"\d[\w.]*(?<![jJ])|(?:int|float|len)\((?:[^():]|\([^():]*\))*\)",) * 2)
)
_CALLED = re.compile(rb"\s*([\w.]+)\(")
#: what is in a call that is refused where it stands, so that a ``try`` around it can have another way
_RAISING = (b"dump", b"send", b"json", b"emit")

_AT = ord("@")
_BRANCHES = frozenset((b"elif", b"else", b"except", b"finally"))
#: statements that hold others
_COMPOUND = _BRANCHES | {b"if", b"for", b"while", b"with", b"try", b"match"}
_SCOPES = frozenset((b"def", b"class", b"@"))
#: all of their words are bound, or may be
_BINDING = _SCOPES | {b"match", b"case", b"import", b"from", b"del", b"global", b"nonlocal"}
#: behind these a name may be bound that something is joined to
_NAMING = frozenset((b"def", b"class", b"import"))
#: words of statements that bind a name or ask what it is, where no sign does
_TELLING = (
    _BINDING
    | {b"as", b"for", b"if", b"elif"}
    | {each + joined for each in _ASKING_WORDS for joined in (b"", b"(")}
)
_TESTING = frozenset((b"if", b"elif", b"while"))
_LEAVES = re.compile(rb"(?:return|raise|continue|break)\b")
#: what begins a statement that holds others, or whose words are all bound
_HOLDS = re.compile(rb"(?:@|(?:async|def|class|if|for|while|with|try|match)\b)")


class Statement(NamedTuple):
    """One statement, or the head of one that holds others. Args: first, last: its rows. text: without strings."""

    first: int
    last: int
    word: bytes
    text: bytes


#: a statement of the function itself with all that is in it, and branches that belong to it: its rows, and its text
Unit = tuple[int, int, bytes]
Span = tuple[int, int]
#: of the rows of a function, and their text without strings, those that are needed for some of them
PartOf = Callable[[Sequence[bytes], bytes, Sequence[int]], list[bytes] | None]


def giving(text: bytes, start: int, end: int) -> set[int]:
    """Where something is given to the object: offsets in text without strings, before ``end``."""
    return {match.start() for pattern in _GIVING for match in pattern.finditer(text, start, end)}


def is_self_apart(text: bytes) -> bool:
    """Whether a dot and ``self`` stand apart: what is given to the object there cannot be told from lines."""
    return _APART.search(text) is not None


def slice_of(rows: Sequence[bytes], text: bytes, wanted: Sequence[int]) -> list[bytes] | None:
    """Of a function, as many rows, with those that are needed for the rows ``wanted``; None where it cannot be told.

    Args:
        text: the same rows without strings.
        wanted: in order.
    """
    start, indent, units = _parts(text, wanted[-1])
    spans = _Function(rows, text[start:], units, wanted, indent).needed() if units else []
    if not spans:
        return None
    made = _with_head(rows, text, start, spans)
    for first, _ in spans:
        if rows[first][indent : indent + 1] in (b" ", b"\t"):  # it stands further in
            made[first - 1] = rows[units[0][0]][:indent] + b"if 0:"
    return made


def statements_at(rows: Sequence[bytes], text: bytes, wanted: Sequence[int]) -> list[bytes] | None:
    """The same, with those statements alone that hold one of the rows."""
    start, _, units = _parts(text, wanted[-1])
    spans = [(first, last) for first, last, _ in units if _is_any_within(wanted, first, last)]
    return _with_head(rows, text, start, spans) if spans else None


def _parts(text: bytes, end: int) -> tuple[int, int, list[Unit]]:
    """Of a function, where its head ends, how far its body is indented, and what that has down to the row ``end``."""
    start = _behind_head(text)
    body = _BODY.match(text, start) if start else None
    return (start, len(body[1]), _units(text, body, end)) if body else (0, 0, [])


def _with_head(rows: Sequence[bytes], text: bytes, start: int, spans: Iterable[Span]) -> list[bytes]:
    """As many rows, with those of the head, which ends at ``start``, and of the spans."""
    made = [b""] * len(rows)
    head = text.count(b"\n", 0, start) + 1
    made[:head] = rows[:head]
    for first, last in spans:
        made[first : last + 1] = rows[first : last + 1]
    return made


def _is_any_within(wanted: Sequence[int], first: int, last: int) -> bool:
    at = bisect_left(wanted, first)
    return at < len(wanted) and wanted[at] <= last


def _behind_head(text: bytes) -> int:
    """Where the row ends in which the head of a function does; 0 where more stands behind it, or brackets do not match up."""
    at = depth = 0
    while (end := text.find(b"\n", at)) >= 0:
        depth += opening(text[at:end])
        if depth <= 0:
            return end if text[at:end].rstrip().endswith(b":") else 0
        at = end + 1
    return 0


def _units(text: bytes, body: re.Match[bytes], end: int) -> list[Unit]:
    """Down to the one that holds the row ``end``; nothing where brackets do not match up."""
    found: list[Unit] = []
    indent, start = len(body[1]), body.start(1)
    first = row = text.count(b"\n", 0, start)
    held = b""
    for piece in _beginning(body[1]).split(text[start:]):
        if not held:
            if row > end:
                return found
            first = row
        held = b"%b\n%b" % (held, piece) if held else piece
        row += piece.count(b"\n") + 1
        if opening(held) <= 0 and piece[indent] != _AT:
            found.append((first, row - 1, held))
            held = b""
    return [] if held else found


@lru_cache
def _beginning(indent: bytes) -> re.Pattern[bytes]:
    """Rows that are indented so, but for those that go on with what is above them."""
    return re.compile(rb"\n(?=%b(?!(?:elif|else|except|finally)\b)[^\s)\]}])" % indent)


class _Function:
    """The statements of one function, and which of its rows are wanted.

    What the object is given is needed in any case: it tells what it holds, in other functions as well.
    """

    def __init__(
        self, rows: Sequence[bytes], text: bytes, units: list[Unit], wanted: Sequence[int], indent: int
    ) -> None:
        self._rows, self._units, self._wanted, self._indent = rows, units, wanted, indent
        self._sets_own = b"self." in text and _may_give(text)
        self._changes = _CHANGED.search(text) is not None
        self._known = KEYWORDS if _BARE_SELF.search(text) else KEYWORDS | {b"self"}
        self._words: set[bytes] = set()

    def needed(self) -> list[Span]:
        """The rows to keep, in order."""
        spans: list[Span] = []
        for unit in reversed(self._units):
            first, last, text = unit
            asked: list[Statement] = []
            if _is_any_within(self._wanted, first, last):
                asked = [
                    each for each in _statements(unit) if _is_any_within(self._wanted, each.first, each.last)
                ]
                for each in asked:
                    self._words |= self._read_in(each.first, each.last, each.text)
            if self._decides(unit):
                self._words |= self._read_in(*unit)
                spans.append((first, last))
            elif asked:
                spans += self._wanted_of(unit, asked)[::-1]
            elif _LEAVES.match(text, self._indent):
                spans.append((first, last))
        return spans[::-1]

    def _wanted_of(self, unit: Unit, asked: list[Statement]) -> list[Span]:
        """Of a statement that decides nothing: what is wanted in it, or all of it where that is no log line in a branch."""
        whole = unit[:2]
        if not _HOLDS.match(unit[2], self._indent):
            return [whole]
        inside = _statements(unit)
        is_held = not _SCOPES.isdisjoint(each.word for each in inside)
        is_tried = any(each.word == b"try" or _SUPPRESSING.search(each.text) for each in inside)
        spans: list[Span] = []
        for each in asked:
            is_plain = each.word not in _COMPOUND and not (is_tried and not self._is_log_line(each))
            if is_held or not is_plain or (spans and spans[-1][1] >= each.first - 1):
                return [whole]
            spans.append((each.first, each.last))
        return spans

    def _read_in(self, first: int, last: int, text: bytes) -> frozenset[bytes]:
        """The names in these rows; what is in the fields of a string is read, too."""
        source = b"\n".join(self._rows[first : last + 1])
        text = _UNREAD.sub(b"", source if _WITH_FIELDS.search(source) else text)
        return frozenset(text.translate(_WORDS).split()) - self._known

    def _is_log_line(self, statement: Statement) -> bool:
        called = _CALLED.match(statement.text)
        owner = called[1].lower().rpartition(b".")[0].rpartition(b".")[2] if called else b""
        source = b"\n".join(self._rows[statement.first : statement.last + 1])
        return b"log" in owner and not any(word in source for word in _RAISING)

    def _decides(self, unit: Unit) -> bool:
        """Whether a statement may bind one of the words, change what it holds, or ask what it is."""
        text = unit[2]
        # A method of its own may set anew what the object was given.
        if self._sets_own and b"self." in text and (_OWN_CALL.search(text) or _may_give(b"\n" + text)):
            return True
        words = text.replace(b"(", b"( ").translate(_JOINED).split()
        if self._words.isdisjoint(words) and _NAMING.isdisjoint(words):
            if not self._changes or self._words.isdisjoint(_CHANGED_NAME.findall(text)):
                return False
        elif not self._changes and _TELLING.isdisjoint(words) and not _may_bind(text):
            return False
        return any(self._decides_alone(each) for each in _statements(unit))

    def _decides_alone(self, statement: Statement) -> bool:
        is_said = not self._words.isdisjoint(_deciding(statement).translate(_WORDS).split())
        return is_said and not _COUNTING.fullmatch(statement.text)


def _statements(unit: Unit) -> list[Statement]:
    """The statement, and those that it holds."""
    first, last, text = unit
    if b"\n" not in text:
        return [Statement(first, last, _first_word(text), text)]
    found: list[Statement] = []
    held, depth = b"", 0
    for number, row in enumerate(text.split(b"\n"), first):
        if not held:
            if not row or row.isspace():
                continue
            first = number
        held = b"%b\n%b" % (held, row) if held else row
        depth += opening(row)
        if depth <= 0:
            found.append(Statement(first, number, _first_word(held), held.rstrip()))
            held, depth = b"", 0
    return found


def _first_word(text: bytes) -> bytes:
    match = _FIRST.match(text)
    return match[1] or b"" if match else b""


def _may_bind(text: bytes) -> bool:
    """Whether something may be bound there, or handed to what may change it."""
    return _BOUND.search(text) is not None or changes_in_a_line(text)


def _may_give(text: bytes) -> bool:
    return any(pattern.search(text) for pattern in _GIVING_TOO)


def _deciding(statement: Statement) -> bytes:
    """The part of a statement whose words it decides about."""
    text, word = statement.text, statement.word
    if b":=" in text or b";" in text or word in _BINDING:
        return text
    if word not in _COMPOUND:
        if changes(text):
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
