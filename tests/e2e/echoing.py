"""A service that wants a login, and that says back all it was told, in every spelling: at its end, or in a close (--bad)."""

from __future__ import annotations

import base64
import json
import os
import sys
from urllib.parse import quote

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve


def spelt(said: str) -> list[str]:
    return [
        said,
        quote(said, safe=""),
        *(base64.b64encode(b"x" * n + said.encode()).decode() for n in range(3)),
    ]


def hold(connection: ServerConnection) -> None:
    assert connection.request
    try:
        login = json.loads(connection.recv())
        heard = [
            login["token"],
            login["file"],
            connection.request.path,
            connection.request.headers["X-Api-Key"],
        ]
        connection.send(json.dumps({"type": "ack", "said": [form for each in heard for form in spelt(each)]}))
        connection.recv()
        if "--bad" in sys.argv:
            connection.close(1011, heard[0])
        connection.send(json.dumps({"type": "done", "said": heard}))
        connection.recv()
    except (ConnectionClosed, KeyError, ValueError):
        connection.close(1011)


if __name__ == "__main__":
    with serve(hold, "127.0.0.1", int(os.environ["PORT"])) as server:
        server.serve_forever()
