"""A granted WebSocket: its two ends left to each other until both are gone, within limits.

Bytes pass by themselves (``wire.py``) and frames are only watched. Two things end a socket from here: a message that
announces itself larger than the limit (its sender is told 1009), and an end that stays although the other sends no
more.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pipeline.local.front.frames import TOO_BIG, FrameObserver, close_frame
from pipeline.local.front.limits import Limits
from pipeline.local.front.observed import ABNORMAL
from pipeline.local.front.wire import Wire

_WHY = "message too big"


class Splice:
    """``run`` it once; the rest says what was seen, also after ``run`` was cancelled."""

    def __init__(self, client: Wire, server: Wire, limits: Limits) -> None:
        self._client, self._server, self._limits = client, server, limits
        self.by_client = FrameObserver(limits.message)
        self.by_server = FrameObserver(limits.message)
        self._silent: list[str] = []  # in this order
        client.silent.add_done_callback(lambda _: self._silent.append("client"))
        server.silent.add_done_callback(lambda _: self._silent.append("server"))

    async def run(self) -> None:
        """Return when both ends are gone, or are about to be."""
        client, server = self._client, self._server
        client.join(server, self.by_client, self.by_server)
        both = asyncio.create_task(asyncio.wait((client.ended, server.ended)))
        over: set[asyncio.Future[Any]] = {both, client.refused, server.refused}
        try:
            await _first_of({*over, client.silent, server.silent})
            # One end says no more. The other may finish, but a socket that only one end uses is nobody's for long.
            await _first_of(over, self._limits.half_closed_s)
        finally:
            both.cancel()
        if client.refused.done() or server.refused.done():
            await self._refuse()
        else:
            for wire in (client, server):
                wire.abort(reset=False)

    @property
    def fault(self) -> str:
        """What the ingress ended it for; empty if it did not."""
        name = self._offender
        return f"A WebSocket message of the {name} was refused: it is larger than {self._limits.message} bytes." if name else ""  # fmt: skip

    @property
    def end(self) -> tuple[int, str, str]:
        """Close code, reason, and whose it was; see ``ObservedSocket``."""
        if self._offender:
            return TOO_BIG, _WHY, ""
        sides = (("client", self.by_client), ("server", self.by_server))
        closes = [(side.closed_at, name, side.close) for name, side in sides if side.close]
        if closes:
            _, name, (code, reason) = min(closes)
            return code, reason, name
        return ABNORMAL, "", self._silent[0] if self._silent else ""

    @property
    def _offender(self) -> str:
        return "client" if self._client.refused.done() else "server" if self._server.refused.done() else ""

    async def _refuse(self) -> None:
        """Tell the sender, unless another frame is half way to it; the other end just sees the end."""
        client, server = self._client, self._server
        is_client = client.refused.done()
        offender, other = (client, server) if is_client else (server, client)
        towards = self.by_server if is_client else self.by_client
        other.end(self._limits.linger_s)
        if towards.is_between_frames and towards.close is None:
            offender.write(close_frame(TOO_BIG, _WHY, masked=not is_client))
        await offender.finish()
        offender.end(self._limits.linger_s)


async def _first_of(futures: set[asyncio.Future[Any]], timeout_s: float | None = None) -> None:
    await asyncio.wait(futures, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
