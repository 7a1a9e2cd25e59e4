"""One TCP connection, first read piece by piece, then joined to another so that bytes pass by themselves.

Joined wires hand on data, ends of stream and aborts in both directions. Whoever cannot take more stops the other side's
reading, so a slow reader holds up its own sender and nobody else, and memory stays bounded.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from pipeline.local.front.frames import FrameObserver
from pipeline.local.front.http1 import BadMessage
from pipeline.local.front.limits import MAX_HEAD

_MAX_BUFFER = 2 * MAX_HEAD
_ABORT_NOW = struct.pack("ii", 1, 0)  # SO_LINGER: the peer gets RST, not a clean end
_LAST_WORDS_S = 1.0


class Wire(asyncio.Protocol):
    """Args: on_connect: called with the wire once it is there (servers)."""

    def __init__(self, on_connect: Callable[[Wire], None] | None = None) -> None:
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.silent: asyncio.Future[None] = loop.create_future()  # the other end sends no more
        self.refused: asyncio.Future[None] = loop.create_future()  # its watcher let something not pass
        self._on_connect = on_connect
        self._buffer = bytearray()
        self._news = asyncio.Event()  # more came to read, or the end
        self._room = asyncio.Event()  # cleared while the other end reads slower than we write
        self._room.set()
        self._peer: Wire | None = None
        self._watcher: FrameObserver | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._on_connect:
            self._on_connect(self)

    def data_received(self, data: bytes) -> None:
        if self._peer is not None and self._watcher is not None:
            allowed = self._watcher.feed(data)
            self._peer.write(data[:allowed])
            if allowed < len(data):
                self._refuse(self._peer)
            return
        self._buffer += data
        if len(self._buffer) > _MAX_BUFFER:
            self.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        self._fall_silent()
        if self._peer is not None:
            self._pass_eof(self._peer)
        return True  # the other direction may go on

    def connection_lost(self, exc: Exception | None) -> None:
        self._fall_silent()
        if not self.ended.done():
            self.ended.set_result(None)
        self.resume_writing()
        if self._peer is not None and self._watcher is not None:
            # A reset is handed on as one, but must not overtake a goodbye that is still on its way.
            self._peer.abort() if exc and not self._watcher.close else self._peer.close()

    def pause_writing(self) -> None:
        self._room.clear()
        if self._peer is not None:
            self._peer.pause_reading()

    def resume_writing(self) -> None:
        self._room.set()
        if self._peer is not None:
            self._peer.resume_reading()

    def pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    @property
    def peer(self) -> tuple[str, int]:
        """Address and port; empty and 0 where nobody is there any more."""
        address = self._transport.get_extra_info("peername")
        return (str(address[0]), int(address[1])) if address else ("", 0)

    @property
    def is_readable(self) -> bool:
        """Whether something is there to be read."""
        return bool(self._buffer)

    async def until_readable(self) -> None:
        """Return when something is there, or the end."""
        while not self._buffer and not self.silent.done():
            await self._more()

    async def read_until(self, mark: bytes, limit: int = MAX_HEAD) -> bytes | None:
        """Up to the mark and without it; None at a clean end of the stream. Raises BadMessage."""
        searched = 0
        while (found := self._buffer.find(mark, searched)) < 0:
            if len(self._buffer) > limit:
                raise BadMessage(f"more than {limit} bytes", status=431)
            if self.silent.done():
                if self._buffer.strip():
                    raise BadMessage("cut off")
                return None
            searched = max(0, len(self._buffer) - len(mark) + 1)  # a mark may come in two pieces
            await self._more()
        if found > limit:
            raise BadMessage(f"more than {limit} bytes", status=431)
        taken = bytes(self._buffer[:found])
        del self._buffer[: found + len(mark)]
        self.resume_reading()
        return taken

    async def read(self, limit: int = MAX_HEAD) -> bytes:
        """What is there, at most ``limit`` bytes; empty at the end."""
        await self.until_readable()
        taken = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        self.resume_reading()
        return taken

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Return when the other end can take more, or never will."""
        await self._room.wait()

    def close(self) -> None:
        """End both directions once everything written is out."""
        self._transport.close()

    def end(self, linger_s: float) -> None:
        """The same, but whoever does not read the last of it in time is cut off."""
        self._transport.close()
        if not self.ended.done():
            timer = asyncio.get_running_loop().call_later(linger_s, self._transport.abort)
            self.ended.add_done_callback(lambda _: timer.cancel())

    def abort(self, *, reset: bool = True) -> None:
        """End at once, whatever was not yet sent. With ``reset`` the other end sees that."""
        if reset and not self._transport.is_closing():
            sock: socket.socket | None = self._transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_NOW)
        self._transport.abort()

    async def finish(self) -> None:
        """Say no more and hear the other end out, for a moment: else it may see a reset instead of the answer."""
        if self._transport.is_closing() or self.silent.done():
            return
        self._transport.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_S):
                while await self.read():
                    pass

    def join(self, other: Wire, watcher: FrameObserver, watcher_of_other: FrameObserver) -> None:
        """From here on, what comes on one goes out on the other; ``watcher`` sees what comes on this one."""
        self._hand_on(other, watcher)
        other._hand_on(self, watcher_of_other)

    def _hand_on(self, peer: Wire, watcher: FrameObserver) -> None:
        self._peer, self._watcher = peer, watcher
        if self._buffer:  # frames that came with the last of the handshake
            early, self._buffer = bytes(self._buffer), bytearray()
            self.data_received(early)
        self.resume_reading() if peer._room.is_set() else self.pause_reading()
        if self.ended.done():
            peer.close()
        elif self.silent.done():
            self._pass_eof(peer)

    def _pass_eof(self, peer: Wire) -> None:
        if peer.silent.done():
            peer.close()
            self.close()
        elif not peer._transport.is_closing():
            peer._transport.write_eof()

    def _refuse(self, peer: Wire) -> None:
        """Part the two: nothing passes any more, and what still comes is nobody's."""
        self._peer = self._watcher = peer._peer = peer._watcher = None
        self.refused.set_result(None)
        self.resume_reading()

    def _fall_silent(self) -> None:
        if not self.silent.done():
            self.silent.set_result(None)
        self._news.set()

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()
