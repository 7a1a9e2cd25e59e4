"""The service of tests/test_telemetry_contract.py, on ASGI."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import uvicorn

from pipeline.telemetry import SpillwayTelemetry


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/refuse":
        await send({"type": "websocket.http.response.start", "status": 503, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b""})
        return
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            continue
        match json.loads(message["text"]).get("do"):
            case "run":
                for kind in ("agent_started", "token"):
                    await send({"type": "websocket.send", "text": json.dumps({"type": kind})})
                last = bytearray(json.dumps({"type": "agent_completed"}).encode())
                await send({"type": "websocket.send", "bytes": last})
            case "begin":
                await send({"type": "websocket.send", "text": json.dumps({"type": "agent_started"})})
            case "end":
                await send({"type": "websocket.send", "text": json.dumps({"type": "agent_completed"})})
            case "1011":
                await send({"type": "websocket.close", "code": 1011, "reason": "boom"})
            case "drop":
                raise SystemError("dropped")


class Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        sys.stderr.write(f"port {self.servers[0].sockets[0].getsockname()[1]}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    every_s = float(os.environ.get("DRAIN_EVERY_S", "15"))
    config = uvicorn.Config(
        SpillwayTelemetry(app, drain_every_s=every_s),
        "127.0.0.1",
        0,
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
    )
    Server(config).run()
