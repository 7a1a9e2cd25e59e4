"""Applications and WebSocket routes, as the common frameworks write them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from checks.service.facts import Application, Route
from checks.service.source import Named, Source, place
from checks.tree.body import walk
from checks.tree.definitions import Function
from checks.tree.symbols import dotted

#: what makes the application, by the top package that it is imported from
_MAKERS = {
    "fastapi": ("FastAPI",),
    "starlette": ("Starlette",),
    "litestar": ("Litestar",),
    "quart": ("Quart",),
    "channels": ("ProtocolTypeRouter",),
    "aiohttp": ("Application",),
    "sanic": ("Sanic",),
    "tornado": ("Application",),
    "socketio": ("ASGIApp", "AsyncServer"),
    "websockets": ("serve",),
}
_FRAMEWORK = {"channels": "django channels", "socketio": "socket.io"}
#: those whose application is ASGI's, so that a middleware can stand around it
ASGI = frozenset({"fastapi", "starlette", "litestar", "quart", "django channels", "socket.io"})
#: a WebSocket's route: as a decorator, as a call, and calls that take any request
_DECORATORS = frozenset({"websocket", "websocket_route", "ws"})
_CALLS = frozenset({"WebSocketRoute", "add_websocket_route", "add_api_websocket_route"})
_ANY = frozenset({"get", "add_get", "add_route", "route"})
_SOCKETS = frozenset({"WebSocketResponse", "WebSocketHandler"})
_EXAMPLE = "example"
_DEPTH = 6

#: file, variable
_Router = tuple[str, str]


def applications(source: Source) -> Iterator[Application]:
    """Those at the top of a module first; one that a function makes names that function, or what holds its result."""
    inside = {
        id(node): function
        for path in source.paths
        for function in source.functions_of(path)
        for node in walk(function.node)
    }
    made = list(_made(source, inside))
    held = {
        (path, dotted(node.value.func)): dotted(node.targets[0])
        for path, node in source.nodes
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and id(node) not in inside
    }
    for row in sorted(made, key=lambda row: bool(row.factory)):
        holder = held.get((row.where.path, row.factory)) if row.factory else None
        yield replace(row, server=holder or row.server, factory="" if holder else row.factory)


def _made(source: Source, inside: Mapping[int, Named]) -> Iterator[Application]:
    for path, node in source.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            target = dotted(node.targets[0])
            framework = _framework(source.full_name(path, dotted(node.value.func)))
            if framework and target:
                maker = inside.get(id(node))
                server = target if maker is None else maker.node.name if _needs_nothing(maker) else ""
                end = node.end_lineno or node.lineno
                factory = maker.node.name if maker else ""
                yield Application(target, framework, place(path, node), end, server, factory)
        elif isinstance(node, ast.withitem | ast.Await):
            call = node.context_expr if isinstance(node, ast.withitem) else node.value
            name = source.full_name(path, dotted(call.func)) if isinstance(call, ast.Call) else ""
            if _framework(name) == "websockets":
                yield Application("", "websockets", place(path, call))


def _needs_nothing(maker: Named) -> bool:
    """Whether a server can call it."""
    args = maker.node.args
    given = len(args.defaults) + sum(default is not None for default in args.kw_defaults)
    return "." not in maker.name and len(args.posonlyargs) + len(args.args) + len(args.kwonlyargs) <= given


def _framework(full: str) -> str:
    package, maker = full.partition(".")[0], full.rpartition(".")[2]
    return _FRAMEWORK.get(package, package) if maker in _MAKERS.get(package, ()) else ""


def routes(source: Source) -> Iterator[Route]:
    """In the order of their files; what stands before the router or mount that they are on goes before."""
    prefixes, mounts = Prefixes(source), _mounts(source)
    for path, node in source.nodes:
        if isinstance(node, Function):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and _is_socket(dotted(decorator.func), node):
                    prefix = prefixes.of(path, dotted(decorator.func).rpartition(".")[0])
                    yield Route(prefix + _address(decorator), node.name, place(path, node))
        elif isinstance(node, ast.Call):
            yield from _called(source, path, node, prefixes, mounts.get(id(node), ""))


def _is_socket(decorator: str, handler: Function) -> bool:
    last = decorator.rpartition(".")[2]
    return last in _DECORATORS or (last in _ANY and _answers_sockets(handler))


def _answers_sockets(node: ast.AST) -> bool:
    return any(
        isinstance(each, ast.Call) and dotted(each.func).rpartition(".")[2] in _SOCKETS for each in walk(node)
    )


def _called(source: Source, path: str, node: ast.Call, prefixes: Prefixes, mount: str) -> Iterator[Route]:
    owner, _, name = dotted(node.func).rpartition(".")
    handler = _handler(node)
    if name in _CALLS:
        yield Route(mount + prefixes.of(path, owner) + _address(node), handler, place(path, node))
    elif name in ("path", "re_path") and "as_asgi" in ast.dump(node):  # Django channels
        yield Route(plain(f"/{_address(node).lstrip('/')}"), handler, place(path, node))
    elif name in _ANY and (found := source.function(handler, path)) and _answers_sockets(found.node):
        yield Route(_address(node), handler, place(path, node))
    elif name == "serve" and _framework(source.full_name(path, dotted(node.func))) == "websockets":
        yield Route("/", dotted(node.args[0]) if node.args else "", place(path, node))


def _mounts(source: Source) -> dict[int, str]:
    """By the node of a route: what stands before it, of the ``Mount`` calls around it."""
    found: dict[int, str] = {}
    for _, node in source.nodes:  # outer ones come first
        if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == "Mount" and node.args:
            prefix = found.get(id(node), "") + _address(node).rstrip("/")
            found |= {id(inner): prefix for inner in walk(node) if inner is not node}
    return found


def _handler(node: ast.Call) -> str:
    given = node.args[1:2] + [k.value for k in node.keywords if k.arg in ("endpoint", "handler")]
    if not given:
        return ""
    inner = given[0].func if isinstance(given[0], ast.Call) else given[0]
    return dotted(inner).removesuffix(".as_asgi").rpartition(".")[2]


def _address(node: ast.Call) -> str:
    given = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "path")]
    text = given[0].value if given and isinstance(given[0], ast.Constant) else "/"
    return plain(text) if isinstance(text, str) else "/"


def plain(path: str) -> str:
    """An address that can be dialled: what stands for a parameter is filled in."""
    path = re.sub(r"\(\?P<\w+>[^)]*\)|\{[^}]*\}|<[^>]*>|(?<=/):\w+", _EXAMPLE, path)
    path = re.split(r"[^\x21-\ud7ff\ue000-\U0010ffff]", path)[0]  # what cannot stand in an address ends it
    return re.sub(r"^/*\^?/*", "/", path.removesuffix("$").replace("/?", "/").replace("\\", ""))


class Prefixes:
    """What stands before the routes of a router: its own prefix, and those under which it is included, and so on."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._own: dict[_Router, str] = {}
        self._above: dict[_Router, tuple[_Router, str]] = {}
        for path, node in source.nodes:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                if dotted(node.value.func).endswith("Router"):
                    self._own[path, dotted(node.targets[0])] = _prefix(node.value)
            elif isinstance(node, ast.Call) and dotted(node.func).endswith(".include_router") and node.args:
                parent = source.home(path, dotted(node.func).removesuffix(".include_router"))
                child = source.home(path, dotted(node.args[0]))
                self._above.setdefault(child, (parent, _prefix(node)))

    def of(self, path: str, router: str) -> str:
        """Args: router: as the file at ``path`` calls it; empty for none."""
        made, at = "", self._source.home(path, router) if router else None
        for _ in range(_DEPTH):
            if at is None:
                break
            above = self._above.get(at)
            made = (above[1] if above else "") + self._own.get(at, "") + made
            at = above[0] if above else None
        return made


def _prefix(node: ast.Call) -> str:
    given = next((k.value for k in node.keywords if k.arg == "prefix"), None)
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else ""
