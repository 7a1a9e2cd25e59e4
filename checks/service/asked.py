"""Whether the thing whose type a function asks for is a message: not a part of one, a tool, a schema or an argument.

The word that says what a thing is stands last: ``event``, ``self.last_message``, ``chunk``; ``message_part`` and
``event.item`` are no messages. A name that says nothing is one by what it was given, or since a handler takes it.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from checks.service.source import MESSAGES, speaks_of_messages, words_of
from checks.tree.body import Function, walk
from checks.tree.symbols import dotted

_THINGS = MESSAGES | frozenset({"evt", "ev", "data", "payload", "packet", "frame", "request", "requests", "req", "command", "commands", "cmd", "body", "parsed", "notification", "notifications", "update", "updates", "envelope", "chunk", "raw", "incoming", "received", "response", "resp", "reply", "answer", "signal", "header", "action", "operation"})  # fmt: skip
#: of what data may be, so that it is no message: of marks, of a form
_DATA = MESSAGES | frozenset({"", "json", "raw", "parsed", "received", "request", "response", "decoded", "update", "notification", "new", "in", "payload", "frame", "packet"})  # fmt: skip
#: what is inside of a message
_PARTS = frozenset({"item", "part", "block", "tool", "schema", "output", "value", "node", "config", "choice", "channel", "room", "user", "client", "session", "device", "entity", "model", "file", "field", "column", "element", "component", "widget", "sensor", "attachment", "media", "attr", "param", "spec", "target", "member", "account"})  # fmt: skip
_TOLD = frozenset({"event", "events", "evt", "message", "messages", "msg", "notification"})
#: what classes are called that stand for one message, and those that do if their name speaks of messages besides
_CLASSES = frozenset({"event", "events", "message", "messages", "msg", "command", "commands", "cmd", "notification", "packet", "frame"})  # fmt: skip
_ROLES = frozenset({"request", "requests", "response", "responses", "reply", "payload", "action", "handler", "envelope", "update", "body", "data", "in", "out", "incoming", "outgoing"})  # fmt: skip
#: where messages come from
_COMES = re.compile(r"recv|receive|loads|decode|stream|queue(?!\.popleft)|subscri|listen|\bws\b|socket")
#: what functions do that are given messages, and what they are given besides
_TAKES = frozenset({"handle", "handler", "handles", "on", "dispatch", "dispatcher", "process", "receive", "recv", "route", "router", "consume", "consumer", "react", "listen", "listener", "hear", "apply", "feed", "push", "absorb", "callback", "hook", "reducer"})  # fmt: skip
_BESIDE = frozenset({"ws", "websocket", "socket", "sio", "sid", "connection", "conn", "message", "msg", "data", "payload", "body", "packet", "params"})  # fmt: skip
#: what classes are called besides, whatever they stand for: ``MessageOriginUnion`` is one of origins
_FORMS = frozenset({"model", "base", "union", "type", "types"})
_TALK = frozenset({"chat"})
_DEPTH = 3


class Asked:
    """One function and those inside it.

    Args:
        name: dotted, as it stands in the module.
        nodes: all that is in it.
        types: local names that hold a type, each with what that was read from.
        field: the key that holds a message's type.
    """

    def __init__(
        self, name: str, nodes: list[ast.AST], types: Mapping[str, ast.expr | None], field: str
    ) -> None:
        self._types, self._field = types, field
        self._owner = name.rpartition(".")[0].rpartition(".")[2]
        self._functions = [node for node in nodes if isinstance(node, Function)]
        self._given: dict[str, list[ast.expr]] = defaultdict(list)
        for target, value in (pair for node in nodes for pair in _assigned(node)):
            self._given[dotted(target)].append(value)

    def is_type(self, node: ast.expr) -> bool:
        """Whether an expression is the type of a message."""
        plain = dotted(node)
        if plain in self._types:
            return self.is_message(self._types[plain])
        thing = read_from(node, self._field)
        return thing is not None and self.is_message(thing)

    def is_told(self, asked: ast.expr) -> bool:
        """Whether what is asked for is the type of something that is called an event or a message."""
        names = [each for each in walk(asked) if isinstance(each, ast.Name | ast.Attribute)]
        spoken = any(dotted(each) in self._types and speaks_of_messages(dotted(each)) for each in names)
        return spoken or any(_last(_noun(self._types.get(dotted(each)) or each)) in _TOLD for each in names)

    def is_message(self, thing: ast.expr | None, depth: int = _DEPTH) -> bool:
        """None stands for a type that is an argument by itself."""
        if thing is None:
            return any(map(self._takes_messages, self._functions))
        word = _noun(thing)
        if word == "self":
            return _says(self._owner, _THINGS)
        if _is_thing(word) or (isinstance(thing, ast.Call) and _COMES.search(word.lower())):
            return True
        if not isinstance(thing, ast.Name):
            return False
        takers = (each for each in self._functions if thing.id in _arguments(each))
        if _last(word) not in _PARTS | {"data"} and any(
            _says(each.name, _TAKES | _THINGS) for each in takers
        ):
            return True
        return any(self._comes(value, depth - 1) for value in self._given.get(thing.id, ()))

    def _comes(self, value: ast.expr, depth: int) -> bool:
        """Whether a value is a message, or what reads one."""
        while isinstance(value, ast.Await | ast.Starred):
            value = value.value
        if depth < 0:
            return False
        if isinstance(value, ast.Call):
            called = dotted(value.func)
            inner = [*value.args, *(k.value for k in value.keywords)]
            return (
                bool(_COMES.search(called.lower()))
                or self.is_message(value, 0)
                or any(self._comes(each, depth - 1) for each in inner)
            )
        return self.is_message(value, depth)

    def _takes_messages(self, node: Function) -> bool:
        is_one = node.name.strip("_").lower() in _THINGS
        return is_one or _says(node.name, _TAKES) or not _BESIDE.isdisjoint(_arguments(node))


def is_called_so(name: str) -> bool:
    """Whether a class or a union of them is one of messages by its name."""
    *before, last = [word for word in words_of(name) if word] or [""]
    if last in _FORMS and before:
        return is_called_so("_".join(before))
    spoken = MESSAGES - _TALK  # ``ChatModelBase`` is a model
    return last in _CLASSES or (last in _ROLES and not spoken.isdisjoint(words_of(name)))


def key_of(node: ast.AST) -> str:
    """``x["key"]`` and ``x.get("key")``."""
    match node:
        case ast.Subscript(slice=ast.Constant(value=str(key)), ctx=ast.Load()):
            return key
        case ast.Call(func=ast.Attribute(attr="get" | "pop"), args=[ast.Constant(value=str(key)), *_]):
            return key
    return ""


def read_from(node: ast.expr, field: str) -> ast.expr | None:
    """What the type is read from somewhere in an expression: ``x`` of ``Kind(x["type"])`` and of ``x.type``."""
    if isinstance(node, ast.Attribute) and node.attr == field:
        return node.value
    for part in walk(node):
        if key_of(part) == field:
            match part:
                case ast.Subscript(value=thing) | ast.Call(func=ast.Attribute(value=thing)):
                    return thing
    return None


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    match node:
        case (
            ast.Assign(targets=[target, *_], value=value)
            | ast.AnnAssign(target=target, value=ast.expr() as value)
            | ast.NamedExpr(target=target, value=value)
            | ast.For(target=target, iter=value)
            | ast.AsyncFor(target=target, iter=value)
            | ast.comprehension(target=target, iter=value)
        ):
            for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                yield each, value


def _noun(thing: ast.expr) -> str:
    """The name that says what it is: an attribute, the key that it is under, a function that gives it."""
    match thing:
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            return key
        case ast.Subscript(value=inner) | ast.Await(value=inner):
            return _noun(inner)
        case ast.Call(func=ast.Attribute(attr="get" | "pop"), args=[ast.Constant(value=str(key)), *_]):
            return key
        case ast.Call(func=called):
            return dotted(called)
        case ast.BoolOp(values=[first, *_]):
            return _noun(first)
        case ast.Dict(values=[*_, last]):
            return _noun(last)
    return dotted(thing).rpartition(".")[2]


def _is_thing(word: str) -> bool:
    """Whether a name is one of messages; what is called the data of something else is not: ``mark_data``."""
    *before, last = [each for each in words_of(word) if each] or [""]
    return last in _THINGS and (last != "data" or not before or not _DATA.isdisjoint(before))


def _last(word: str) -> str:
    return next((w for w in reversed(words_of(word)) if w), "")


def _says(name: str, words: frozenset[str]) -> bool:
    return not words.isdisjoint(words_of(name))


def _arguments(node: Function) -> frozenset[str]:
    args = node.args
    return frozenset(a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs))
