"""A service, run as an image, that says what a CI log would take for commands wherever it can say anything."""

from __future__ import annotations

import json
import os
import sys

from websockets.sync.server import ServerConnection, serve

#: Any word of it may come to a line's start, however it is wrapped.
SHOUT = "::error::a ##[error]b " * 5


def hold(connection: ServerConnection) -> None:
    line = json.dumps({"severity": "ERROR", "message": f"\n{SHOUT}"})
    sys.stdout.write(f"\r{SHOUT}\n{line}\n")
    sys.stdout.flush()
    sys.stderr.write(f"\u200b {SHOUT}\n")
    connection.recv()
    connection.send(json.dumps({"type": "agent_started"}))
    connection.send(json.dumps({"type": SHOUT, "payload": f"\n{SHOUT}"}))
    connection.send(f"\n{SHOUT}")
    connection.close(1011, SHOUT)


if __name__ == "__main__":
    if sys.argv[1:] == ["crash"]:
        sys.exit(f"{SHOUT}\n{SHOUT}")
    serve(hold, "127.0.0.1", int(os.environ["PORT"])).serve_forever()
