"""python-socketio behind the telemetry: a namespace with a login, and acknowledged events. BROKEN=drop: no last event."""

import os
from typing import Any

import socketio
import uvicorn

from pipeline.telemetry import SpillwayTelemetry


class Chat(socketio.AsyncNamespace):
    async def on_connect(self, sid: str, _environ: Any, auth: Any) -> None:
        if (auth or {}).get("token") != "let-me-in":
            raise ConnectionRefusedError("not authorized")

    async def on_run(self, sid: str, data: Any) -> dict[str, object]:
        await self.emit("started", {"of": data["text"]}, to=sid)
        await self.emit("picture", {"png": b"\x89PNG"}, to=sid)
        if not os.environ.get("BROKEN"):
            await self.emit("done", {"of": data["text"]}, to=sid)
        return {"ok": True}


server = socketio.AsyncServer(async_mode="asgi", ping_interval=1)
server.register_namespace(Chat("/chat"))
uvicorn.run(SpillwayTelemetry(socketio.ASGIApp(server)), port=int(os.environ["PORT"]), log_level="warning")
