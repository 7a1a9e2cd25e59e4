"""How a formatter, a renderer or a log sink of the tree's own writes what it is given.

Read are one class or function and the functions of its module that it calls. What decides is every ``json.dumps`` in
there: with or without a fallback, and whether values go into it as they are. Where that cannot be seen, nothing is said.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from checks.tree.definitions import Function
from checks.tree.symbols import dotted

Code = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
_DUMPS = frozenset({"dumps", "dump"})
#: calls that hand on what they are given, or only look at it
_HANDING_ON = frozenset(
    {"dict", "list", "items", "update", "copy", "get", "append", "setdefault", "pop", "dumps", "dump", "len", "print",
     "write", "getattr", "hasattr", "vars", "startswith", "info", "log", "msg"}
)  # fmt: skip
_TEXT = frozenset({"str", "repr", "format", "safe_repr"})
_OTHER_ENCODERS = (
    "orjson",
    "ujson",
    "msgspec",
    "rapidjson",
    "simplejson",
    "jsonpickle",
    "serial",
    "encode",
    "json",
)
#: modules that may write in place of ``json`` where they are installed
_FAST_ENCODERS = frozenset({"orjson", "ujson", "msgspec", "rapidjson", "simplejson"})
#: of a record, what is text or a number whatever is logged
_PLAIN_FIELDS = frozenset(
    {"levelname", "levelno", "name", "created", "msecs", "lineno", "funcName", "pathname", "filename", "module", "process",
     "processName", "thread", "threadName", "exc_info", "exc_text", "stack_info", "args", "message", "asctime", "getMessage",
     "relativeCreated", "taskName", "__dict__", "__class__"}
)  # fmt: skip
_REFUSALS = frozenset({"TypeError", "ValueError", "Exception", "BaseException", "OverflowError", ""})


class Written(NamedTuple):
    """``kind`` as in ``Encoder``; ``fields`` are the record's own that it names, ``is_all`` whether it takes all."""

    kind: str
    is_all: bool
    fields: list[str]


def written_by(module: ast.Module, node: Code) -> Written | None:
    """How it writes; None for a class that leaves all of it to what it inherits from."""
    reached = list(_reached(module, node))
    nodes = [child for each in reached for child in ast.walk(each)]
    calls = [child for child in nodes if isinstance(child, ast.Call)]
    dumps = [call for call in calls if _is_dumps(call)]
    is_all, fields = _takes(module, nodes)
    if not dumps:
        words = {dotted(call.func).lower() for call in calls}
        if any(other in word for word in words for other in _OTHER_ENCODERS):
            return Written("unknown", is_all, fields)
        overrides = isinstance(node, ast.ClassDef) and not any(_is_format(n) for n in node.body)
        hands_on = any(isinstance(child, ast.Name) and child.id == "super" for child in nodes)
        return (
            None
            if isinstance(node, ast.ClassDef) and (overrides or hands_on)
            else Written("text", is_all, fields)
        )
    if any(_has_fallback(call) for call in dumps):
        return Written("default", is_all, fields)
    has_another = any(dotted(call.func).partition(".")[0] in _FAST_ENCODERS for call in calls)
    kind = "plain" if not _is_guarded(nodes) and not has_another else "unknown"
    return Written(_changed(nodes) or kind, is_all, fields)


def _is_format(node: ast.stmt) -> bool:
    return isinstance(node, Function) and node.name in ("format", "formatMessage", "emit", "__call__")


def _reached(module: ast.Module, node: Code, depth: int = 2) -> Iterator[ast.AST]:
    """The code, and the functions at the top of its module that it calls."""
    top = {n.name: n for n in module.body if isinstance(n, Function)}
    seen: set[str] = set()
    waiting: list[tuple[ast.AST, int]] = [(node, depth)]
    while waiting:
        each, left = waiting.pop()
        yield each
        for child in ast.walk(each) if left else ():
            if (
                isinstance(child, ast.Name)
                and child.id in top
                and child.id not in seen
                and top[child.id] is not node
            ):
                seen.add(child.id)
                waiting.append((top[child.id], left - 1))


def _is_dumps(call: ast.Call) -> bool:
    name = dotted(call.func)
    return name in ("json.dumps", "json.dump", "dumps") or name.endswith(".json.dumps")


def _has_fallback(call: ast.Call) -> bool:
    return any(keyword.arg in ("default", "cls") or _passes_default(keyword) for keyword in call.keywords)


def _passes_default(keyword: ast.keyword) -> bool:
    """``**options``, which structlog fills with its own ``default``."""
    return keyword.arg is None


def _is_guarded(nodes: Iterable[ast.AST]) -> bool:
    """Whether a refusal is caught: what then happens to the line is not looked into."""
    guards = [node for node in nodes if isinstance(node, ast.Try | ast.TryStar)]
    return any(
        catches(handler)
        for guard in guards
        if any(isinstance(c, ast.Call) and _is_dumps(c) for s in guard.body for c in ast.walk(s))
        for handler in guard.handlers
    )


def catches(handler: ast.ExceptHandler) -> bool:
    """Whether a handler is reached when ``json.dumps`` refuses."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any((dotted(kind).rpartition(".")[2] if kind is not None else "") in _REFUSALS for kind in kinds)


def _takes(module: ast.Module, nodes: list[ast.AST]) -> tuple[bool, list[str]]:
    """Whether all that is on a record may be written, and the fields of it that are named."""
    is_all, fields = False, set[str]()
    given = {a.arg for n in nodes if isinstance(n, Function) for a in n.args.args} - {"self", "cls"}
    turns = {name: words for node in nodes for name, words in _words_in_turn(module, node, nodes)}
    for node in nodes:
        match node:
            case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in given and name != "__dict__":
                fields.add(name)
            case ast.Attribute(attr="__dict__") | ast.Call(func=ast.Name(id="vars")):
                is_all = True
            case ast.Call(
                func=ast.Name(id="getattr" | "hasattr"), args=[_, ast.Constant(value=str(name)), *_]
            ):
                fields.add(name)
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Name(id=name), *_]) if name in turns:
                fields |= turns[name]
            case ast.Call(func=ast.Name(id="getattr")):
                is_all = True
            case ast.Subscript(slice=ast.Constant(value="extra")) | ast.Name(id="event_dict"):
                is_all = True
    return is_all, sorted(fields - _PLAIN_FIELDS)


def _words_in_turn(module: ast.Module, node: ast.AST, nodes: list[ast.AST]) -> Iterator[tuple[str, set[str]]]:
    """``for name in ("user", "phase")``, where the words stand there or under a name of the class or module."""
    if not isinstance(node, ast.For | ast.comprehension) or not isinstance(node.target, ast.Name):
        return
    row: ast.expr = node.iter
    if isinstance(row, ast.Name | ast.Attribute):
        wanted = dotted(row).rpartition(".")[2]
        bound = (n for n in (*module.body, *nodes) if isinstance(n, ast.Assign))
        row = next((n.value for n in bound if wanted in {dotted(t) for t in n.targets}), row)
    if isinstance(row, ast.Call) and row.args:
        row = row.args[0]  # frozenset({...})
    if isinstance(row, ast.Tuple | ast.List | ast.Set):
        yield node.target.id, {str(e.value) for e in row.elts if isinstance(e, ast.Constant)}


def _changed(nodes: list[ast.AST]) -> str:
    """What values become on their way: empty where they go in as they are."""
    loops = {name for node in nodes for name in _values_in_turn(node)}
    kinds = set()
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        word = dotted(node.func).rpartition(".")[2]
        given = {dotted(argument) for argument in node.args}
        if given & loops and word not in _HANDING_ON:
            kinds.add("text" if word in _TEXT else "unknown")
        elif _is_dumps(node) and any(isinstance(a, ast.Call) and _is_foreign(a) for a in node.args[:1]):
            kinds.add("unknown")
    return "unknown" if "unknown" in kinds else "text" if kinds else ""


def _is_foreign(call: ast.Call) -> bool:
    return dotted(call.func).rpartition(".")[2] not in _HANDING_ON


def _values_in_turn(node: ast.AST) -> Iterator[str]:
    """``value`` of ``for key, value in record.__dict__.items()``, and a name that one field is given to."""
    if isinstance(node, ast.For | ast.comprehension):
        target = (
            node.target.elts[-1] if isinstance(node.target, ast.Tuple) and node.target.elts else node.target
        )
        if isinstance(target, ast.Name):
            yield target.id
    elif (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and dotted(node.value.func) == "getattr"
    ):
        yield from (t.id for t in node.targets if isinstance(t, ast.Name))
