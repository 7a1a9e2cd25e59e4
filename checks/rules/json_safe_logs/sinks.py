"""Calls through which values reach JSON: which arguments of which calls.

Known are ``json.dump(s)``, ``logging``'s ``extra`` and dictionaries as messages, fields of structlog and loguru,
``log_struct`` and ``json_fields`` of google-cloud-logging, and loggers of configured factories. And what ends a
conversation when it is refused: ``send_json`` of a WebSocket, responses of JSON, socket.io's ``emit``, ``json=`` of HTTP
clients, and configured sinks.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from checks.rules.json_safe_logs.hints import LEVELS, OWN_KEYWORDS
from checks.tree.flow import Flow
from checks.tree.locals import Locals
from checks.tree.symbols import Symbol, dotted

_LOGGER = re.compile(r"_*(?:\w*_)?log(?:ger|ging)?", re.IGNORECASE)
_DUMPS = frozenset({"json.dumps", "json.dump", "simplejson.dumps", "simplejson.dump"})
_STRUCTLOG = ("structlog.get_logger", "structlog.getLogger", "structlog.stdlib.get_logger")
#: one thing may have so many names that are given one another
_MOST_NAMES = 3
_STDLIB = ("logging.getLogger", "logging.Logger", "logging.LoggerAdapter")

_POSTS = frozenset({"post", "put", "patch", "request"})
_HTTP = ("requests", "httpx", "aiohttp")
_EMITTERS = ("socketio", "flask_socketio")
_EMITTER = re.compile(r"_*(?:\w*_)?(?:sio|socketio|socket_io)", re.IGNORECASE)
_SOCKET = re.compile(r"_*(?:\w*_)?(?:ws|websocket|socket)", re.IGNORECASE)
_RESPONSES = ("fastapi.", "starlette.")

#: those that raise where they stand, so that a ``try`` around them can have another way
RAISING = frozenset(
    {"json.dumps", "json.dumps with default", "json.dumps with skipkeys", "simplejson", "send_json", "send_json?", "JSONResponse", "json_response", "json=", "json=?",
     "emit", "emit?", "sink"}
)  # fmt: skip
#: the callee is known by the name of its method alone
GUESSED = frozenset({"send_json?", "json=?", "emit?"})
#: what they are where it is known
SENDING = frozenset({"send_json", "json=", "emit"})
#: those that refuse only keys, or only values
HALVES = {"json.dumps with default": "keys", "json.dumps with skipkeys": "values"}
#: what sinks take as it is, by the words for it
TAKING = {
    "emit": frozenset({"bytes"}),
    "simplejson": frozenset({"bytes", "Decimal"}),
    "loguru": frozenset({"function"}),
}


class Sink(NamedTuple):
    """One value that a call writes to a log line.

    Args:
        kind: ``json.dumps``, ``json.dumps with default``, ``json.dumps with skipkeys``, ``simplejson``, ``extra``, ``message``,
            ``log_struct``, ``structlog``, ``loguru``, ``send_json``, ``JSONResponse``, ``json_response``, ``emit``, ``json=``,
            ``sink``; with a ``?`` where it is guessed.
        owner: what it belongs to, where only its name says that it is a logger or a socket.
    """

    kind: str
    value: ast.expr
    field: str
    owner: Symbol | None = None


class Known(NamedTuple):
    """What the settings say of sinks: dotted factories of loggers, names of functions that write JSON."""

    loggers: frozenset[str]
    sinks: frozenset[str]


Visit = Callable[[ast.Call, Flow, Locals], None]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def sinks(call: ast.Call, flow: Flow, names: Locals, known: Known) -> Iterator[Sink]:
    """What this call sends out."""
    name = _full_name(_at_top(flow.value(call.func, names), flow))
    last = _last(name or dotted(call.func))
    if name in _DUMPS:
        yield from _dumped(call, "simplejson" if name.startswith("simplejson.") else "json.dumps")
    elif name.endswith("bind_contextvars"):
        yield from _fields(call, "structlog")
    elif last in known.sinks or name in known.sinks:
        yield from (
            Sink("sink", argument, "") for argument in (*call.args, *(k.value for k in call.keywords))
        )
    elif last in ("JSONResponse", "json_response"):
        yield from _response(call, name, last)
    elif last == "emit" and len(call.args) > 1:
        yield from _emitted(call, flow, names)
    elif isinstance(call.func, ast.Attribute):
        yield from _of_method(call, call.func, flow, names, known)


def _response(call: ast.Call, name: str, last: str) -> Iterator[Sink]:
    """Starlette's and FastAPI's JSONResponse, aiohttp's json_response without ``dumps``."""
    is_aiohttp = name.startswith("aiohttp.") and all(k.arg not in ("dumps", None) for k in call.keywords)
    if name.startswith(_RESPONSES) or is_aiohttp:
        values = call.args[:1] or [k.value for k in call.keywords if k.arg in ("content", "data")]
        yield from (Sink(last, value, "") for value in values)


def _emitted(call: ast.Call, flow: Flow, names: Locals) -> Iterator[Sink]:
    owner = call.func.value if isinstance(call.func, ast.Attribute) else call.func
    made = flow.owner(owner, names)
    origin = _origin(made, flow)
    is_called_so = _EMITTER.fullmatch(_last(dotted(owner))) is not None
    if origin.startswith(_EMITTERS) or (not origin and is_called_so):
        yield Sink("emit", call.args[1], "")
    elif is_called_so:  # it is imported: another file knows what it is
        yield Sink("emit?", call.args[1], "", made)


def _of_method(
    call: ast.Call, method: ast.Attribute, flow: Flow, names: Locals, known: Known
) -> Iterator[Sink]:
    if method.attr == "send_json":
        yield from _sent(call, method.value, flow, names)
        return
    posted = next((k.value for k in call.keywords if k.arg == "json"), None)
    if posted is not None and method.attr in _POSTS:
        owner = flow.owner(method.value, names)
        is_client = _origin(owner, flow).startswith(_HTTP)
        yield Sink("json=" if is_client else "json=?", posted, "json", None if is_client else owner)
        return
    kind, logger = _logger_kind(method.value, flow, names, known.loggers)
    if method.attr == "log_struct":
        yield from (Sink("log_struct", argument, "") for argument in call.args[:1])
    elif kind and method.attr in ("bind", "contextualize", "new"):
        yield from (sink._replace(owner=logger) for sink in _fields(call, kind))
    elif kind and method.attr in LEVELS:
        logged = _logged(call, kind, method.attr, is_guessed=logger is not None)
        yield from logged if logger is None else (sink._replace(owner=logger) for sink in logged)


def _sent(call: ast.Call, receiver: ast.expr, flow: Flow, names: Locals) -> Iterator[Sink]:
    """``websocket.send_json(value)``: of a framework's socket, or of what is only called one."""
    values = call.args[:1] or [k.value for k in call.keywords if k.arg in ("data", "content")]
    owner = flow.owner(receiver, names)
    is_socket = bool(_SOCKET.fullmatch(_last(dotted(receiver))))
    kind = "send_json" if is_socket and (owner is None or owner.form == "param") else "send_json?"
    has_encoder = any(keyword.arg in ("dumps", None) for keyword in call.keywords)
    yield from (Sink(kind, value, "", owner) for value in values if len(call.args) < 3 and not has_encoder)


def _dumped(call: ast.Call, plain: str) -> Iterator[Sink]:
    """A fallback is asked for values alone, ``skipkeys`` for keys; an encoder class, or keywords nobody can read, may do anything."""
    given = {keyword.arg for keyword in call.keywords}
    asked = given & {"default", "skipkeys"}
    if given.isdisjoint({"cls", None}) and len(asked) < 2:
        kind = f"json.dumps with {asked.pop()}" if asked else plain
        values = call.args[:1] or [keyword.value for keyword in call.keywords if keyword.arg == "obj"]
        yield from (Sink(kind, value, "") for value in values)


def _is_written_in(message: ast.expr | None, name: str | None) -> bool:
    """``log.info("lost {peer}", peer=peer)``: what formats its message by itself, as txaio and Twisted do, writes text."""
    return name is not None and any(
        isinstance(each, ast.Constant) and isinstance(each.value, str) and f"{{{name}" in each.value
        for each in (ast.walk(message) if message is not None else ())
    )


def _logged(call: ast.Call, kind: str, method: str, *, is_guessed: bool) -> Iterator[Sink]:
    message = call.args[0] if call.args and is_guessed else None
    for keyword in call.keywords:
        if keyword.arg == "extra":
            yield Sink("extra", keyword.value, "extra")
        elif _is_written_in(message, keyword.arg):
            pass
        elif keyword.arg is not None and keyword.arg not in OWN_KEYWORDS and kind != "logging":
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
    symbol = flow.owner(receiver, names)
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
    symbol = _at_top(symbol, flow)
    while symbol is not None and symbol.form in ("call", "attr"):
        symbol = symbol.parts[0]
    return _full_name(symbol)


def _at_top(symbol: Symbol | None, flow: Flow) -> Symbol | None:
    """What a name at the module's top was given: ``encode = json.dumps``, ``audit = logger``."""
    for _ in range(_MOST_NAMES):
        if symbol is None or symbol.form != "obj" or ":" not in symbol.name:
            break
        symbol = flow.module_values.get(symbol.name.rpartition(":")[2])
    return symbol


def _full_name(symbol: Symbol | None) -> str:
    return symbol.name if symbol is not None and symbol.form == "obj" else ""
