"""Where a file sets up how log lines are written: formatters, renderers, handlers and sinks, by kind of logger."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from checks.rules.json_safe_logs.own_code import Written, written_by
from checks.tree.definitions import module_scope
from checks.tree.parse import Parsed
from checks.tree.symbols import Symbol, dotted, expression_name, imported_names, symbol_of

_NEEDLES = (
    b"ormatter", b"Renderer", b"structlog.configure", b"setup_logging", b"LogHandler", b"LoggingHandler", b"basicConfig",
    b"wrap_logger", b"configure_once", b"RichHandler",
)  # fmt: skip
_GOOGLE = frozenset(
    {"CloudLoggingHandler", "StructuredLogHandler", "AppEngineHandler", "ContainerEngineHandler"}
)
#: what changes the encoder of a sink that is plain ``json.dumps`` by itself; ``json`` is that of all of them
_CHANGES = (
    b"json_serialize", b"JSONEncoder.default", b"json.dumps =", b"json._default_encoder", b"import json_fix", b".complexjson",
    b"JSONEncoder, ", b"setattr(json,",
)  # fmt: skip
_CHANGED_BY = {"ClientSession": ("json_serialize", "json=")} | dict.fromkeys(
    ("AsyncServer", "Server", "SocketIO", "AsyncClient", "Client"), ("json", "emit")
)
_CONFIGURING = frozenset({"configure", "configure_once", "wrap_logger"})
_PATCHED = frozenset(
    {
        "json.JSONEncoder.default",
        "JSONEncoder.default",
        "json.encoder.JSONEncoder.default",
        "json.dumps",
        "json._default_encoder",
        "requests.models.complexjson",
    }
)
#: packages that do so when they are imported
_PATCHING = frozenset({"json_fix"})
_HANDING_ON = frozenset({"render_to_log_kwargs", "render_to_log_args_and_kwargs"})


class Install(NamedTuple):
    """One encoder that is set up.

    Args:
        family: ``logging``, ``structlog`` or ``loguru``; ``json``, ``json=`` and ``emit`` where their encoder is changed.
        kind: as in ``Encoder``; ``logging`` where structlog hands its fields on to it; empty where ``made_by`` decides.
        made_by: the class or function that is set up.
        written: how it writes, where it is a lambda.
    """

    family: str
    kind: str
    name: str
    line: int
    made_by: Symbol | None = None
    written: Written | None = None


def install_of(row: Any) -> Install:
    """As JSON gives it back."""
    family, kind, name, line, made_by, written = row
    return Install(family, kind, name, line, symbol_of(made_by), Written(*written) if written else None)


def may_install(data: bytes) -> bool:
    """Whether a file is worth a look: too often is harmless."""
    if b"loguru" in data and (b".add(" in data or b".configure(" in data):
        return True
    if b"json" in data and any(needle in data for needle in _CHANGES):
        return True
    if b"json=" in data and b"socketio" in data.lower():
        return True
    return (b"logging" in data or b"structlog" in data) and any(needle in data for needle in _NEEDLES)


def installs(parsed: Parsed) -> list[Install]:
    """All that one file sets up, in order."""
    return list(_File(parsed).found()) if may_install(parsed.data) else []


class _File:
    """One file: its names wherever they are bound, since logging is set up inside functions mostly."""

    def __init__(self, parsed: Parsed) -> None:
        self._tree = parsed.tree
        nodes = list(ast.walk(parsed.tree))
        self._calls = [node for node in nodes if isinstance(node, ast.Call)]
        self._dicts = [node for node in nodes if isinstance(node, ast.Dict)]
        _, _, self._look = module_scope(parsed.path, parsed.tree)
        inside = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        self._imports = imported_names(parsed.path, inside)
        self._is_loguru = b"loguru" in parsed.data
        self._assigned = [  # ``handler.formatter = Lines()``
            node.value
            for node in nodes
            if isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Attribute) and t.attr == "formatter" for t in node.targets)
        ]
        self._values = {
            dotted(target): node.value
            for node in nodes
            if isinstance(node, ast.Assign)
            for target in node.targets
            if dotted(target)
        }

    def found(self) -> Iterator[Install]:
        for call in self._calls:
            yield from self._call(call)
        for value in self._assigned:
            yield from self._made("logging", value)
        for name in _PATCHED & self._values.keys():
            yield Install("json", "unknown", name, self._values[name].lineno)
        for name in _PATCHING & set(self._imports.values()):
            yield Install("json", "unknown", name, 1)
        for node in self._dicts:
            yield from self._dict_config(node)

    def _named(self, node: ast.expr) -> Symbol | None:
        first, _, rest = dotted(node).partition(".")
        if first in self._imports:
            return Symbol("obj", f"{self._imports[first]}.{rest}" if rest else self._imports[first])
        return expression_name(node, self._look)

    def _full_name(self, node: ast.expr) -> str:
        symbol = self._named(node)
        return symbol.name if symbol is not None and symbol.form == "obj" else dotted(node)

    def _call(self, call: ast.Call) -> Iterator[Install]:
        name = self._full_name(call.func)
        last = name.rpartition(".")[2]
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if name == "builtins.setattr" and len(call.args) == 3:
            yield from self._patched(call)
        elif method == "setFormatter" and call.args:
            yield from self._made("logging", call.args[0])
        elif method == "setup_logging" or last in _GOOGLE:
            has_encoder = any(k.arg == "json_encoder_cls" for k in call.keywords)
            is_google = last in _GOOGLE or "client" in dotted(call.func).lower() or "google" in name
            kind = "default" if has_encoder else "google"
            yield from [Install("logging", kind, last or method, call.lineno)] if is_google else []
        elif name == "logging.basicConfig" or last == "RichHandler":
            yield Install("logging", "text", last, call.lineno)
        elif last == "ProcessorFormatter":
            yield from self._processor_formatter(call)
        elif "structlog" in name and last in _CONFIGURING:
            yield from self._structlog(call)
        elif last in _CHANGED_BY:
            yield from self._changed(call, name, last)
        elif self._is_loguru and method == "add" and "log" in dotted(call.func).lower():
            given = {k.arg: k.value for k in call.keywords}
            sink = call.args[0] if call.args else given.get("sink")
            yield from self._loguru(sink, given, call.lineno) if sink is not None else ()

    def _patched(self, call: ast.Call) -> Iterator[Install]:
        """``setattr(json.JSONEncoder, "default", ...)`` is an assignment."""
        name = f"{self._full_name(call.args[0])}.{getattr(call.args[1], 'value', '')}"
        if name in _PATCHED:
            yield Install("json", "unknown", name, call.lineno)

    def _changed(self, call: ast.Call, name: str, last: str) -> Iterator[Install]:
        """Clients and servers that are given an encoder of their own."""
        keyword, family = _CHANGED_BY[last]
        if any(k.arg == keyword for k in call.keywords) and (family == "json=" or "socketio" in name.lower()):
            yield Install(family, "unknown", f"{last}({keyword}=)", call.lineno)

    def _made(self, family: str, node: ast.expr, depth: int = 3) -> Iterator[Install]:
        """An encoder from the expression that makes it; through a name, both ways of a choice, a lambda."""
        match node:
            case ast.Name() | ast.Attribute() if dotted(node) in self._values and depth:
                yield from self._made(family, self._values[dotted(node)], depth - 1)
            case ast.Name() | ast.Attribute():
                yield self._install(family, node, node)
            case ast.IfExp(body=yes, orelse=no) if depth:
                yield from self._made(family, yes, depth - 1)
                yield from self._made(family, no, depth - 1)
            case ast.Lambda():
                yield Install(family, "", "a lambda", node.lineno, written=written_by(self._tree, node))
            case ast.Call():
                yield from self._made_by_call(family, node)

    def _made_by_call(self, family: str, call: ast.Call) -> Iterator[Install]:
        last = dotted(call.func).rpartition(".")[2]
        given = {k.arg: k.value for k in call.keywords}
        if last == "ProcessorFormatter":
            return  # found by itself, for both kinds of loggers
        if last == "JSONRenderer":
            serializer = given.get("serializer") or next(iter(call.args), None)
            is_own = isinstance(serializer, ast.Lambda | ast.Name) and "default" not in given
            yield from (
                self._made(family, serializer)
                if is_own and serializer
                else [Install(family, "default", last, call.lineno)]
            )
        elif {"json_serializer", "json_encoder", "cls"} & set(given):
            yield Install(family, "unknown", last, call.lineno)
        else:
            yield self._install(family, call.func, call)

    def _install(self, family: str, named: ast.expr, at: ast.expr) -> Install:
        last = dotted(named).rpartition(".")[2]
        if last in _HANDING_ON:
            return Install(family, "logging", last, at.lineno)
        return Install(family, "", last, at.lineno, self._named(named))

    def _structlog(self, call: ast.Call) -> Iterator[Install]:
        """The last processor writes; where the list is put together elsewhere, every renderer of the file may."""
        given = next((k.value for k in call.keywords if k.arg == "processors"), None)
        for last in self._last_of(given) if given is not None else ():
            if not dotted(last).endswith("wrap_for_formatter"):
                yield from self._made("structlog", last)

    def _last_of(self, node: ast.expr, depth: int = 4) -> Iterator[ast.expr]:
        match node:
            case ast.List(elts=[*_, last]) | ast.Tuple(elts=[*_, last]):
                yield from self._last_of(last.value if isinstance(last, ast.Starred) else last, depth)
            case ast.BinOp(right=right) if depth:
                yield from self._last_of(right, depth - 1)
            case ast.Name() | ast.Attribute() if depth and dotted(node) in self._values:
                more = self._appended(dotted(node))
                yield from more or self._last_of(self._values[dotted(node)], depth - 1)
            case ast.IfExp(body=yes, orelse=no) if depth:
                yield from self._last_of(yes, depth - 1)
                yield from self._last_of(no, depth - 1)
            case ast.List() | ast.Tuple():
                pass
            case _:
                yield node

    def _appended(self, name: str) -> list[ast.expr]:
        return [
            each
            for call in self._calls
            if dotted(call.func) in (f"{name}.append", f"{name}.extend") and call.args
            for each in self._last_of(call.args[0])
        ]

    def _processor_formatter(self, call: ast.Call) -> Iterator[Install]:
        """structlog's formatter writes structlog's fields; ``extra`` only where ExtraAdder is among the processors."""
        given = [k.value for k in call.keywords if k.arg in ("processor", "processors")] or call.args[:1]
        adds = any("ExtraAdder" in dotted(c.func) for c in self._calls)
        for each in given:
            for last in self._last_of(each):
                yield from self._made("structlog", last)
                if adds:
                    yield from self._made("logging", last)
        if not adds:
            yield Install("logging", "text", "ProcessorFormatter", call.lineno)

    def _loguru(self, sink: ast.expr, given: Mapping[Any, ast.expr], line: int) -> Iterator[Install]:
        serialize, form = given.get("serialize"), given.get("format")
        if serialize is not None and getattr(serialize, "value", True):
            yield Install("loguru", "default", "serialize=True", line)
        elif isinstance(sink, ast.Lambda) or (isinstance(sink, ast.Name) and self._is_code(sink)):
            yield from self._made("loguru", sink)
        elif form is not None and not isinstance(form, ast.Constant | ast.JoinedStr):
            yield from self._made("loguru", form)
        else:
            yield Install("loguru", "text", "text", line)

    def _is_code(self, name: ast.Name) -> bool:
        symbol = self._named(name)
        return name.id not in self._values and symbol is not None and not symbol.name.startswith("sys.")

    def _dict_config(self, node: ast.Dict) -> Iterator[Install]:
        """``logging.config``'s dictionaries, and loguru's list of handlers."""
        rows = _by_key(node)
        formatters = rows.get("formatters")
        used = _used(rows.get("handlers"))
        for key, value in _by_key(formatters).items() if isinstance(formatters, ast.Dict) else ():
            if used is None or key in used:
                yield from self._formatter(value)
        for handler in _by_key(rows.get("handlers")).values():
            made = _by_key(handler).get("class") or _by_key(handler).get("()")
            last = str(getattr(made, "value", dotted(made) if made is not None else "")).rpartition(".")[2]
            if last in _GOOGLE:
                yield Install("logging", "google", last, node.lineno)
        if self._is_loguru and "sink" in rows:
            yield from self._loguru(rows["sink"], rows, node.lineno)

    def _formatter(self, node: ast.expr) -> Iterator[Install]:
        rows = _by_key(node)
        made = rows.get("()") or rows.get("class")
        if isinstance(made, ast.Constant) and isinstance(made.value, str):
            name = made.value.removeprefix("ext://")
            last = name.rpartition(".")[2]
            if last == "ProcessorFormatter":
                yield from self._processor_formatter(_as_call(rows))
            else:
                yield Install("logging", "", last, node.lineno, Symbol("obj", name))
        elif made is not None and dotted(made).endswith("ProcessorFormatter"):
            yield from self._processor_formatter(_as_call(rows))
        elif made is not None:
            yield from self._made("logging", made)
        elif rows:
            yield Install("logging", "text", "text", node.lineno)


def _by_key(node: ast.expr | None) -> dict[str, ast.expr]:
    """A literal's values by their constant keys; of ``dict(...)`` too."""
    if isinstance(node, ast.Call) and dotted(node.func) == "dict":
        return {k.arg: k.value for k in node.keywords if k.arg}
    if not isinstance(node, ast.Dict):
        return {}
    pairs = zip(node.keys, node.values, strict=True)
    return {str(k.value): v for k, v in pairs if isinstance(k, ast.Constant)}


def _used(handlers: ast.expr | None) -> set[str] | None:
    """The names of formatters that handlers use; None where one cannot be read."""
    names: set[str] = set()
    for handler in _by_key(handlers).values():
        named = _by_key(handler).get("formatter")
        if named is not None and not isinstance(named, ast.Constant):
            return None
        names |= {str(named.value)} if isinstance(named, ast.Constant) else set()
    return names or None


def _as_call(rows: dict[str, ast.expr]) -> ast.Call:
    keywords = [ast.keyword(key, value) for key, value in rows.items()]
    at = next(iter(rows.values()))
    return ast.copy_location(ast.Call(ast.Name("ProcessorFormatter"), [], keywords), at)
