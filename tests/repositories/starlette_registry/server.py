import asyncio
import json

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocketDisconnect

REGISTRY = {}


def on(kind):
    def keep(function):
        REGISTRY[kind] = function
        return function

    return keep


@on("ask")
async def ask(socket, message):
    await socket.send_text(json.dumps({"event": "thinking"}))
    for word in message["question"].split():
        await socket.send_text(json.dumps({"event": "token", "text": word}))
    await socket.send_text(json.dumps({"event": "answer"}))


@on("ping")
async def ping(socket, message):
    await socket.send_text(json.dumps({"event": "pong"}))


async def chat(socket):
    await socket.accept()
    try:
        while True:
            message = json.loads(await socket.receive_text())
            handler = REGISTRY.get(message["event"])
            if handler is None:
                await socket.send_text(json.dumps({"event": "error"}))
                continue
            await handler(socket, message)
    except WebSocketDisconnect:
        pass


app = Starlette(routes=[WebSocketRoute("/chat/{room}", chat)])
