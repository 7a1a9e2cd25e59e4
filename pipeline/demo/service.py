"""An agent chat over WebSocket, small but whole: a message map, structured logs, five events per run.

    PORT=8080 python -m pipeline.demo.service --behaviour good

The good service is what is written below; what a bad revision does differently is the table ``BEHAVIOURS``, whose remarks
say who meets it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from enum import StrEnum

from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from pipeline.telemetry import SpillwayTelemetry

STEP_S = 0.005  # between two events of an agent


class Behaviour(Struct, frozen=True):
    """Defaults are the good service."""

    unmapped: frozenset[str] = frozenset()  # message types missing from the map: nothing routes them
    left_out: frozenset[str] = frozenset()  # events that are never sent
    close_at_accept: int | None = None  # close code right after the 101 handshake
    logs_raw_state: bool = False  # the state goes into the JSON log line as the enum it is
    breaks_accounts: bool = False  # conversations that carry an account end with 1011
    first_event_s: float = 0.0  # how long until the agent says its first word
    exits_with: int | None = None  # instead of starting
    never_listens: bool = False


BEHAVIOURS: Mapping[str, Behaviour] = {
    "good": Behaviour(),
    "good-2": Behaviour(),  # another build of the same: a rollout needs another digest
    "enum-log": Behaviour(logs_raw_state=True),  # probe: 1006, the handler raises
    "close-1011": Behaviour(close_at_accept=1011),  # probe: 1011
    "unmapped": Behaviour(unmapped=frozenset({"execute_agent"})),  # probe: silence
    "missing-event": Behaviour(left_out=frozenset({"tool_completed"})),  # probe: four of five
    "some-users": Behaviour(breaks_accounts=True),  # users only: probes carry no account
    "slow": Behaviour(first_event_s=0.7),  # latency
    "crash": Behaviour(exits_with=3),  # never ready
    "deaf": Behaviour(never_listens=True),  # never ready
}


class MessageType(StrEnum):
    START_AGENT = "start_agent"
    AGENT_PROGRESS = "agent_progress"
    AGENT_RESPONSE_COMPLETE = "agent_response_complete"


#: What old clients and agents call things, to what the router knows.
LEGACY_MESSAGE_TYPE_MAP: Mapping[str, MessageType] = {
    "execute_agent": MessageType.START_AGENT,
    "agent_started": MessageType.START_AGENT,
    "agent_thinking": MessageType.AGENT_PROGRESS,
    "tool_executing": MessageType.AGENT_PROGRESS,
    "tool_completed": MessageType.AGENT_PROGRESS,
    "agent_completed": MessageType.AGENT_RESPONSE_COMPLETE,
}
EVENTS = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")


def state_for_logging(socket: WebSocket) -> str:
    """The socket's state as text: ``WebSocketState`` is a plain Enum, which JSON refuses."""
    return socket.client_state.name.lower()


class Chat:
    """The service with one behaviour."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._revision = os.environ.get("K_REVISION", "")
        self._routes = {k: v for k, v in LEGACY_MESSAGE_TYPE_MAP.items() if k not in behaviour.unmapped}

    async def healthz(self, _request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "revision": self._revision})

    async def converse(self, socket: WebSocket) -> None:
        """One socket: run an agent for each request until the client leaves."""
        await socket.accept(headers=[(b"x-revision", self._revision.encode())])
        if self._behaviour.close_at_accept is not None:
            await socket.close(self._behaviour.close_at_accept, "internal error")
            return
        self._log(
            "connected",
            state=socket.client_state if self._behaviour.logs_raw_state else state_for_logging(socket),
        )
        try:
            while True:
                await self._handle(socket, await socket.receive_json())
        except WebSocketDisconnect:
            return

    async def _handle(self, socket: WebSocket, message: Mapping[str, object]) -> None:
        if self._routes.get(str(message.get("type"))) is not MessageType.START_AGENT:
            return  # an unknown type is nobody's: the request hangs, as it did in the incident
        payload = message.get("payload")
        if self._behaviour.breaks_accounts and isinstance(payload, dict) and "account" in payload:
            await socket.close(1011, "account lookup failed")
            raise WebSocketDisconnect(1011)
        async for event in self._run_agent():
            await socket.send_json(event)

    async def _run_agent(self) -> AsyncIterator[dict[str, object]]:
        await asyncio.sleep(self._behaviour.first_event_s)
        for kind in EVENTS:
            if kind not in self._behaviour.left_out:
                yield {"type": kind, "revision": self._revision}
            await asyncio.sleep(STEP_S)

    def _log(self, message: str, **fields: object) -> None:
        # No ``default=``: what JSON refuses must not pass unseen.
        print(json.dumps({"severity": "DEBUG", "message": message, **fields}), flush=True)  # noqa: T201


def make_app(behaviour: Behaviour) -> SpillwayTelemetry:
    chat = Chat(behaviour)
    app = Starlette(routes=[Route("/healthz", chat.healthz), WebSocketRoute("/ws", chat.converse)])
    return SpillwayTelemetry(app)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--behaviour", choices=sorted(BEHAVIOURS), default="good")
    behaviour = BEHAVIOURS[parser.parse_args().behaviour]
    if behaviour.exits_with is not None:
        print("RuntimeError: cannot reach the session store", file=sys.stderr)  # noqa: T201
        raise SystemExit(behaviour.exits_with)
    while behaviour.never_listens:
        time.sleep(60)
    import uvicorn

    uvicorn.run(
        make_app(behaviour),
        host=os.environ.get("HOST", "127.0.0.1"),
        port=int(os.environ.get("PORT", "8080")),
        ws="websockets-sansio",
        log_config=None,
        access_log=False,
        lifespan="off",
    )


if __name__ == "__main__":
    main()
