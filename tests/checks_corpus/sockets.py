"""Cases of what ends a conversation when JSON refuses it: sink x value x way, half of them good code.

Sinks are those of frameworks, helpers of the tree over up to three levels and files, and configured ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from checks.settings import JsonSafeLogs, Settings
from tests.checks_corpus.corpus import Case, marked
from tests.checks_corpus.encoders import GOOD, KINDS

HEAD = """\
import json
import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from starlette.websockets import WebSocketState

from app.kinds import Phase, Text


@dataclass
class Row:
    name: str


"""
VALUES = (
    "Phase.OPEN", "datetime.now()", "uuid.uuid4()", 'Decimal("1")', "{1, 2}", 'ValueError("x")', "timedelta(1)",
    "date.today()", 'Path("x")', "WebSocketState.CONNECTED", 'Row("a")',
)  # fmt: skip


class Sink(NamedTuple):
    """One sink: what the module that uses it begins with, the function around, and the call; ``mark`` if it loses a value."""

    name: str
    imports: str
    head: str
    call: str
    mark: str = "  #!"
    files: dict[str, str] = {}  # noqa: RUF012 - read only
    asked: tuple[str, ...] = ()


_SEND = """\
import json


async def send(socket, payload, kind="x"):
    await socket.send_text(json.dumps({"type": kind, "payload": payload}))
"""
_DEEP = """\
from app.send import send


async def tell(socket, kind, data=None):
    await send(socket, {"kind": kind, "data": data})


async def tell_all(sockets, *, data):
    for socket in sockets:
        await tell(socket, "all", data=data)
"""
_MANAGER = """\
import json

from fastapi import WebSocket


class Manager:
    def __init__(self):
        self.sockets = []

    async def send(self, socket: WebSocket, message: dict):
        await socket.send_json(message)

    async def broadcast(self, message):
        for socket in self.sockets:
            await self.send(socket, {"message": message})

    @staticmethod
    def packed(value):
        return json.dumps(value)


manager = Manager()
"""
_EVENTS = "import json\n\n\ndef event(name, **fields):\n    return json.dumps({'name': name, **fields})\n"
_SAFE_SEND = """\
import json


async def send(socket, payload):
    try:
        text = json.dumps(payload)
    except (TypeError, ValueError):
        text = json.dumps(payload, default=str)
    await socket.send_text(text)
"""
_ENCODED = """\
import json

from fastapi.encoders import jsonable_encoder


async def send(socket, payload):
    payload = jsonable_encoder(payload)
    await socket.send_text(json.dumps(payload))
"""
_OWN_SOCKET = """\
import json


class Socket:
    async def send_json(self, value):
        await self.send(json.dumps(value, default=str))
"""
_DEF = "async def work(websocket, client):"

SINKS = (
    Sink("send_json of a parameter called websocket", "", _DEF, "await websocket.send_json(VALUE)"),
    Sink("send_json, annotated", "from fastapi import WebSocket\n", "async def work(peer: WebSocket):", 'await peer.send_json({"v": VALUE})'),
    Sink("send_json of starlette", "from starlette.websockets import WebSocket\n", "async def work(peer: WebSocket):", "await peer.send_json(data=[VALUE])"),
    Sink("send_json of aiohttp", "from aiohttp import web\n", "async def work(peer: web.WebSocketResponse):", "await peer.send_json(VALUE)"),
    Sink("send_json of something", "", "async def work(peer):", "await peer.send_json(VALUE)", "  #?"),
    Sink("send_text", "", _DEF, 'await websocket.send_text(json.dumps({"v": VALUE}))'),
    Sink("channels", "from channels.generic.websocket import AsyncJsonWebsocketConsumer\n", "class Chat(AsyncJsonWebsocketConsumer):\n    async def work(self):", "await self.send_json({'v': VALUE})"),
    Sink("channels with an encoder", "from channels.generic.websocket import AsyncJsonWebsocketConsumer\n", "class Chat(AsyncJsonWebsocketConsumer):\n    @classmethod\n    async def encode_json(cls, content):\n        return json.dumps(content, default=str)\n\n    async def work(self):", "await self.send_json({'v': VALUE})","  #?"),
    Sink("JSONResponse", "from fastapi.responses import JSONResponse\n", "def work():", 'print(JSONResponse({"v": VALUE}))'),
    Sink("JSONResponse, content", "from starlette.responses import JSONResponse\n", "def work():", "print(JSONResponse(status_code=400, content=[VALUE]))"),
    Sink("JSONResponse of an encoder", "from fastapi.encoders import jsonable_encoder\nfrom fastapi.responses import JSONResponse\n", "def work():", "print(JSONResponse(jsonable_encoder(VALUE)))", ""),
    Sink("json_response", "from aiohttp import web\n", "def work():", 'print(web.json_response({"v": VALUE}))'),
    Sink("json_response with dumps", "import orjson\nfrom aiohttp import web\n", "def work():", "print(web.json_response(VALUE, dumps=orjson.dumps))", ""),
    Sink("socket.io", "import socketio\n\nserver = socketio.AsyncServer()\n", "async def work():", 'await server.emit("x", {"v": VALUE})'),
    Sink("socket.io by its name", "", "async def work(sio):", 'await sio.emit("x", VALUE, room="r")'),
    Sink("flask's socket.io", "from flask_socketio import emit\n", "def work():", 'emit("x", [VALUE])'),
    Sink("requests", "import requests\n", "def work():", 'requests.post("u", json={"v": VALUE})'),
    Sink("requests, a session", "import requests\n", "def work():", 'requests.Session().put("u", json=VALUE)'),
    Sink("httpx", "import httpx\n", "async def work():\n    async with httpx.AsyncClient() as peer:", 'await peer.post("u", json={"v": VALUE})'),
    Sink("aiohttp's client", "import aiohttp\n", "async def work(session: aiohttp.ClientSession):", 'await session.post("u", json=VALUE)'),
    Sink("some client", "", _DEF, 'await client.post("u", json=VALUE)', "  #?"),
    Sink("a helper", "from app.send import send\n", _DEF, "await send(websocket, VALUE)", files={"app/send.py": _SEND}),
    Sink("a helper, by keyword", "from app import send\n", _DEF, "await send.send(websocket, payload={'v': VALUE})", files={"app/send.py": _SEND}),
    Sink("a helper of a helper", "from app.deep import tell\n", _DEF, 'await tell(websocket, "x", VALUE)', files={"app/send.py": _SEND, "app/deep.py": _DEEP}),
    Sink("three deep", "from app.deep import tell_all\n", _DEF, "await tell_all([websocket], data=VALUE)", files={"app/send.py": _SEND, "app/deep.py": _DEEP}),
    Sink("a method of one object", "from app.manager import manager\n", _DEF, "await manager.broadcast(VALUE)", files={"app/manager.py": _MANAGER}),
    Sink("a method, annotated", "from app.manager import Manager\n", "async def work(one: Manager, websocket):", 'await one.send(websocket, {"v": VALUE})', files={"app/manager.py": _MANAGER}),
    Sink("a static method", "from app.manager import Manager\n", "def work():", "print(Manager.packed(VALUE))", files={"app/manager.py": _MANAGER}),
    Sink("keywords that are left over", "from app.events import event\n", "def work():", 'print(event("x", value=VALUE))', files={"app/events.py": _EVENTS}),
    Sink("a helper with another way", "from app.send import send\n", _DEF, "await send(websocket, VALUE)", "", {"app/send.py": _SAFE_SEND}),
    Sink("a helper that encodes", "from app.send import send\n", _DEF, "await send(websocket, VALUE)", "", {"app/send.py": _ENCODED}),
    Sink("a helper's other parameter", "from app.other import note\n", _DEF, "note(VALUE, {'a': 1})", "", {"app/other.py": "import json\n\n\ndef note(value, row):\n    print(value, json.dumps(row))\n"}),
    Sink("a socket of the tree's own", "from app.own import Socket\n", "async def work(websocket: Socket):", "await websocket.send_json(VALUE)", "", {"app/own.py": _OWN_SOCKET}),
    Sink("a configured sink", "from lib import publish\n", "def work():", 'publish("topic", VALUE)', asked=("publish",)),
    Sink("the same name, not configured", "from lib import publish\n", "def work():", 'publish("topic", VALUE)', ""),
    Sink("a try with another way", "", "def work():\n    try:", "print(json.dumps(VALUE))", "", {"after": "    except TypeError:\n        print('?')\n"}),
    Sink("a try with a text", "", "def work():\n    try:", "print(json.dumps(VALUE))", "", {"after": "    except Exception:\n        print(json.dumps({'v': 1}, default=str))\n"}),
    Sink("a try that only logs", "", "def work(log):\n    try:", "print(json.dumps(VALUE))", "  #!", {"after": "    except Exception:\n        log.error('failed')\n"}),
    Sink("emit of a signal", "", "def work(signal):", 'signal.emit("x", VALUE)', ""),
    Sink("a builder called json_response", "from app.own import json_response\n", "def work():", "print(json_response(VALUE))", "", {"app/own.py": "def json_response(value):\n    return str(value)\n"}),
)  # fmt: skip


def cases(seed: int = 14) -> Iterator[Case]:
    """Two trees for each sink: one with values that JSON refuses, one without."""
    for sink in SINKS:
        rng = random.Random(f"{sink.name} {seed}")
        good = [(each, "") for each in rng.sample(GOOD, 6)]
        bad = [(each, sink.mark) for each in rng.sample(VALUES, 6)]
        yield _case(rng, f"{sink.name}: good values", sink, good)
        yield _case(rng, f"{sink.name}: refused ones", sink, [*bad, *good[:2]])


def _case(rng: random.Random, title: str, sink: Sink, lines: list[tuple[str, str]]) -> Case:
    rng.shuffle(lines)
    depth = "    " * len(
        sink.head.split("\n") if ":\n    " in sink.head and "encode" not in sink.head else [1]
    )
    depth = "        " if "encode" in sink.head or sink.head.startswith("class") else depth
    body = "".join(f"{depth}{sink.call.replace('VALUE', value)}{mark}\n" for value, mark in lines)
    files = {path: text for path, text in sink.files.items() if path.endswith(".py")}
    text = f"{sink.imports}{HEAD}{sink.head}\n{body}{sink.files.get('after', '')}"
    whole = {"app/__init__.py": "", "app/kinds.py": KINDS, "app/user.py": text, **files}
    return marked("json-safe-logs", title, whole, Settings(json_safe_logs=JsonSafeLogs(sinks=sink.asked)))
