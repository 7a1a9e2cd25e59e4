"""Syntax that is newer than the interpreter, blanked out without moving a line: bytes in, bytes with the same lines out.

Blanked are type parameters, ``type`` statements, template strings and bare ``except A, B`` (Python 3.12 to 3.14), and
the f-strings that only 3.12 reads: those whose fields hold the string's own quotes, a backslash, a comment or a line
end. Such a string becomes an empty one; what its fields name is not seen.

Why by hand: the tokenizer of an older interpreter ends an f-string at the first of its quotes, and from there on reads
text as code. So strings are followed here, fields inside of strings and strings inside of fields, as 3.12 does.
"""

from __future__ import annotations

import re

_PATTERNS = (
    (re.compile(rb"^([ \t]*(?:async\s+)?(?:def|class)\s+\w+)(\[[^\n]*?\])(?=\s*[(:])", re.MULTILINE), None),
    (re.compile(rb"^([ \t]*)type[ \t]+(\w+)\s*(?:\[[^\n]*?\])?\s*=", re.MULTILINE), rb"\1\2 ="),
    (re.compile(rb"""(?<![\w"'])([rR]?)[tT]([rR]?)(?=["'])"""), rb"\1f\2"),
    (re.compile(rb"^([ \t]*except\*?\s+)([\w.]+(?:\s*,\s*[\w.]+)+)(\s*:)", re.MULTILINE), rb"\1(\2)\3"),
)
_START = re.compile(rb"#[^\n]*|(?<!\w)([bBfFrRuU]{0,2})('''|\"\"\"|'|\")")
_REST = {quote: re.compile(rb"(?s:\\.|[^\\" + (b"" if len(quote) == 3 else b"\n") + rb"])*?" + quote)
         for quote in (b"'''", b'"""', b"'", b'"')}  # fmt: skip
_TEXT = {quote: re.compile(rb"\\[^{}]|\{\{|\{|" + quote) for quote in _REST}
_CODE = re.compile(rb"[\[({]|[\])}]|:|#[^\n]*|([bBfFrRuU]{0,2})('''|\"\"\"|'|\")")
_COMMENT = re.compile(rb"#[^\n]*\n")
_SPEC = re.compile(rb"[{}]")


class _Unended(Exception):
    """A string, or a field in it, has no end."""


def without_new_syntax(data: bytes) -> bytes:
    """The file as an older interpreter may read it; nothing else is changed. Raises RecursionError."""
    for pattern, replacement in _PATTERNS:
        data = pattern.sub(_spaces if replacement is None else replacement, data)
    return _without_new_strings(data)


def _spaces(match: re.Match[bytes]) -> bytes:
    return match[1] + b" " * len(match[2])


def _without_new_strings(data: bytes) -> bytes:
    pieces: list[bytes] = []
    done = at = 0
    while (match := _START.search(data, at)) is not None:
        # Where a string has no end the file does not parse in any version: what follows is left as it is.
        try:
            at, is_new = (match.end(), False) if match[2] is None else _string(data, match)
        except _Unended:
            break
        if is_new:
            pieces += [data[done : match.start()], _blank(data[match.start() : at])]
            done = at
    return b"".join((*pieces, data[done:]))


def _blank(text: bytes) -> bytes:
    """An empty string of the same length, with a backslash before each line end that it had."""
    return b'""' + re.sub(rb"[^\n]", b" ", text[2:]).replace(b" \n", b"\\\n")


def _string(data: bytes, start: re.Match[bytes]) -> tuple[int, bool]:
    """Where a string ends, and whether only Python 3.12 and later read it."""
    prefix, quote, at = start[1], start[2], start.end()
    if b"f" not in prefix.lower():
        return _after(_REST[quote].match(data, at)), False
    is_new = False
    while True:
        match = _TEXT[quote].search(data, at)
        at = _after(match)
        if match is not None and match[0] == b"{":
            at = _field(data, at)
            is_new = is_new or _is_new_field(data[match.end() : at], quote)
        elif match is not None and match[0] == quote:
            return at, is_new


def _is_new_field(field: bytes, quote: bytes) -> bool:
    # In a string of one quote a line end is new; in a triple-quoted one it always was, but a comment is new.
    is_split = b"\n" in field if len(quote) == 1 else _COMMENT.search(field) is not None
    return is_split or quote in field or b"\\" in field


def _field(data: bytes, at: int) -> int:
    """Where a replacement field ends, behind its brace."""
    depth = 0
    while True:
        match = _CODE.search(data, at)
        at = _after(match)
        if match is not None and match[2] is not None:
            at, _ = _string(data, match)
        elif match is not None and match[0] in (b"(", b"[", b"{"):
            depth += 1
        elif match is not None and match[0] in (b")", b"]", b"}"):
            if not depth:
                return at
            depth -= 1
        # A colon inside of brackets belongs to a slice or a lambda; outside of them the format follows.
        elif match is not None and match[0] == b":" and not depth:
            return _spec(data, at)


def _spec(data: bytes, at: int) -> int:
    while True:
        match = _SPEC.search(data, at)
        at = _after(match)
        if match is not None and match[0] == b"}":
            return at
        at = _field(data, at)


def _after(match: re.Match[bytes] | None) -> int:
    if match is None:
        raise _Unended
    return match.end()
