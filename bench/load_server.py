"""A service that answers ``execute_agent`` with the five events of an agent's run: what both tools of ``probe_load`` talk to.

    python -m bench.load_server

Prints its port. It speaks as much of RFC 6455 as that conversation takes and no more, so that it is faster than either
tool and what is measured is theirs. Each event is written by itself, as services do.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import cast

import uvloop
from websockets.frames import Frame, Opcode
from websockets.utils import accept_key, apply_mask

NAMES = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")
_EVENTS = [
    Frame(Opcode.TEXT, json.dumps({
        "type": name, "payload": {"thread": "t-1", "run": 7, "text": "the next piece of an answer"},
    }).encode()).serialize(mask=False)
    for name in NAMES
]  # fmt: skip
_KEY = re.compile(rb"(?i)\r\nsec-websocket-key: *(\S+)")


class Agent(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._unread = b""
        self._is_open = False

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if not self._is_open:
            self._shake_hands()
        while self._is_open and (frame := self._next()):
            opcode, payload = frame
            if opcode == Opcode.CLOSE:
                self._transport.write(Frame(Opcode.CLOSE, payload).serialize(mask=False))
                self._transport.close()
                return
            if opcode == Opcode.TEXT and json.loads(payload)["type"] == "execute_agent":
                self._say(0)

    def _shake_hands(self) -> None:
        head, end, rest = self._unread.partition(b"\r\n\r\n")
        key = _KEY.search(head)
        if not end or key is None:
            return
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_key(key[1].decode()).encode() + b"\r\n\r\n"
        )
        self._unread, self._is_open = rest, True

    def _next(self) -> tuple[int, bytes] | None:
        """Opcode and payload of the next frame, all of which are masked and short; None where it is not whole."""
        if len(self._unread) < 6 or len(self._unread) < (end := 6 + (self._unread[1] & 0x7F)):
            return None
        opcode, payload = self._unread[0] & 0x0F, apply_mask(self._unread[6:end], self._unread[2:6])
        self._unread = self._unread[end:]
        return opcode, payload

    def _say(self, number: int) -> None:
        if number < len(_EVENTS) and not self._transport.is_closing():
            self._transport.write(_EVENTS[number])
            self._loop.call_soon(self._say, number + 1)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Agent, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
