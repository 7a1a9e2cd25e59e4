"""A small crowd of users who hold whole conversations through the service's main address and count what they felt.

    python -m pipeline.demo.crowd http://127.0.0.1:8080 --rate 100

A process of its own, so that neither the engine nor the live view can slow a user down (``users.py`` holds the other
end). Each line on stdin is answered by one line of JSON, ``Felt`` so far; at its end nobody new comes, those who are
there finish, and the last count is printed.

Open loop: the next user comes when it is time, however slow the service is. Every conversation is a client of its own
(an address of its own in X-Forwarded-For, which the local Cloud Run accepts from loopback by a flag). About a third
carry an account, which is what the ``some-users`` revision cannot stand; a few stay on after their run, so that sockets
are still open on a revision that just lost its traffic.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from contextlib import suppress

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from pipeline.demo.service import EVENTS
from pipeline.demo.users import Felt

_MAX_OPEN = 400
_LINGER_S = (1.0, 6.0)


class Crowd:
    """Users of one service.

    Args:
        url: the service's main address, http://host:port.
        rate: conversations begun each second.
        patience_s: how long a user waits for all five events; longer than the service promises.
        accounts: share of conversations that carry an account.
        lingering: share of users who stay on for some seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        rate: float = 100.0,
        patience_s: float = 5.0,
        accounts: float = 0.3,
        lingering: float = 0.05,
        seed: int = 0,
    ) -> None:
        self._url = url.replace("http", "ws", 1) + "/ws"
        self._rate = rate
        self._patience_s = patience_s
        self._accounts = accounts
        self._lingering = lingering
        self._random = random.Random(seed)
        self.felt = Felt()
        self.leaving = asyncio.Event()

    async def come_and_go(self) -> None:
        """Until ``leaving`` is set (nobody new comes, those who linger go), and then until the last one has finished."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.TaskGroup() as users:
            number = 0
            room = asyncio.Semaphore(_MAX_OPEN)
            while not self.leaving.is_set():
                await room.acquire()
                users.create_task(self._visit(number)).add_done_callback(lambda _: room.release())
                number += 1
                await asyncio.sleep(max(0.0, begun + number / self._rate - loop.time()))

    async def _visit(self, number: int) -> None:
        lingers = self._random.random() < self._lingering
        headers = {"X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
        try:
            async with asyncio.timeout(self._patience_s):
                socket = await connect(
                    self._url, additional_headers=headers, compression=None, ping_interval=None, proxy=None
                )
        except InvalidHandshake as error:
            status = getattr(getattr(error, "response", None), "status_code", "")
            self.felt.count("?", f"refused {status}".strip())
            return
        except (OSError, TimeoutError):
            self.felt.count("?", "unreachable")
            return
        async with socket:
            self.felt.count(*await self._talk(socket))
            if lingers:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._random.uniform(*_LINGER_S)):
                        await self.leaving.wait()

    async def _talk(self, socket: ClientConnection) -> tuple[str, str]:
        """One run: the revision that answered, and what went wrong, empty for a whole conversation."""
        request: dict[str, object] = {"agent": "triage", "text": "hello"}
        if self._random.random() < self._accounts:
            request["account"] = "a-17"
        met = socket.response.headers.get("X-Revision", "?") if socket.response else "?"
        missing = set(EVENTS)
        try:
            async with asyncio.timeout(self._patience_s):
                await socket.send(json.dumps({"type": "execute_agent", "payload": request}))
                while missing:
                    missing.discard(json.loads(await socket.recv()).get("type"))
        except TimeoutError:
            return met, "no answer"
        except ConnectionClosed as error:
            return met, f"closed {error.rcvd.code if error.rcvd else 1006}"
        return met, ""


async def _live(crowd: Crowd) -> None:
    """The crowd, and its counts for whoever asks on stdin."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    visits = asyncio.create_task(crowd.come_and_go())
    while await reader.readline():
        print(msgspec.json.encode(crowd.felt).decode(), flush=True)  # noqa: T201 - to whoever asked
    crowd.leaving.set()
    await visits
    print(msgspec.json.encode(crowd.felt).decode(), flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(description="Users of the demo service.")
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=100.0)
    given = parser.parse_args()
    asyncio.run(_live(Crowd(given.url, rate=given.rate)))


if __name__ == "__main__":
    main()
