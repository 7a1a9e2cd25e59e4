"""A service, run as an image: one socket for each conversation, the standard library alone, up within 30 ms.

    python -I service.py FOLDER

It fails the conversations of everybody (close code 1011) while FOLDER holds a file ``fails``, and answers nobody while
there is one called ``hangs``.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socketserver
import struct
import sys

FIVE = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")
_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE = 0x81, 0x88


class Conversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        head = {}
        while (line := self.rfile.readline().strip()) or not head:
            name, _, value = line.partition(b":")
            head[name.lower()] = value.strip()
            if not line:
                return
        if b"sec-websocket-key" not in head:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        accept = base64.b64encode(hashlib.sha1(head[b"sec-websocket-key"] + _KEY).digest()).decode()
        answer = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        self.wfile.write(answer.encode())
        self._converse()

    def _converse(self) -> None:
        self._read()
        if is_wished("hangs"):
            self._read()
            return
        if is_wished("fails"):
            self._send(_CLOSE, struct.pack(">H", 1011))
        else:
            for event in FIVE:
                self._send(_TEXT, f'{{"type": "{event}"}}'.encode())
        if self._read() == _CLOSE:
            self._send(_CLOSE, struct.pack(">H", 1000))

    def _send(self, kind: int, body: bytes) -> None:
        self.wfile.write(bytes((kind, len(body))) + body)

    def _read(self) -> int:
        """One short frame of the client's; its kind."""
        kind, size = (*self.rfile.read(2), 0, 0)[:2]
        size &= 0x7F
        if size == 126:
            (size,) = struct.unpack(">H", self.rfile.read(2))
        self.rfile.read(size + 4)
        return kind


def is_wished(what: str) -> bool:
    return os.path.exists(os.path.join(sys.argv[1], what))  # noqa: PTH118 - pathlib would cost its import


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that left."""


if __name__ == "__main__":
    Server(("127.0.0.1", int(os.environ["PORT"])), Conversation).serve_forever()
