"""The head of a function and its lines of interest, where nothing else in it decides about them: told by a few searches.

Most functions do nothing with what they log but read it. A name that stands in front of a dot or of its arguments is
read there; any other use of it may be what binds it, changes it or asks about it, and ``slices.py`` looks closer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from checks.tree.slices import CHANGING, KEYWORDS, WITH_FIELDS, WORD_BYTES, opening

#: names, not those of attributes
_NAME = re.compile(rb"(?<![\w.])[^\W\d]\w*")
#: leaves names with what is joined to them: ``self.limit``, ``len(``
_JOINED = bytes(each if each in WORD_BYTES + b".(" else 32 for each in range(256))
_CHANGED = re.compile(rb"\.%b\b" % CHANGING)
_CHANGED_NAME = re.compile(rb"(?<![\w.])([^\W\d]\w*)\.%b\b" % CHANGING)
#: what begins a statement that holds others
_HOLDING = re.compile(rb"@|(?:async|if|elif|else|for|while|with|try|except|finally|match|case)\b")
#: names may have another meaning in or behind these
_SCOPES = frozenset((b"def", b"class", b"import"))
#: in a row that may give something to the object
MAY_GIVE = re.compile(rb"self\.\w+[^\S\n]*(?:[,:\[)]|[|+]?=(?!=))")
#: what an object is given: in the beginning of a row, and behind something else in it
_GIVING = re.compile(rb"[ \t(]*(?:\w[\w ]*,[\s(]*)*self\.\w+\s*(?:[,:\[)]|[|+]?=(?!=))")
_GIVING_THEN = re.compile(rb"[:;=]\s*self\.\w+\s*(?:\[[^]]{0,80}\]\s*)?=(?!=)")
_GIVING_TOO = (
    re.compile(rb"self\.\w+\.%b\b" % CHANGING),
    re.compile(rb"for\b(?<!\wfor)(?:(?! in ).)*\bself\."),
    re.compile(rb"as\b(?<!\was).*\bself\."),
)
_UNPACKED = re.compile(rb"\s*[*\[].*\bself\.")


def gives(row: bytes) -> bool:
    """Whether a row without strings assigns something to an attribute of the object."""
    return _GIVING.match(row) is not None or _GIVING_THEN.search(row) is not None


def _may_give(row: bytes) -> bool:
    """The same, or it may change what the object holds."""
    return gives(row) or _UNPACKED.match(row) is not None or any(each.search(row) for each in _GIVING_TOO)


def untouched(rows: Sequence[bytes], plain: Sequence[bytes], wanted: Sequence[int]) -> list[bytes] | None:
    """As many rows, with the head and the statements of the rows ``wanted``, which are in order; None where that may not do.

    Args:
        plain: the rows without strings.
    """
    first = begin = _end(plain, 0) + 1
    head = next((row for row in plain[first:] if row and not row.isspace()), b"")
    indent = head[: len(head) - len(head.lstrip())]
    made = [*rows[:first], *[b""] * (len(rows) - first)]
    names: set[bytes] = set()
    others: list[bytes] = []
    for row in wanted:
        if row >= begin:
            before = b"\n".join(plain[begin:row])
            others.append(before)
            if not _is_at(plain[row], indent) or opening(before):
                return None  # it stands in a branch, or is no beginning
            if _HOLDING.match(plain[row], len(indent)):
                return None
            begin = _end(plain, row) + 1
            made[row:begin] = rows[row:begin]
            source = b"\n".join(rows[row:begin])
            names.update(
                _NAME.findall(source if WITH_FIELDS.search(source) else b"\n".join(plain[row:begin]))
            )
        elif row < first:
            return None
    return made if _only_reads(b"\n".join((b"", *others)), names - KEYWORDS, indent) else None


def _end(plain: Sequence[bytes], row: int) -> int:
    """The last row of the statement that begins in a row."""
    depth = opening(plain[row])
    while depth > 0 and row + 1 < len(plain):
        row += 1
        depth += opening(plain[row])
    return row


def _is_at(row: bytes, indent: bytes) -> bool:
    return bool(indent) and row.startswith(indent) and row[len(indent) : len(indent) + 1] not in (b" ", b"\t")


def _only_reads(text: bytes, names: set[bytes], indent: bytes) -> bool:
    """Whether these rows leave the names what they are and the object what it is, and do not leave the function."""
    if _leaving(indent).search(text):
        return False
    if not (names | _SCOPES).isdisjoint(text.replace(b"(", b"( ").translate(_JOINED).split()):
        return False
    if _CHANGED.search(text) and not names.isdisjoint(_CHANGED_NAME.findall(text)):
        return False
    return b"self." not in text or not any(b"self." in row and _may_give(row) for row in text.split(b"\n"))


@lru_cache
def _leaving(indent: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"\n%b(?:return|raise|continue|break)\b" % indent)
