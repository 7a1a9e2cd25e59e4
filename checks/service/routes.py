"""Applications and WebSocket routes, as the common frameworks write them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from checks.service.facts import Application, Route
from checks.service.source import Source, place
from checks.tree.definitions import Function
from checks.tree.symbols import dotted, imported_names

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


def applications(source: Source) -> Iterator[Application]:
    for path, tree in source.trees.items():
        imports = imported_names(path, [n for n in ast.walk(tree) if isinstance(n, ast.stmt)])
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                target = dotted(node.targets[0])
                framework = _framework(dotted(node.value.func), imports)
                if framework and target:
                    yield Application(target, framework, place(path, node), node.end_lineno or node.lineno)


def _framework(name: str, imports: dict[str, str]) -> str:
    first, _, rest = name.partition(".")
    full = ".".join(filter(None, (imports.get(first, ""), rest)))
    package, maker = full.partition(".")[0], full.rpartition(".")[2]
    return _FRAMEWORK.get(package, package) if maker in _MAKERS.get(package, ()) else ""


def routes(source: Source) -> Iterator[Route]:
    """In the order of their files; a prefix of the router that they are on goes before."""
    prefixes = _prefixes(source)
    for path, node in source.nodes():
        if isinstance(node, Function):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and _is_socket(dotted(decorator.func), node):
                    prefix = prefixes.get(dotted(decorator.func).rpartition(".")[0].rpartition(".")[2], "")
                    yield Route(prefix + _address(decorator), node.name, place(path, node))
        elif isinstance(node, ast.Call):
            yield from _called(source, path, node, prefixes)


def _is_socket(decorator: str, handler: Function) -> bool:
    last = decorator.rpartition(".")[2]
    return last in _DECORATORS or (last in _ANY and _answers_sockets(handler))


def _answers_sockets(node: ast.AST) -> bool:
    return any(
        isinstance(each, ast.Call) and dotted(each.func).rpartition(".")[2] in _SOCKETS
        for each in ast.walk(node)
    )


def _called(source: Source, path: str, node: ast.Call, prefixes: dict[str, str]) -> Iterator[Route]:
    owner, _, name = dotted(node.func).rpartition(".")
    handler = _handler(node)
    if name in _CALLS:
        yield Route(prefixes.get(owner.rpartition(".")[2], "") + _address(node), handler, place(path, node))
    elif name in ("path", "re_path") and "as_asgi" in ast.dump(node):  # Django channels
        yield Route(_plain(f"/{_address(node).lstrip('/')}"), handler, place(path, node))
    elif name in _ANY and (found := source.function(handler, path)) and _answers_sockets(found.node):
        yield Route(_address(node), handler, place(path, node))


def _handler(node: ast.Call) -> str:
    given = node.args[1:2] + [k.value for k in node.keywords if k.arg in ("endpoint", "handler")]
    if not given:
        return ""
    inner = given[0].func if isinstance(given[0], ast.Call) else given[0]
    return dotted(inner).removesuffix(".as_asgi").rpartition(".")[2]


def _address(node: ast.Call) -> str:
    given = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "path")]
    text = given[0].value if given and isinstance(given[0], ast.Constant) else "/"
    return _plain(text) if isinstance(text, str) else "/"


def _plain(path: str) -> str:
    """An address that can be dialled: what stands for a parameter is filled in."""
    path = re.sub(r"\(\?P<\w+>[^)]*\)|\{[^}]*\}|<[^>]*>", _EXAMPLE, path)
    return re.sub(r"^/*\^?/*", "/", path.removesuffix("$").replace("/?", "/").replace("\\", ""))


def _prefixes(source: Source) -> dict[str, str]:
    """What stands before the routes of a router, by its variable's name: its own prefix and what it is included under."""
    own: dict[str, str] = {}
    above: dict[str, str] = {}
    for _, node in source.nodes():
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            if dotted(node.value.func).endswith("APIRouter") and (prefix := _prefix(node.value)):
                own[dotted(node.targets[0])] = prefix
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("include_router") and node.args:
            above[dotted(node.args[0]).rpartition(".")[2]] = _prefix(node)
    return {name: above.get(name, "") + own.get(name, "") for name in own.keys() | above.keys()}


def _prefix(node: ast.Call) -> str:
    given = next((k.value for k in node.keywords if k.arg == "prefix"), None)
    return given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else ""
