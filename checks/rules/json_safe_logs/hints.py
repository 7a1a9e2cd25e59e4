"""Where a sink may be called, by the bytes of a file: too often is harmless, once too few would be a missed finding.

Most files hold no sink, and parsing all files is nearly all that a run would cost. So a call is looked for by its own word,
which is found many times faster than a pattern that begins with anything else; then what stands around the word is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from checks.tree.files import places

LEVELS = frozenset(
    {"debug", "info", "warning", "warn", "error", "exception", "critical", "fatal", "log", "trace", "success"}
)
#: what a log call takes that is no field
OWN_KEYWORDS = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})

_CALLED = (
    b"dumps", b"bind", b"bind_contextvars", b"contextualize", b".new", b".opt", b"send_json", b"JSONResponse", b"json_response",
)  # fmt: skip
#: behind the whole of a word: ``(``, or another name, ``from json import dumps as encode``
_BEHIND = re.compile(rb"[\s)\\]*\(|[\s\\]+as[\s\\]+(\w+)|(?!\w)")
#: ``encode = json.dumps``, ``encode = partial(json.dumps``
_ASSIGNED = re.compile(rb"[ \t]*(\w+)[ \t]*(?::[^=\n]*)?=[ \t]*(?:(?:\w+\.)?partial\([ \t]*)?(?:\w+\.)*$")
_MOST_NAMES = 20
_WORD = re.compile(rb"\w")
_EXTRA = re.compile(rb"extra(?<!\wextra)[\s\\]*=")
_JSON_ARGUMENT = re.compile(rb"json(?<=[(,\s]json)[\s\\]*=(?!=)")
_LEVEL = re.compile(rb"\.(?:%s)(?=[\s)\\]*(\())" % "|".join(sorted(LEVELS)).encode())
_NAME_BEFORE = re.compile(rb"log(?:ger|ging)?[\s)\\]*$", re.IGNORECASE)
_NAME_BYTES = 24
_MESSAGE = re.compile(rb"\((?:[\w.\s]+,)?\s*\{")


def _without_fields() -> re.Pattern[bytes]:
    """A whole argument list with no keyword of its own, no ``**`` and no dictionary."""
    text = rb"""\"\"\"[^"\\]*+(?:(?:\\.|"{1,2}(?!"))[^"\\]*+)*+\"\"\"|'''[^'\\]*+(?:(?:\\.|'{1,2}(?!'))[^'\\]*+)*+'''
        |"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"|'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'"""
    own = b"|".join(rb"(?<=\b%b)" % word.encode() for word in sorted(OWN_KEYWORDS))
    inside = rb"""[^()"'\#=*{\\]++|%b|\#[^\n]*+|==|(?<=[!<>])=|(?:%b)=|\*(?!\*)""" % (text, own)
    arguments = rb"\((?:%b)*+\)" % inside
    for _ in range(2):  # as deep as most calls go
        arguments = rb"\((?:%b|%b)*+\)" % (inside, arguments)
    return re.compile(arguments, re.DOTALL | re.VERBOSE)


_WITHOUT_FIELDS = _without_fields()


def hints(data: bytes, asked: Mapping[str, Any]) -> Iterator[int]:
    """Offsets at which a sink may be.

    Args:
        asked: the settings. Where what makes structured loggers is mentioned, loggers may have any name.
    """
    return _offsets(data, [_last(name) for name in asked["loggers"]], map(_last, asked["sinks"]))


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _offsets(data: bytes, factories: Iterable[str], named: Iterable[str]) -> Iterator[int]:
    yield from places(data, b"log_struct")
    for word in (*_CALLED, *(name.encode() for name in named)):
        yield from _calls(data, word)
    if b"json" in data:
        yield from (at for at in _calls(data, b"dump") if not _is_inside(data, at))
        yield from (match.start() for match in _JSON_ARGUMENT.finditer(data))
    if b"socketio" in data or b"sio" in data or b"socket_io" in data:
        yield from _calls(data, b"emit")
    if b"extra" in data:
        yield from (match.start() for match in _EXTRA.finditer(data))
    yield from _log_calls(data, any(maker.encode() in data for maker in ("structlog", "loguru", *factories)))


def _calls(data: bytes, word: bytes) -> Iterator[int]:
    """Where a word is called, or another name for it."""
    names = [word]
    for name in names:  # it grows
        for at in places(data, name):
            end = at + len(name)
            behind = _BEHIND.match(data, end)
            if behind is None or (name is not word and _is_inside(data, at)):
                continue
            if behind[0].endswith(b"("):
                yield at
                continue
            other = behind if behind[1] else _ASSIGNED.match(data, data.rfind(b"\n", 0, at) + 1, at)
            if other and other[1] not in names and len(names) < _MOST_NAMES:
                names.append(other[1])


def _is_inside(data: bytes, at: int) -> bool:
    """Whether that is the middle of a word."""
    return at > 0 and _WORD.match(data, at - 1) is not None


def _log_calls(data: bytes, is_any_name: bool) -> Iterator[int]:
    for match in _LEVEL.finditer(data):
        # ``.info(`` alone is too common: it counts where the name before it looks like a logger's, or where the file
        # mentions a library whose loggers may have any name.
        at, arguments = match.start(), match.start(1)
        has_fields = not _WITHOUT_FIELDS.match(data, arguments)
        is_logger = has_fields and (is_any_name or _NAME_BEFORE.search(data, max(at - _NAME_BYTES, 0), at))
        if is_logger or _MESSAGE.match(data, arguments):
            yield at
