"""Which revision answered, told to a probe and to nobody else.

A probe that comes by a load balancer cannot know where it was led. The answer to a request whose ``X-Spillway-Probe``
shows knowledge of this revision's nonce carries ``X-Spillway-Revision``, which shows the same; no other request gets it.
A refusal carries it too, where the server lets an app answer a handshake (ASGI's ``websocket.http.response``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

PROBE_HEADER = b"x-spillway-probe"
REVISION_HEADER = b"x-spillway-revision"

_ANSWERS = ("websocket.accept", "websocket.http.response.start", "http.response.start")


def probe_key(nonce: str) -> str:
    """What a probe's ``X-Spillway-Probe`` header holds: shows knowledge of the nonce without telling it."""
    return hashlib.sha256(f"spillway probe {nonce}".encode()).hexdigest()[:32]


def revision_mark(nonce: str) -> str:
    """What the answer's ``X-Spillway-Revision`` holds: it cannot be made of a probe's key."""
    return hashlib.sha256(f"spillway revision {nonce}".encode()).hexdigest()[:32]


def is_probe(headers: Iterable[tuple[bytes, bytes]], nonce: str) -> bool:
    """Whether a request is a probe's of this revision; a probe that may be led to either of two names both."""
    given = dict(headers).get(PROBE_HEADER)
    if given is None:  # a user's, as nearly all are
        return False
    return probe_key(nonce) in map(str.strip, given.decode("latin-1").split(","))


def proving(scope: MutableMapping[str, Any], send: Send, nonce: str) -> Proving | None:
    """For a probe's request; None for anybody else's."""
    is_asked = nonce and is_probe(scope.get("headers") or (), nonce)
    return Proving(scope, send, nonce) if is_asked else None


class Proving:
    """A ``send`` that proves to a probe who answers."""

    def __init__(self, scope: MutableMapping[str, Any], send: Send, nonce: str) -> None:
        self._send = send
        self._header = (REVISION_HEADER, revision_mark(nonce).encode())
        self._is_answered = False
        offered = scope.get("extensions") or {}
        self._refuses = "websocket.http.response" in offered and scope.get("type") == "websocket"

    async def __call__(self, message: Message) -> None:
        if self._is_answered:
            await self._send(message)
        elif message["type"] == "websocket.close" and self._refuses:
            await self._refuse(403)  # what a server makes of a close before the accept
        else:
            is_answer = message["type"] in _ANSWERS
            self._is_answered = is_answer
            own = {"headers": [*(message.get("headers") or ()), self._header]} if is_answer else {}
            await self._send({**message, **own})

    async def failed(self) -> None:
        """The app raised: before an answer a server makes a 500 of that."""
        if self._refuses and not self._is_answered:
            await self._refuse(500)

    async def _refuse(self, status: int) -> None:
        self._is_answered = True
        kind = "websocket.http.response"
        headers = [(b"content-length", b"0"), self._header]
        await self._send({"type": f"{kind}.start", "status": status, "headers": headers})
        await self._send({"type": f"{kind}.body", "body": b""})
