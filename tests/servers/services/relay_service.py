"""A realtime relay: who logs in may ask for an answer, and runs the tools that it calls for. Events come in JSON lines.

BROKEN=close: 1011 as soon as a tool has come to something.
"""

import json
import os
import uuid

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket


async def relay(socket: WebSocket) -> None:
    await socket.accept()

    async def say(*events: dict[str, object]) -> None:
        await socket.send_text(
            "".join(json.dumps({"event_id": str(uuid.uuid4()), **each}) + "\n" for each in events)
        )

    user = call = ""
    async for text in socket.iter_text():
        for message in map(json.loads, text.splitlines()):
            match message["type"]:
                case "session.login" if message["token"] == "let-me-in":
                    user = message["user"]
                    await say({"type": "session.created", "session": {"user": user}})
                case "response.create" if user:
                    call = message["id"]
                    await say(
                        {"type": "response.created", "id": call},
                        {"type": "tool.call", "id": call, "tool": "weather", "arguments": {"city": "Oslo"}},
                    )
                case "tool.result" if user and message["id"] == call:
                    if os.environ.get("BROKEN"):
                        await socket.close(1011, "tool failed")
                        return
                    words = message["output"].split()
                    await say(
                        *({"type": "response.delta", "id": call, "text": word} for word in words),
                        {"type": "response.done", "id": call},
                    )
                case _:
                    await socket.close(1008, "not now")
                    return


uvicorn.run(
    Starlette(routes=[WebSocketRoute("/v1/realtime", relay)]),
    port=int(os.environ["PORT"]),
    log_level="warning",
)
