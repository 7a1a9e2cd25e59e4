"""A service, run as an image, that is good until a file appears; then it closes every socket with 1011."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve

FIVE = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")
_SWITCH = Path(sys.argv[-1])


async def hold(connection: ServerConnection) -> None:
    if _SWITCH.exists():
        await connection.close(1011, "internal error")
        return
    await connection.recv()
    for event in FIVE:
        await connection.send(f'{{"type": "{event}"}}')
    await connection.wait_closed()


async def main() -> None:
    async with serve(hold, "127.0.0.1", int(os.environ["PORT"])) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
