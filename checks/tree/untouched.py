"""The head of a function and its lines of interest, where nothing else in it decides about them: told by a few searches.

Most functions do nothing with what they log but read it. A name that stands in front of a dot or of its arguments is
read there; any other use of it may be what binds it, changes it or asks about it, and ``slices.py`` looks closer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from checks.tree.slices import CHANGING, KEYWORDS, WITH_FIELDS, opening

#: names, not those of attributes
_NAME = re.compile(rb"(?<![\w.])[^\W\d]\w*")
#: those that stand neither in front of their arguments nor of a dot with what only reads
_OTHER_USE = re.compile(rb"(?<![\w.])[^\W\d]\w*(?![\w(]|\.(?!%b\b))" % CHANGING)
#: what begins a statement that holds others
_HOLDING = re.compile(rb"@|(?:async|if|elif|else|for|while|with|try|except|finally|match|case)\b")
#: names may have another meaning in or behind these
_SCOPES = (b"def ", b"class ", b"import ")
#: what an object is given
GIVING = re.compile(
    rb"^[ \t(]*(?:\w[\w ]*,[\s(]*)*self\.\w+\s*[,=:\[|+)]"
    rb"|[:;=]\s*self\.\w+\s*(?:\[[^]]{0,80}\]\s*)?=(?!=)"  # behind something else in its line
)

_GIVING_TOO = re.compile(
    rb"\bself\.\w+\.%b\b|\bfor\b(?:(?! in ).)*\bself\.|\bas\b.*\bself\.|^\s*[*\[].*\bself\." % CHANGING
)


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
            others += plain[begin:row]
            if not _is_at(plain[row], indent) or opening(b"\n".join(plain[begin:row])):
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
    return made if _only_reads(others, names - KEYWORDS, indent) else None


def _end(plain: Sequence[bytes], row: int) -> int:
    """The last row of the statement that begins in a row."""
    depth = opening(plain[row])
    while depth > 0 and row + 1 < len(plain):
        row += 1
        depth += opening(plain[row])
    return row


def _is_at(row: bytes, indent: bytes) -> bool:
    return bool(indent) and row.startswith(indent) and row[len(indent) : len(indent) + 1] not in (b" ", b"\t")


def _only_reads(others: list[bytes], names: set[bytes], indent: bytes) -> bool:
    """Whether these rows leave the names what they are and the object what it is, and do not leave the function."""
    text = b"\n".join(others)
    if any(word in text for word in _SCOPES) or _leaving(indent).search(text):
        return False
    if not names.isdisjoint(_OTHER_USE.findall(text)):
        return False
    own = [row for row in others if b"self." in row]
    return not any(GIVING.search(row) or _GIVING_TOO.search(row) for row in own)


@lru_cache
def _leaving(indent: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"^%b(?:return|raise|continue|break)\b" % indent, re.MULTILINE)
