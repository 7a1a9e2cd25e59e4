"""How a service tells messages apart by their type: mappings, decorators, calls that register, chains of ``if`` and ``match``.

Theory of operation. A *branch* is a message type and the code that is run for it. Its key is a text, or an enum member;
a mapping of texts to enum members (a protocol's table) says which text the member goes by on the wire.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from checks.service.facts import Place
from checks.service.outline import HANDLES, REGISTER, TYPE_FIELDS
from checks.service.source import Named, Source, place, speaks_of_messages
from checks.tree.body import functions
from checks.tree.definitions import Function
from checks.tree.symbols import dotted

#: decorators with a text that is no message type
_OTHERS = frozenset({"get", "post", "put", "patch", "delete", "websocket", "websocket_route", "middleware", "exception_handler", "parametrize", "on_startup", "on_shutdown", "option", "argument"})  # fmt: skip
_LIFE = frozenset({"startup", "shutdown", "connect", "disconnect", "http", "websocket"})


_LEAVES = (ast.Return, ast.Continue, ast.Break, ast.Raise)


class Table(NamedTuple):
    """A mapping that is assigned to a name."""

    name: str
    where: Place


Rows = list[tuple[ast.expr | None, ast.expr]]


class Module(NamedTuple):
    """One file in which messages may be told apart, walked once. Args: tables: with what each maps."""

    path: str
    calls: list[ast.Call]
    tables: list[tuple[Table, Rows]]
    functions: list[Named]


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
    made: tuple[list[Branch], ...] = ([], [], [], [])
    for path, tree in source.dispatching(type_field):
        module = _walked(path, tree)
        for member, wire in _wires(source, module):
            wires.setdefault(member, wire)
        found = (
            _mapped(source, module),
            _decorated(source, module),
            _registered(source, module),
            _chained(source, module, type_field),
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


def _walked(path: str, tree: ast.Module) -> Module:
    calls, tables = list[ast.Call](), list[tuple[Table, Rows]]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            calls.append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            rows = list(zip(node.value.keys, node.value.values, strict=True))
            if rows and (name := dotted(target).removeprefix("self.")):
                tables.append((Table(name, place(path, node)), rows))
    return Module(path, calls, tables, [Named(path, name, node) for name, node in functions(tree)])


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
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(key)), *_]):
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
        found = [(key, source.function(dotted(value).rpartition(".")[2], module.path)) for key, value in rows]
        for key, handler in found if all(handler for _, handler in found) else ():
            if key is not None and handler is not None and (text := source.text(key)):
                code = tuple(handler.node.body)
                yield Branch(text, source.member(key), "dict", table.name, table.where, code, handler)


def _decorated(source: Source, module: Module) -> Iterator[Branch]:
    path = module.path
    for home in module.functions:
        for decorator in home.node.decorator_list:
            if not (isinstance(decorator, ast.Call) and decorator.args):
                continue
            maker, text = dotted(decorator.func), source.text(decorator.args[0])
            last = maker.rpartition(".")[2]
            is_known = last in HANDLES or source.function(last, path) is not None
            if text and _is_word(text) and last not in _OTHERS and is_known:
                member, code = source.member(decorator.args[0]), tuple(home.node.body)
                yield Branch(text, member, "decorator", maker, place(path, decorator), code, home)


def _registered(source: Source, module: Module) -> Iterator[Branch]:
    path = module.path
    for node in module.calls:
        match node:
            case ast.Call(args=[key, handler, *_]) if dotted(node.func).rpartition(".")[2] in REGISTER:
                text = source.text(key)
                found = source.function(dotted(handler).rpartition(".")[2], path)
                if text and _is_word(text) and found is not None:
                    code = tuple(found.node.body)
                    yield Branch(
                        text, source.member(key), "call", dotted(node.func), place(path, node), code, found
                    )


def _is_word(text: str) -> bool:
    return "/" not in text and " " not in text


def _chained(source: Source, module: Module, field: str) -> Iterator[Branch]:
    for home in module.functions:
        types = _holding_the_type(home.node, field)
        for each in ast.walk(home.node):
            if isinstance(each, ast.If):
                keys, code = _compared(each.test, field, types), tuple(each.body)
                yield from _branches(source, keys, each, code, home)
            elif isinstance(each, ast.While | ast.AsyncFor | ast.For | Function):
                yield from _guarded(source, each.body, field, types, home)
            elif isinstance(each, ast.Match) and _is_type(each.subject, field, types):
                for case in each.cases:
                    keys = [v.value for v in ast.walk(case.pattern) if isinstance(v, ast.MatchValue)]
                    yield from _branches(source, keys, case.pattern, tuple(case.body), home)


def _guarded(
    source: Source, body: list[ast.stmt], field: str, types: frozenset[str], home: Named
) -> Iterator[Branch]:
    """``if kind != "start": continue``, and the code behind it."""
    for number, node in enumerate(body):
        if isinstance(node, ast.If) and isinstance(node.body[-1], _LEAVES):
            match node.test:
                case ast.Compare(left=left, ops=[ast.NotEq() | ast.IsNot()], comparators=[right]):
                    if _is_type(left, field, types):
                        yield from _branches(source, [right], node, tuple(body[number + 1 :]), home)


def _branches(
    source: Source, keys: list[ast.expr], node: ast.AST, code: tuple[ast.AST, ...], home: Named
) -> Iterator[Branch]:
    for key in keys:
        if text := source.text(key):
            where = place(home.path, node)
            yield Branch(text, source.member(key), "chain", home.name, where, code, home)


def _holding_the_type(node: Function, field: str) -> frozenset[str]:
    """Local names that were given the type, whatever was made of it: ``kind = MessageType(msg["type"])``."""
    given = [n for n in ast.walk(node) if isinstance(n, ast.Assign | ast.NamedExpr)]
    own = {a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg in TYPE_FIELDS}
    return frozenset(own) | {
        dotted(n.targets[0] if isinstance(n, ast.Assign) else n.target)
        for n in given
        if any(_key_of(part) == field for part in ast.walk(n.value))
    }


def _is_type(node: ast.expr, field: str, types: frozenset[str]) -> bool:
    plain = dotted(node)
    return (
        plain in types
        or plain.endswith(f".{field}")
        or any(_key_of(part) == field for part in ast.walk(node))
    )


def _compared(test: ast.expr, field: str, types: frozenset[str]) -> list[ast.expr]:
    """What the type is compared with."""
    found: list[ast.expr] = []
    for node in ast.walk(test):
        match node:
            case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[right]):
                pair = (left, right) if _is_type(left, field, types) else (right, left)
                found += [pair[1]] if _is_type(pair[0], field, types) else []
            case ast.Compare(
                left=left, ops=[ast.In()], comparators=[ast.Tuple() | ast.Set() | ast.List() as many]
            ):
                found += many.elts if _is_type(left, field, types) else []
    return found
