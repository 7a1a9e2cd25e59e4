"""Calls through which values reach a JSON log line: which arguments of which calls.

Known are ``json.dump(s)``, ``logging``'s ``extra`` and dictionaries as messages, fields of
structlog and loguru, ``log_struct`` and ``json_fields`` of google-cloud-logging, and loggers of configured factories.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from checks.tree.files import places
from checks.tree.flow import Flow
from checks.tree.locals import Locals
from checks.tree.symbols import Symbol, dotted

_METHODS = frozenset(
    {"debug", "info", "warning", "warn", "error", "exception", "critical", "fatal", "log", "trace", "success"}
)
_OWN_KEYWORDS = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})
_LOGGER = re.compile(r"_*(?:\w*_)?log(?:ger|ging)?", re.IGNORECASE)
_DUMPS = frozenset({"json.dumps", "json.dump", "simplejson.dumps", "simplejson.dump"})
_STRUCTLOG = ("structlog.get_logger", "structlog.getLogger", "structlog.stdlib.get_logger")
_STDLIB = ("logging.getLogger", "logging.Logger", "logging.LoggerAdapter")

_PLAIN_HINTS = (
    b"dumps(",
    b"json.dump(",
    b"log_struct",
    b"bind(",
    b"bind_contextvars(",
    b"contextualize(",
    b"log.new(",
)
_RENAMED = re.compile(rb"import dumps as (\w+)")
_EXTRA = re.compile(rb"\bextra\s*=")
_LEVELS = tuple(b"." + method.encode() + b"(" for method in sorted(_METHODS))
_NAME_BEFORE = re.compile(rb"log(?:ger|ging)?$", re.IGNORECASE)
_FIELD = re.compile(rb"[,(]\s*(\w+)\s*=(?!=)|^\(\s*\{|^\(\s*logging\.\w+,\s*\{")
_SPAN_BYTES = 600


class Sink(NamedTuple):
    """One value that a call writes to a log line.

    Args:
        kind: ``json.dumps``, ``json.dumps with default``, ``extra``, ``message``, ``log_struct``, ``structlog``, ``loguru``.
        logger: what the logger is, where only its name says that it is one.
    """

    kind: str
    value: ast.expr
    field: str
    logger: Symbol | None = None


def hints(data: bytes, factories: Iterable[str], *, is_first_enough: bool = False) -> list[int]:
    """Offsets at which a sink may be: too many are harmless, one too few would be a missed finding.

    This looks at bytes because most files hold no sink, and parsing all files is nearly all that a run would cost.

    Args:
        factories: last names of what makes structured loggers; where one is mentioned, loggers may have any name.
    """
    every = _offsets(data, factories)
    return list(islice(every, 1) if is_first_enough else every)


def _offsets(data: bytes, factories: Iterable[str]) -> Iterator[int]:
    for needle in _PLAIN_HINTS:
        yield from places(data, needle)
    if b"extra" in data:
        yield from (match.start() for match in _EXTRA.finditer(data))
    if b"import dumps as" in data:
        for name in {match[1] for match in _RENAMED.finditer(data)}:
            yield from (match.start() for match in re.finditer(rb"\b" + name + rb"\(", data))
    is_any_name = any(maker.encode() in data for maker in ("structlog", "loguru", *factories))
    for level in _LEVELS:
        for at in places(data, level):
            # ``.info(`` alone is too common: it counts where the name before it looks like a logger's, or where the file
            # mentions a library whose loggers may have any name.
            is_logger = is_any_name or _NAME_BEFORE.search(data, at - 8, at)
            if is_logger and _has_fields(data, at + len(level) - 1):
                yield at


def _has_fields(data: bytes, start: int) -> bool:
    """Whether a log call's argument list holds a keyword that plain logging does not know, or a dictionary."""
    end = data.find(b")\n", start, start + _SPAN_BYTES)
    text = data[start : start + _SPAN_BYTES if end < 0 else end]
    if b"=" not in text and b"{" not in text:
        return False
    return any(match[1] is None or match[1].decode() not in _OWN_KEYWORDS for match in _FIELD.finditer(text))


def sinks(call: ast.Call, flow: Flow, names: Locals, factories: frozenset[str]) -> Iterator[Sink]:
    """What this call sends out."""
    name = _full_name(flow.value(call.func, names))
    if name in _DUMPS:
        yield from _dumped(call)
    elif name.endswith("bind_contextvars"):
        yield from _fields(call, "structlog")
    elif isinstance(call.func, ast.Attribute):
        kind, logger = _logger_kind(call.func.value, flow, names, factories)
        if call.func.attr == "log_struct":
            yield from (Sink("log_struct", argument, "") for argument in call.args[:1])
        elif kind and call.func.attr in ("bind", "contextualize", "new"):
            yield from (sink._replace(logger=logger) for sink in _fields(call, kind))
        elif kind and call.func.attr in _METHODS:
            yield from (sink._replace(logger=logger) for sink in _logged(call, kind, call.func.attr))


def _dumped(call: ast.Call) -> Iterator[Sink]:
    """A fallback is asked for values alone; an encoder class, or keywords nobody can read, may do anything."""
    given = {keyword.arg for keyword in call.keywords}
    if given.isdisjoint({"cls", None}) and not given >= {"default", "skipkeys"}:
        kind = "json.dumps with default" if "default" in given else "json.dumps"
        values = call.args[:1] or [keyword.value for keyword in call.keywords if keyword.arg == "obj"]
        yield from (Sink(kind, value, "") for value in values)


def _logged(call: ast.Call, kind: str, method: str) -> Iterator[Sink]:
    for keyword in call.keywords:
        if keyword.arg == "extra":
            yield Sink("extra", keyword.value, "extra")
        elif keyword.arg is not None and keyword.arg not in _OWN_KEYWORDS and kind != "logging":
            yield Sink(kind, keyword.value, keyword.arg)
        elif keyword.arg is None and kind != "logging":
            yield Sink(kind, keyword.value, "")
    messages = call.args[1:2] if method == "log" else call.args[:1]
    yield from (Sink("message", message, "") for message in messages if isinstance(message, ast.Dict))


def _fields(call: ast.Call, kind: str) -> Iterator[Sink]:
    yield from (Sink(kind, keyword.value, keyword.arg or "") for keyword in call.keywords)


def _logger_kind(
    receiver: ast.expr, flow: Flow, names: Locals, factories: frozenset[str]
) -> tuple[str, Symbol | None]:
    """``logging``, ``structlog``, ``loguru``; empty for something that is no logger. And what it is, if only guessed."""
    if (
        isinstance(receiver, ast.Call)
        and isinstance(receiver.func, ast.Attribute)
        and receiver.func.attr in ("bind", "opt")
    ):
        return _logger_kind(receiver.func.value, flow, names, factories)
    symbol = flow.value(receiver, names)
    origin = _origin(symbol, flow)
    if origin in factories or origin.startswith(_STRUCTLOG):
        return "structlog", None
    if origin.startswith("loguru."):
        return "loguru", None
    if origin.startswith(_STDLIB) or origin == "logging":
        return "logging", None
    last = dotted(receiver).rpartition(".")[2]
    # plain logging refuses unknown keywords, so whatever takes them writes structured lines
    return ("structlog", symbol) if last and _LOGGER.fullmatch(last) else ("", None)


def _origin(symbol: Symbol | None, flow: Flow) -> str:
    """What made the logger: the dotted name of the function that was called, or of the thing itself."""
    if symbol is not None and symbol.form == "obj" and ":" in symbol.name:
        symbol = flow.module_values.get(symbol.name.rpartition(":")[2])
    while symbol is not None and symbol.form in ("call", "attr"):
        symbol = symbol.parts[0]
    return _full_name(symbol)


def _full_name(symbol: Symbol | None) -> str:
    return symbol.name if symbol is not None and symbol.form == "obj" else ""
