"""A real HTTP server that keeps what is posted to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """A server that keeps what is posted, and answers with the next status of its list, then 200.

    Args:
        is_endless: no answer's body ends before the client leaves.
    """

    statuses: list[int] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    raw: list[tuple[bytes, Mapping[str, str]]] = field(default_factory=list)
    url: str = ""
    is_endless: bool = False


@contextmanager
def receiving() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.raw.append((body, {name.lower(): value for name, value in self.headers.items()}))
            kept.bodies.append(json.loads(body))
            self.send_response(kept.statuses.pop(0) if kept.statuses else 200)
            self.end_headers()
            if kept.is_endless:
                self.connection.recv(1)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
