"""A service, run as an image, whose runs take as many seconds as the client asks for. It looks for orders twice a second."""

from __future__ import annotations

import asyncio
import json
import os

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from pipeline.telemetry import SpillwayTelemetry

FIVE = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")


async def converse(socket: WebSocket) -> None:
    await socket.accept()
    try:
        while True:
            seconds = (await socket.receive_json()).get("seconds", 0)
            for event in FIVE:
                await socket.send_text(json.dumps({"type": event}))
                await asyncio.sleep(seconds / (len(FIVE) - 1) if event != FIVE[-1] else 0)
    except (WebSocketDisconnect, ConnectionAbortedError):
        return


def main() -> None:
    app = SpillwayTelemetry(Starlette(routes=[WebSocketRoute("/ws", converse)]), drain_every_s=0.5)
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["PORT"]), ws="websockets-sansio", log_level="critical", lifespan="off"
    )  # fmt: skip


if __name__ == "__main__":
    main()
