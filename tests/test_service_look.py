"""What is seen of a service in its source: routes, messages, what is sent for each. Nothing is imported or run."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from checks.service import javascript, look
from checks.service.facts import Service
from tests import repositories
from tests.repositories import FASTAPI, NODE, STARLETTE
from tests.test_checks_examples import plant

FIVE = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]


def seen(folder: Path, **files: str) -> Service:
    return look.look(plant(folder, {f"{name}.py": dedent(text) for name, text in files.items()}))


def sends(service: Service) -> dict[str, list[str]]:
    return {row.type: [sent.type for sent in row.sends] for row in service.handled}


def test_an_enum_map_leads_from_the_wire_to_the_handler(tmp_path: Path) -> None:
    found = look.look(repositories.plant(FASTAPI, tmp_path))
    assert [(r.path, str(r.where)) for r in found.routes] == [("/v1/ws", "app/main.py:13")]
    assert sends(found) == {"execute_agent": FIVE, "ping": ["pong"]}
    start = found.handled[0]
    assert (start.member, start.table, start.style) == (
        "MessageType.START_AGENT",
        "LEGACY_MESSAGE_TYPE_MAP",
        "dict",
    )
    assert start.fields == {"payload": {"agent": "example", "text": "hello"}}
    assert [sent.type for sent in start.sends if sent.repeats] == ["agent_thinking"]
    assert [(a.name, a.framework, a.end) for a in found.applications] == [("app", "fastapi", 24)]


def test_a_decorator_registry_and_another_type_field(tmp_path: Path) -> None:
    found = look.look(repositories.plant(STARLETTE, tmp_path))
    assert found.type_field == "event"
    assert [route.path for route in found.routes] == ["/chat/example"]
    assert sends(found) == {"ask": ["thinking", "token", "answer"], "ping": ["pong"]}
    assert found.handled[0].fields == {"question": "hello"}


def test_a_node_service(tmp_path: Path) -> None:
    folder = repositories.plant(NODE, tmp_path)
    found = javascript.look(folder)
    assert javascript.framework(folder) == "ws"
    assert [route.path for route in found.routes] == ["/socket"]
    assert sends(found) == {"start_run": ["run_started", "step", "run_completed"], "ping": ["pong"]}
    assert found.handled[0].fields == {"payload": {"agent": "example"}}


ROUTES = {
    "fastapi": ('@app.websocket("/ws/{user_id}")\nasync def chat(ws): ...', "/ws/example"),
    "starlette route": ('routes = [WebSocketRoute("/live", Live)]', "/live"),
    "starlette call": ('app.add_websocket_route("/live", live)', "/live"),
    "aiohttp decorator": (
        '@routes.get("/ws")\nasync def chat(request):\n    ws = web.WebSocketResponse()\n    return ws', "/ws",
    ),
    "aiohttp call": (
        'async def chat(request):\n    return web.WebSocketResponse()\napp.router.add_get("/ws", chat)', "/ws",
    ),
    "django channels": ('patterns = [re_path(r"^ws/chat/(?P<room>\\w+)/$", ChatConsumer.as_asgi())]', "/ws/chat/example/"),
    "django path": ('patterns = [path("ws/<int:room>", ChatConsumer.as_asgi())]', "/ws/example"),
    "flask-sock": ('@sock.route("/echo")\ndef echo(ws): ...', None),
    "plain http": ('@app.get("/healthz")\ndef health(): ...', None),
}  # fmt: skip


@pytest.mark.parametrize("name", ROUTES)
def test_a_route_as_each_framework_writes_it(name: str, tmp_path: Path) -> None:
    text, path = ROUTES[name]
    assert [route.path for route in seen(tmp_path, main=text).routes] == ([path] if path else [])


def test_routers_of_one_name_in_several_modules_keep_their_own_prefixes(tmp_path: Path) -> None:
    router = "from fastapi import APIRouter\nrouter = APIRouter(prefix='/{0}')\n@router.websocket('/ws')\nasync def {0}(ws): ...\n"
    main = """
        from fastapi import FastAPI, APIRouter
        from app.api import chat
        from app.api.agents import router as agents_router
        api = APIRouter(prefix="/v1")
        api.include_router(chat.router)
        api.include_router(agents_router, prefix="/inner")
        app = FastAPI()
        app.include_router(api, prefix="/api")
    """
    files = {"app/main.py": dedent(main), "app/__init__.py": "", "app/api/__init__.py": ""}
    files |= {f"app/api/{name}.py": router.format(name) for name in ("chat", "agents")}
    found = look.look(plant(tmp_path, files))
    assert [route.path for route in found.routes] == ["/api/v1/inner/agents/ws", "/api/v1/chat/ws"]


def test_a_mount_stands_before_its_routes(tmp_path: Path) -> None:
    text = "app = Starlette(routes=[Mount('/a', routes=[Mount('/b', routes=[WebSocketRoute('/ws', go)]), WebSocketRoute('/x', go)])])"
    assert {route.path for route in seen(tmp_path, main=text).routes} == {"/a/b/ws", "/a/x"}


MADE = {
    "at the top": ("app = FastAPI()", ("app", "")),
    "by a factory": ("def create_app():\n    app = FastAPI()\n    return app", ("create_app", "create_app")),
    "by one that needs more": ("def make(config):\n    app = FastAPI()\n    return app", ("", "make")),
    "held": (
        "def create_app():\n    app = FastAPI()\n    return app\napplication = create_app()",
        ("application", ""),
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_what_a_server_is_given(name: str, tmp_path: Path) -> None:
    text, wanted = MADE[name]
    (found,) = seen(tmp_path, main=f"from fastapi import FastAPI\n{text}\n").applications
    assert (found.server, found.factory) == wanted


@pytest.mark.parametrize(
    "use", ["async with serve(chat, '', 8080):\n        pass", "await serve(chat, '', 8080)"]
)
def test_the_package_websockets_has_no_routes_and_one_address(use: str, tmp_path: Path) -> None:
    text = f"from websockets.asyncio.server import serve\nasync def chat(ws): ...\nasync def main():\n    {use}\n"
    found = seen(tmp_path, main=text)
    assert [(r.path, r.handler) for r in found.routes] == [("/", "chat")]
    assert found.applications[0].framework == "websockets"


def test_the_words_of_asgi_are_no_messages(tmp_path: Path) -> None:
    text = "async def watched(receive):\n    message = await receive()\n    if message['type'] == 'websocket.disconnect':\n        return\n"
    assert seen(tmp_path, asgi=text).handled == ()


def test_a_mapping_of_functions_that_speaks_of_no_messages_is_none(tmp_path: Path) -> None:
    text = "def upper(text): ...\ndef lower(text): ...\nFILTERS = {'upper': upper, 'lower': lower}\n"
    assert seen(tmp_path, render=text).handled == ()


HELPERS = """
    import json
    from enum import StrEnum, auto

    class Kind(StrEnum):
        START = "start"
        STOP = auto()

    async def begin(ws, message):
        await ws.send_json({"type": "begun", "id": message["id"]})
        if message.get("loud"):
            await ws.send_json({"type": "loud"})
        await ws.send_text(json.dumps(dict(type="done")))
"""
DISPATCH = {
    "dict": 'HANDLERS = {"start": begin}',
    "dict of members": "HANDLERS = {Kind.START: begin}",
    "decorator": '@on("start")\nasync def starts(ws, message):\n    await begin(ws, message)',
    "decorator with a member": '@bus.message(Kind.START)\nasync def starts(ws, message):\n    await begin(ws, message)',
    "call": 'bus.register("start", begin)',
    "if": 'async def loop(ws):\n    message = await ws.receive_json()\n    if message["type"] == "start":\n        await begin(ws, message)',
    "elif of a name": 'async def loop(ws):\n    message = await ws.receive_json()\n    kind = message.get("type")\n    if kind == "x":\n        pass\n    elif kind in ("start",):\n        await begin(ws, message)',
    "match": 'async def loop(ws):\n    message = await ws.receive_json()\n    match message["type"]:\n        case "start":\n            await begin(ws, message)',
    "match of members": 'async def loop(ws):\n    message = await ws.receive_json()\n    match Kind(message["type"]):\n        case Kind.START:\n            await begin(ws, message)',
    "a guard": 'async def loop(ws):\n    async for message in ws.iter_json():\n        if message["type"] != "start":\n            continue\n        await begin(ws, message)',
    "a task": 'async def loop(ws):\n    message = await ws.receive_json()\n    if message["type"] == "start":\n        asyncio.create_task(begin(ws, message))',
}  # fmt: skip


@pytest.mark.parametrize("name", DISPATCH)
def test_a_dispatcher_as_people_write_it(name: str, tmp_path: Path) -> None:
    found = seen(tmp_path, main=dedent(HELPERS) + DISPATCH[name] + "\n")
    assert sends(found)["start"] == ["begun", "done"], "what is sent in any case, and nothing else"


def test_what_cannot_be_read_is_not_seen(tmp_path: Path) -> None:
    found = seen(
        tmp_path,
        broken="def (:",
        loop="async def a(ws): await a(ws)\nH = {'x': a}",
        empty="",
        bad="H = {**x}",
    )
    assert sends(found) == {"x": []}


def test_telemetry_that_is_there_is_seen(tmp_path: Path) -> None:
    found = seen(tmp_path, main="app = FastAPI()\napp.add_middleware(SpillwayTelemetry)\n")
    assert str(found.watched) == "main.py:2"


def test_nothing_is_run(tmp_path: Path) -> None:
    traps = "from pathlib import Path\nPath(__file__).with_name('ran').touch()\n"
    seen(tmp_path, main=traps, conftest=traps, setup=traps)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("written", "path"),
    [("/a/:room", "/a/example"), ("live", "/live"), ("/x y", "/x"), ("/{id}\\n", "/example")],
)
def test_an_address_can_be_dialled(written: str, path: str, tmp_path: Path) -> None:
    """As both languages write it."""
    folder = plant(
        tmp_path,
        {"server.js": f'app.ws("{written}", handler);', "main.py": f'WebSocketRoute("{written}", go)'},
    )
    assert [route.path for route in look.look(folder).routes] == [path]
    assert [route.path.rstrip("\\n") for route in javascript.look(folder).routes] == [path]


NODE_DISPATCH = {
    "switch": 'switch (msg.type) { case "start": send(ws, "begun"); break; case "stop": break; }',
    "if": 'if (msg.type === "start") {\n  send(ws, "begun");\n}',
    "object": "const handlers = {\n  start: begin,\n};\nfunction begin(ws, msg) {\n  send(ws, 'begun');\n}",
    "methods": "const handlers = {\n  async start(ws, msg) {\n    send(ws, 'begun');\n  },\n};",
}


@pytest.mark.parametrize("name", NODE_DISPATCH)
def test_a_dispatcher_in_node(name: str, tmp_path: Path) -> None:
    text = f"function send(ws, type) {{ ws.send(JSON.stringify({{ type }})); }}\n{NODE_DISPATCH[name]}\n"
    found = javascript.look(plant(tmp_path, {"server.js": text}))
    assert sends(found)["start"] == ["begun"]
