"""How a service tells messages apart by their type: mappings, decorators, calls that register, chains of ``if`` and ``match``.

Theory of operation. A *branch* is a message type and the code that is run for it. Its key is a text, or an enum member;
a mapping of texts to enum members (a protocol's table) says which text the member goes by on the wire.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from checks.rules.event_map.conditions import LEAVES
from checks.rules.event_map.keys import KINDS, is_class
from checks.service.classes import classes, literal, methods, named
from checks.service.facts import Place
from checks.service.outline import HANDLES, REGISTER, TYPE_FIELDS
from checks.service.source import Named, Source, place, speaks_of_messages
from checks.service.tables import Module, Table, walked
from checks.tree.body import Function, walk
from checks.tree.symbols import dotted

#: decorators with a text that is no message type
_OTHERS = frozenset({"get", "post", "put", "patch", "delete", "websocket", "websocket_route", "middleware", "exception_handler", "parametrize", "on_startup", "on_shutdown", "option", "argument"})  # fmt: skip
_LIFE = frozenset({"startup", "shutdown", "connect", "disconnect", "http", "websocket"})


class Branch(NamedTuple):
    """One type and its code. Args: home: the function that the code is of, or is in; None where it cannot be found."""

    key: str
    member: str
    style: str
    dispatcher: str
    where: Place
    code: tuple[ast.AST, ...]
    home: Named | None
    table: Table | None = None


def branches(source: Source, type_field: str) -> list[Branch]:
    """Each type once: the first way that leads to code, in the order of the styles."""
    wires: dict[str, tuple[str, Table]] = {}
    made: tuple[list[Branch], ...] = ([], [], [], [], [])
    for path, tree in source.dispatching(type_field):
        module = walked(path, tree)
        for member, wire in _wires(source, module):
            wires.setdefault(member, wire)
        found = (
            _mapped(source, module),
            _decorated(source, module),
            _registered(source, module),
            _chained(source, module, type_field),
            _known(source, module),
        )
        for style, rows in zip(made, found, strict=True):
            style.extend(rows)
    return _each_once(source, [branch for style in made for branch in style], wires)


def _each_once(source: Source, made: list[Branch], wires: dict[str, tuple[str, Table]]) -> list[Branch]:
    found: dict[str, Branch] = {}
    for branch in made:
        wire = wires.get(branch.member)
        key = wire[0] if wire else branch.key
        if key and not _is_of_the_server(key) and not (key in found and found[key].code):
            found[key] = branch._replace(key=key, table=wire[1] if wire else None)
    # a table whose members nobody tells apart is a dispatcher still
    for member, (key, table) in wires.items():
        if key not in found and _is_near_sockets(source, table.where.path):
            found[key] = Branch(key, member, "dict", table.name, table.where, (), None, table)
    return list(found.values())


def _is_of_the_server(key: str) -> bool:
    """Words of the connection's life, of frameworks and of ASGI: no client sends them."""
    return key in _LIFE or key.startswith(("websocket.", "http.", "lifespan."))


def _is_near_sockets(source: Source, path: str) -> bool:
    """Whether a table of texts is one of messages: its file speaks of sockets or messages, or stands beside one that does."""
    folder = path.rpartition("/")[0]
    return any(map(speaks_of_messages, (path, *(p for p in source.paths if p.rpartition("/")[0] == folder))))


def _key_of(node: ast.AST) -> str:
    """``x["key"]`` and ``x.get("key")``."""
    match node:
        case ast.Subscript(slice=ast.Constant(value=str(key)), ctx=ast.Load()):
            return key
        case ast.Call(func=ast.Attribute(attr="get" | "pop"), args=[ast.Constant(value=str(key)), *_]):
            return key
    return ""


def _wires(source: Source, module: Module) -> Iterator[tuple[str, tuple[str, Table]]]:
    """Enum members, the text that a table gives them, and the table."""
    for table, rows in module.tables:
        for key, value in rows:
            if (text := _constant(key)) and (member := source.member(value)):
                yield member, (text, table)


def _constant(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _mapped(source: Source, module: Module) -> Iterator[Branch]:
    for table, rows in module.tables:
        found = [(key, _handler(source, value, module.path)) for key, value in rows]
        for key, handler in found if all(handler for _, handler in found) else ():
            if key is not None and handler is not None and (text := _text(source, key, module.path)):
                home, code = handler
                yield Branch(text, source.member(key), "dict", table.name, table.where, code, home)


def _text(source: Source, node: ast.expr, path: str) -> str:
    """A text, a member, a constant of the service, or the key of a message class."""
    own = literal(source, path, node)
    return _text(source, *own) if own is not None else source.text(node) or source.constant(path, node)


def _handler(source: Source, value: ast.expr, path: str) -> tuple[Named | None, tuple[ast.AST, ...]] | None:
    """What answers: a function, also by its name as text, with arguments bound or beside other things; or a class."""
    match value:
        case ast.Lambda(body=body):
            return None if isinstance(body, ast.Constant) else (None, (body,))
        case ast.Call(func=maker, args=[inner, *_]) if dotted(maker).rpartition(".")[2] == "partial":
            return _handler(source, inner, path)
        case ast.Tuple(elts=[inner, *_]):
            return _handler(source, inner, path)
        case ast.Constant(value=str(name)) if name.isidentifier():
            found = source.function(name, path)
        case ast.Call(func=maker, args=[]):
            return _class(source, maker, path)
        case _:
            found = source.function(dotted(value).rpartition(".")[2], path)
    return (found, tuple(found.node.body)) if found else _class(source, value, path)


def _class(source: Source, value: ast.expr, path: str) -> tuple[Named | None, tuple[ast.AST, ...]] | None:
    home, name = source.inside(path, dotted(value)) if is_class(value) else ("", "")
    made = source.class_in(home, name) if home and name else None
    return (None, methods(made)) if made is not None else None


def _decorated(source: Source, module: Module) -> Iterator[Branch]:
    path = module.path
    handlers = [(each.node, each) for each in module.functions]
    for node, home in (*handlers, *((each, None) for each in module.classes)):
        code = tuple(node.body) if isinstance(node, Function) else methods(node)
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            maker = dotted(called)
            last = maker.rpartition(".")[2]
            found = source.function(last, path)
            if last in _OTHERS or not (last in HANDLES or found is not None):
                continue
            keys = _given(decorator) if isinstance(decorator, ast.Call) else []
            by_itself = "event" if found is None else "__name__"
            if not keys and (last == by_itself or (found is not None and "__name__" in ast.dump(found.node))):
                keys = [ast.Constant(node.name)]
            for key in keys:
                text = _text(source, key, path)
                if text and _is_word(text):
                    where = place(path, decorator)
                    yield Branch(text, source.member(key), "decorator", maker, where, code, home)


def _given(decorator: ast.Call) -> list[ast.expr]:
    named = [each.value for each in decorator.keywords if each.arg in KINDS]
    given = [*decorator.args, *named]
    return [
        key
        for each in given
        for key in (each.elts if isinstance(each, ast.List | ast.Tuple | ast.Set) else [each])
    ]


def _registered(source: Source, module: Module) -> Iterator[Branch]:
    path = module.path
    for node in module.calls:
        maker = dotted(node.func)
        handlers = [*node.args[1:], *(each.value for each in node.keywords)]
        if maker.rpartition(".")[2] not in REGISTER or not node.args or not handlers:
            continue
        text, found = _text(source, node.args[0], path), _handler(source, handlers[0], path)
        if text and _is_word(text) and found is not None:
            home, code = found
            yield Branch(text, source.member(node.args[0]), "call", maker, place(path, node), code, home)


def _known(source: Source, module: Module) -> Iterator[Branch]:
    for each in (*named(source, module), *classes(source, module)):
        if text := _text(source, each.node, each.path):
            member, where = source.member(each.node), place(*each.home)
            yield Branch(text, member, each.style, each.dispatcher, where, each.code, each.handler)


def _is_word(text: str) -> bool:
    return "/" not in text and " " not in text


def _chained(source: Source, module: Module, field: str) -> Iterator[Branch]:
    for home in source.saying(_asking(field), module.functions):
        nodes = list(walk(home.node))
        types = _holding_the_type(home.node, nodes, field)
        for each in nodes:
            if isinstance(each, ast.If | ast.IfExp):
                keys = _compared(each.test, field, types)
                code = tuple(each.body) if isinstance(each, ast.If) else (each.body,)
                yield from _branches(source, keys, each, code, home)
            elif isinstance(each, ast.While | ast.AsyncFor | ast.For | Function):
                yield from _guarded(source, each.body, field, types, home)
            elif isinstance(each, ast.Match):
                is_type = _is_type(each.subject, field, types)
                for case in each.cases:
                    keys = list(_matched(case.pattern, field, is_type=is_type))
                    yield from _branches(source, keys, case.pattern, tuple(case.body), home)


@cache
def _asking(field: str) -> re.Pattern[bytes]:
    """Without which no function asks for a type: a variable for one, the field, or what asks for a class."""
    names = rf"(?<![\"'])\b(?:{'|'.join(TYPE_FIELDS)})\b(?![\"'])"
    return re.compile(rf"{names}|\b(?:isinstance|match|{re.escape(field)})\b".encode())


def _matched(pattern: ast.pattern, field: str, *, is_type: bool) -> Iterator[ast.expr]:
    """What the type is matched with: itself, or in ``{"type": "x"}`` and ``Message(type="x")``."""
    pairs: list[tuple[ast.pattern, bool]] = []
    match pattern:
        case ast.MatchValue(value=value):
            yield from [value] if is_type else []
        case ast.MatchMapping(keys=keys, patterns=several):
            named_so = [isinstance(key, ast.Constant) and key.value == field for key in keys]
            pairs = list(zip(several, named_so, strict=True))
        case ast.MatchClass(cls=made, kwd_attrs=names, kwd_patterns=several):
            yield from [] if field in names else [made]
            pairs = [(inner, name == field) for name, inner in zip(names, several, strict=True)]
        case ast.MatchOr(patterns=several) | ast.MatchSequence(patterns=several):
            pairs = [(inner, is_type) for inner in several]
        case ast.MatchAs(pattern=ast.pattern() as inner):
            pairs = [(inner, is_type)]
    for inner, is_so in pairs:
        yield from _matched(inner, field, is_type=is_so)


def _guarded(
    source: Source, body: list[ast.stmt], field: str, types: frozenset[str], home: Named
) -> Iterator[Branch]:
    """``if kind != "start": continue``, and the code behind it."""
    for number, node in enumerate(body):
        if isinstance(node, ast.If) and isinstance(node.body[-1], LEAVES):
            match node.test:
                case ast.Compare(left=left, ops=[ast.NotEq() | ast.IsNot()], comparators=[right]):
                    if _is_type(left, field, types):
                        yield from _branches(source, [right], node, tuple(body[number + 1 :]), home)


def _branches(
    source: Source, keys: list[ast.expr], node: ast.AST, code: tuple[ast.AST, ...], home: Named
) -> Iterator[Branch]:
    for key in keys:
        if text := _text(source, key, home.path):
            where = place(home.path, node)
            yield Branch(text, source.member(key), "chain", home.name, where, code, home)


def _holding_the_type(node: Function, nodes: list[ast.AST], field: str) -> frozenset[str]:
    """Local names that were given the type, whatever was made of it: ``kind = MessageType(msg["type"])``."""
    given = [pair for n in nodes for pair in _given_to(n)]
    own = {a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg in TYPE_FIELDS}
    own |= {dotted(target) for target, value in given if dotted(target) in TYPE_FIELDS and _is_split(value)}
    if any(_key_of(each) == field for each in nodes):
        own |= {
            dotted(target) for target, value in given if any(_key_of(part) == field for part in walk(value))
        }
    return frozenset(own)


def _given_to(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    match node:
        case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
            yield from zip(targets, values, strict=False)
        case ast.Assign(targets=[ast.Tuple(elts=[target, *_])], value=value):
            yield target, value
        case ast.Assign(targets=[target, *_], value=value) | ast.NamedExpr(target=target, value=value):
            yield target, value


def _is_split(value: ast.expr) -> bool:
    """``kind, *rest = text.split()``."""
    return isinstance(value, ast.Call) and dotted(value.func).endswith("split")


def _is_type(node: ast.expr, field: str, types: frozenset[str]) -> bool:
    plain = dotted(node)
    return plain in types or plain.endswith(f".{field}") or any(_key_of(part) == field for part in walk(node))


def _compared(test: ast.expr, field: str, types: frozenset[str]) -> list[ast.expr]:
    """What the type is compared with."""
    found: list[ast.expr] = []
    for node in walk(test):
        match node:
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
                found += kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]
            case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[right]):
                pair = (left, right) if _is_type(left, field, types) else (right, left)
                found += [pair[1]] if _is_type(pair[0], field, types) else []
            case ast.Compare(
                left=left, ops=[ast.In()], comparators=[ast.Tuple() | ast.Set() | ast.List() as many]
            ):
                found += many.elts if _is_type(left, field, types) else []
    return found
