"""A small crowd of users who hold whole conversations through the service's main address and count what they felt.

Open loop: the next user comes when it is time, however slow the service is. Every conversation is a client of its own
(an address of its own in X-Forwarded-For, which the local Cloud Run accepts from loopback by a flag). About a third
carry an account, which is what the ``some-users`` revision cannot stand; a few stay on after their run, so that sockets
are still open on a revision that just lost its traffic.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from pipeline.demo.service import EVENTS

_MAX_OPEN = 400
_LINGER_S = (1.0, 6.0)


@dataclass(frozen=True, slots=True)
class Felt:
    """What the crowd met so far. ``by_revision`` counts conversations, ``failed_by_revision`` the bad ones."""

    conversations: int = 0
    ok: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    by_revision: Mapping[str, int] = field(default_factory=dict)
    failed_by_revision: Mapping[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return self.conversations - self.ok

    def since(self, earlier: Felt) -> Felt:
        """What was felt after an earlier count."""
        return Felt(
            self.conversations - earlier.conversations,
            self.ok - earlier.ok,
            _minus(self.failures, earlier.failures),
            _minus(self.by_revision, earlier.by_revision),
            _minus(self.failed_by_revision, earlier.failed_by_revision),
        )


def _minus(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(now) - Counter(before))


class Crowd:
    """Users in a thread of their own. ``start`` and ``stop`` once each.

    Args:
        url: the service's main address, http://host:port.
        rate: conversations begun each second.
        within_s: how long a user waits for all five events.
        accounts: share of conversations that carry an account.
        lingering: share of users who stay on for some seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        rate: float = 100.0,
        within_s: float = 1.0,
        accounts: float = 0.3,
        lingering: float = 0.05,
        seed: int = 0,
    ) -> None:
        self._url = url.replace("http", "ws", 1) + "/ws"
        self._rate = rate
        self._within_s = within_s
        self._accounts = accounts
        self._lingering = lingering
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._ok = 0
        self._failures: Counter[str] = Counter()
        self._met: Counter[str] = Counter()
        self._failed_on: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._leaving = asyncio.Event()
        self._thread = threading.Thread(target=self._live, name="crowd", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Nobody new comes; those who are there finish. Returns when all have left."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._leaving.set)
            self._thread.join()

    def felt(self) -> Felt:
        with self._lock:
            total = self._ok + self._failures.total()
            return Felt(total, self._ok, dict(self._failures), dict(self._met), dict(self._failed_on))

    def _live(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._come_and_go())

    async def _come_and_go(self) -> None:
        begun = self._loop.time()
        async with asyncio.TaskGroup() as users:
            number = 0
            room = asyncio.Semaphore(_MAX_OPEN)
            while not self._leaving.is_set():
                await room.acquire()
                users.create_task(self._visit(number)).add_done_callback(lambda _: room.release())
                number += 1
                wait = begun + number / self._rate - self._loop.time()
                await asyncio.sleep(max(0.0, wait))

    async def _visit(self, number: int) -> None:
        met, failure = "?", ""
        lingers = self._random.random() < self._lingering
        headers = {"X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
        try:
            async with asyncio.timeout(self._within_s + 2):
                socket = await connect(
                    self._url, additional_headers=headers, compression=None, ping_interval=None, proxy=None
                )
            try:
                met = await self._talk(socket)
                self._count(met, "")
                if lingers:
                    await asyncio.wait(
                        [asyncio.ensure_future(self._leaving.wait())],
                        timeout=self._random.uniform(*_LINGER_S),
                    )
            finally:
                await socket.close()
            return
        except _Unhappy as unhappy:
            met, failure = unhappy.met, unhappy.what
        except InvalidHandshake as error:
            status = getattr(getattr(error, "response", None), "status_code", "")
            failure = f"refused {status}".strip()
        except (OSError, TimeoutError):
            failure = "unreachable"
        self._count(met, failure)

    async def _talk(self, socket: object) -> str:
        """One run; the revision that answered. Raises _Unhappy."""
        request: dict[str, object] = {"agent": "triage", "text": "hello"}
        if self._random.random() < self._accounts:
            request["account"] = "a-17"
        met, missing = "?", set(EVENTS)
        try:
            async with asyncio.timeout(self._within_s):
                await socket.send(json.dumps({"type": "execute_agent", "payload": request}))  # type: ignore[attr-defined]
                while missing:
                    event = json.loads(await socket.recv())  # type: ignore[attr-defined]
                    met = event.get("revision", met)
                    missing.discard(event.get("type"))
        except TimeoutError as error:
            raise _Unhappy(met, "no answer") from error
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd else 1006
            raise _Unhappy(met, f"closed {code}") from error
        return met

    def _count(self, met: str, failure: str) -> None:
        with self._lock:
            self._met[met] += 1
            if failure:
                self._failures[failure] += 1
                self._failed_on[met] += 1
            else:
                self._ok += 1


class _Unhappy(Exception):  # noqa: N818 - a feeling, not a fault of ours
    def __init__(self, met: str, what: str) -> None:
        super().__init__(what)
        self.met = met
        self.what = what
