"""MessagePack in binary frames, by msgpack and Starlette. BROKEN=close: 1011 in the middle of a run."""

import os

import msgpack
import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket


async def chat(socket: WebSocket) -> None:
    await socket.accept()
    async for data in socket.iter_bytes():
        asked = msgpack.unpackb(data)
        for number, kind in enumerate(("started", "token", "done")):
            if number == 1 and os.environ.get("BROKEN"):
                await socket.close(1011, "no room left")
                return
            await socket.send_bytes(msgpack.packb({"event": {"kind": kind, "of": asked["event"]["kind"]}}))


uvicorn.run(
    Starlette(routes=[WebSocketRoute("/ws", chat)]), port=int(os.environ["PORT"]), log_level="warning"
)
