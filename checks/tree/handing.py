"""Calls that a line begins with, and whether one may change in place what it is given: by what it is called."""

from __future__ import annotations

import re
from functools import lru_cache

#: ``make_plain(row)`` alone, or ``hooks[kind](row)``: it may change what it is given. What is in front of the first bracket
_CALL = re.compile(rb"[ \t]*+(?:await\b[ \t]*+)?+(?:\w+[ \t]*\.[ \t]*)*+(\w*+)[ \t]*+[(\[]")
_IN_A_LINE = re.compile(rb"^%b" % _CALL.pattern, re.MULTILINE)
#: what is called is what a call gave, or an item, or a method of it
_CALLED_ON = re.compile(rb"[\])]\s*(?:\.[\w.\s]*+)?\(")
#: words in the names of calls that look at what they are given, keep it or send it, and do not change it
_LEAVING_ALONE = frozenset(
    {"add", "append", "assert", "assertequal", "broadcast", "call", "callback", "check", "critical", "debug", "delete", "dump",
     "dumps", "emit", "error", "exception", "execute", "extend", "info", "insert", "isinstance", "json", "len", "log", "message",
     "notify", "observe", "patch", "post", "pprint", "print", "publish", "push", "put", "record", "register", "request",
     "respond", "save", "send", "set", "setattr", "store", "trace", "update", "validate", "verify", "warn", "warning", "write"}
)  # fmt: skip


def leaves_alone(name: str) -> bool:
    """Whether a call by this name, alone in a line, is none that changes in place what it is given."""
    return not _LEAVING_ALONE.isdisjoint(name.lower().split("_"))


def changes(text: bytes) -> bool:
    """Whether a statement, without strings, begins with a call that may change what it is given."""
    call = _CALL.match(text)
    return call is not None and _may_change(text, call)


def changes_in_a_line(text: bytes) -> bool:
    """Whether any of its lines begins so."""
    return any(_may_change(text, call) for call in _IN_A_LINE.finditer(text))


def _may_change(text: bytes, call: re.Match[bytes]) -> bool:
    is_known = call[0][-1:] == b"[" or _leaves_alone(call[1])
    return _CALLED_ON.search(text, call.end()) is not None if is_known else True


@lru_cache(4096)
def _leaves_alone(name: bytes) -> bool:
    return leaves_alone(name.decode(errors="replace"))
