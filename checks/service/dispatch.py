"""How a service tells messages apart by their type: mappings, decorators, calls that register, chains of ``if`` and ``match``.

Theory of operation. A *branch* is a message type and the code that is run for it. Its key is a text, or an enum member;
a mapping of texts to enum members (a protocol's table) says which text the member goes by on the wire.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from checks.rules.event_map.conditions import LEAVES
from checks.rules.event_map.keys import KINDS
from checks.service.answers import handler_of, text_of
from checks.service.asked import Asked, is_called_so, key_of, read_from
from checks.service.classes import classes, methods
from checks.service.facts import Place
from checks.service.names import named
from checks.service.outline import HANDLES, REGISTER, TYPE_FIELDS
from checks.service.registries import is_for_shells, keeps, names_itself, wraps
from checks.service.source import Named, Source, place, speaks_of_messages
from checks.service.tables import Module, Table, walked
from checks.tree.body import Function, walk
from checks.tree.stripped import blanking
from checks.tree.symbols import dotted

#: decorators with a text that is no message type
_OTHERS = frozenset({"get", "post", "put", "patch", "delete", "websocket", "websocket_route", "middleware", "exception_handler", "parametrize", "on_startup", "on_shutdown", "option", "argument"})  # fmt: skip
#: calls that register whatever a library is made for
_ANYTHING = frozenset({"register", "add", "add_route", "route"})
_VARIABLES = frozenset(name.encode() for name in TYPE_FIELDS)
#: with quotes: what is quoted is no variable
_WORDS = blanking(b"\"'")
_LIFE = frozenset({"startup", "shutdown", "connect", "disconnect", "http", "websocket"})
_TYPE = re.compile(r"(?!(?:websocket|http|lifespan)\.|(?:audio|image|video|text|application)/)\w")
_VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Branch(NamedTuple):
    """One type and its code.

    Args:
        home: the function that the code is of, or is in; None where it cannot be found.
        is_told: what it is the type of is called an event or a message.
    """

    key: str
    member: str
    style: str
    dispatcher: str
    where: Place
    code: tuple[ast.AST, ...]
    home: Named | None
    table: Table | None = None
    is_told: bool = False


def branches(source: Source, type_field: str) -> list[Branch]:
    """All of them, in the order of the styles, by the texts that the types go by on the wire."""
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
    return list(_on_the_wire(source, [branch for style in made for branch in style], wires))


def each_once(made: Iterable[Branch]) -> list[Branch]:
    """Each type once: the first way that leads to code."""
    found: dict[str, Branch] = {}
    for branch in made:
        if not (branch.key in found and found[branch.key].code):
            found[branch.key] = branch
    return list(found.values())


def _on_the_wire(source: Source, made: list[Branch], wires: dict[str, tuple[str, Table]]) -> Iterator[Branch]:
    for branch in made:
        wire = wires.get(branch.member)
        key = wire[0] if wire else branch.key
        if key and is_type(key):
            yield branch._replace(key=key, table=wire[1] if wire else None)
    # a table whose members nobody tells apart is a dispatcher still
    for member, (key, table) in wires.items():
        if is_type(key) and _is_near_sockets(source, table.where.path):
            yield Branch(key, member, "dict", table.name, table.where, (), None, table)


def is_type(key: str) -> bool:
    """Whether a client may send it: no word of the connection's life, of frameworks, of ASGI or of HTTP."""
    return key not in _LIFE and key not in _VERBS and _TYPE.match(key) is not None


def _is_near_sockets(source: Source, path: str) -> bool:
    """Whether a table of texts is one of messages: its file speaks of sockets or messages, or stands beside one that does."""
    folder = path.rpartition("/")[0]
    return any(map(speaks_of_messages, (path, *(p for p in source.paths if p.rpartition("/")[0] == folder))))


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
        found = [(key, handler_of(source, value, module.path)) for key, value in rows]
        for key, handler in found if all(handler for _, handler in found) else ():
            if key is not None and handler is not None and (text := text_of(source, key, module.path)):
                home, code = handler
                yield Branch(text, source.member(key), "dict", table.name, table.where, code, home)


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
            if last in _OTHERS or not _is_registry(last, found) or is_for_shells(source, path, last):
                continue
            keys = _given(decorator) if isinstance(decorator, ast.Call) else []
            by_itself = "event" if found is None else "__name__"
            if not keys and (last == by_itself or (found is not None and names_itself(found.node))):
                keys = [ast.Constant(node.name)]
            for key in keys:
                text = text_of(source, key, path)
                if text and _is_word(text):
                    where = place(path, decorator)
                    yield Branch(text, source.member(key), "decorator", maker, where, code, home)


def _is_registry(name: str, found: Named | None) -> bool:
    """Whether a decorator keeps what it stands above; one that cannot be read does if it is called like one."""
    if name in HANDLES:
        return found is None or not wraps(found.node)
    return found is not None and keeps(found.node)


def _given(decorator: ast.Call) -> list[ast.expr]:
    named = [each.value for each in decorator.keywords if each.arg in KINDS]
    given = decorator.args or named
    return [
        key
        for each in given
        for key in (each.elts if isinstance(each, ast.List | ast.Tuple | ast.Set) else [each])
    ]


def _registered(source: Source, module: Module) -> Iterator[Branch]:
    path = module.path
    for node in module.told:
        maker = dotted(node.func)
        handlers = [*node.args[1:], *(each.value for each in node.keywords)]
        if maker.rpartition(".")[2] not in REGISTER or not node.args or not handlers:
            continue
        text, found = text_of(source, node.args[0], path), handler_of(source, handlers[0], path)
        last = maker.rpartition(".")[2]
        if last in _ANYTHING and _is_foreign(source, path, maker) and not speaks_of_messages(maker):
            continue
        if text and _is_word(text) and found is not None:
            home, code = found
            yield Branch(text, source.member(node.args[0]), "call", maker, place(path, node), code, home)


def _is_foreign(source: Source, path: str, maker: str) -> bool:
    """Whether it is imported from outside of the tree."""
    return source.full_name(path, maker) != maker and source.inside(path, maker) == ("", "")


def _known(source: Source, module: Module) -> Iterator[Branch]:
    for each in (*named(source, module), *classes(source, module)):
        if text := text_of(source, each.node, each.path):
            member, where = source.member(each.node), place(*each.home)
            is_told = each.style == "class" and is_called_so(each.dispatcher)
            yield Branch(
                text, member, each.style, each.dispatcher, where, each.code, each.handler, is_told=is_told
            )


def _is_word(text: str) -> bool:
    return "/" not in text and " " not in text


def _chained(source: Source, module: Module, field: str) -> Iterator[Branch]:
    outer = ""
    for home in source.saying(partial(_may_ask, field), module.functions):
        if outer and home.name.startswith(outer):
            continue  # it was walked with the function around it
        outer = f"{home.name}."
        nodes = list(walk(home.node))
        types = _holding_the_type(home.node, nodes, field)
        asked = Asked(home.name, nodes, types, field)
        for each in nodes:
            if isinstance(each, ast.If | ast.IfExp):
                keys = _compared(each.test, asked)
                code = tuple(each.body) if isinstance(each, ast.If) else (each.body,)
                yield from _branches(source, keys, each, code, home, asked.is_told(each.test))
            elif isinstance(each, ast.While | ast.AsyncFor | ast.For | Function):
                yield from _guarded(source, each.body, asked, home)
            elif isinstance(each, ast.Match):
                is_type = asked.is_type(each.subject)
                is_message = is_type or asked.is_message(each.subject)
                for case in each.cases if is_message else ():
                    keys = list(_matched(case.pattern, field, is_type=is_type))
                    yield from _branches(
                        source, keys, case.pattern, tuple(case.body), home, asked.is_told(each.subject)
                    )


def _may_ask(field: str, text: bytes) -> bool:
    """Whether a function may ask for a type: it has a variable for one, the field, or what asks for a class."""
    if any(word in text for word in (field.encode(), b"isinstance")) or (
        b"match" in text and b"case" in text
    ):
        return True
    return not _VARIABLES.isdisjoint(text.translate(_WORDS).split())


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


def _guarded(source: Source, body: list[ast.stmt], asked: Asked, home: Named) -> Iterator[Branch]:
    """``if kind != "start": continue``, and the code behind it."""
    for number, node in enumerate(body):
        if isinstance(node, ast.If) and isinstance(node.body[-1], LEAVES):
            match node.test:
                case ast.Compare(left=left, ops=[ast.NotEq() | ast.IsNot()], comparators=[right]):
                    if asked.is_type(left):
                        yield from _branches(source, [right], node, tuple(body[number + 1 :]), home)


def _branches(
    source: Source,
    keys: list[ast.expr],
    node: ast.AST,
    code: tuple[ast.AST, ...],
    home: Named,
    is_told: bool = False,
) -> Iterator[Branch]:
    for key in keys:
        text, member = text_of(source, key, home.path), source.member(key)
        if text or member:
            where = place(home.path, node)
            yield Branch(text, member, "chain", home.name, where, code, home, is_told=is_told)


def _holding_the_type(node: Function, nodes: list[ast.AST], field: str) -> dict[str, ast.expr | None]:
    """Local names that were given the type, whatever was made of it: ``kind = MessageType(msg["type"])``.

    Each with what the type was read from; None where it was not read.
    """
    given = [pair for n in nodes for pair in _given_to(n)]
    own: dict[str, ast.expr | None] = {}
    own |= dict.fromkeys(a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg in TYPE_FIELDS)
    for target, value in given:
        if dotted(target) in TYPE_FIELDS and _is_split(value):
            own[dotted(target)] = None
    if any(key_of(each) == field for each in nodes):
        for target, value in given:
            thing = read_from(value, field)
            if thing is not None:
                own[dotted(target)] = thing
    return own


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


def _compared(test: ast.expr, asked: Asked) -> list[ast.expr]:
    """What the type is compared with."""
    found: list[ast.expr] = []
    for node in walk(test):
        match node:
            case ast.Call(func=ast.Name(id="isinstance"), args=[thing, kinds]) if asked.is_message(thing):
                found += kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]
            case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[right]):
                pair = (left, right) if asked.is_type(left) else (right, left)
                found += [pair[1]] if asked.is_type(pair[0]) else []
            case ast.Compare(
                left=left, ops=[ast.In()], comparators=[ast.Tuple() | ast.Set() | ast.List() as many]
            ):
                found += many.elts if asked.is_type(left) else []
    return found
