"""One TCP connection, first read piece by piece, then joined to another so that bytes pass by themselves.

Joined wires hand on data, ends of stream and aborts in both directions. Whoever cannot take more stops the other side's
reading, so a slow reader holds up its own sender and nobody else, and memory stays bounded.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Protocol, cast

from pipeline.local.http1 import MAX_HEAD, BadMessage

_MAX_BUFFER = 2 * MAX_HEAD
_ABORT_NOW = struct.pack("ii", 1, 0)  # SO_LINGER: the peer gets RST, not a clean end
_LAST_WORDS_S = 1.0


class Watcher(Protocol):
    """Sees what one end sends."""

    def watch(self, data: bytes) -> None: ...

    @property
    def has_closed(self) -> bool:
        """Whether it said goodbye: then a reset after it must not overtake the goodbye."""
        ...


class Wire(asyncio.Protocol):
    """Args: on_connect: called with the wire once it is there (servers)."""

    def __init__(self, on_connect: Callable[[Wire], None] | None = None) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_eof = False
        self._on_connect = on_connect
        self._buffer = bytearray()
        self._news: asyncio.Future[None] | None = None  # somebody waits for more to read
        self._room: asyncio.Future[None] | None = None  # the other end reads slower than we write
        self._is_paused = False
        self._peer: Wire | None = None
        self._watcher: Watcher | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._on_connect:
            self._on_connect(self)

    def data_received(self, data: bytes) -> None:
        if self._peer is not None and self._watcher is not None:
            self._watcher.watch(data)
            self._peer.write(data)
            return
        self._buffer += data
        if len(self._buffer) > _MAX_BUFFER:
            self.pause_reading()
        self._tell()

    def eof_received(self) -> bool:
        self.has_eof = True
        self._tell()
        if self._peer is not None:
            self._pass_eof(self._peer)
        return True  # the other direction may go on

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_eof = True
        if not self.ended.done():
            self.ended.set_result(None)
        self._tell()
        self.resume_writing()
        if self._peer is not None and self._watcher is not None:
            self._peer.abort() if exc and not self._watcher.has_closed else self._peer.close()

    def pause_writing(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        if self._peer is not None:
            self._peer.pause_reading()

    def resume_writing(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None
        if self._peer is not None:
            self._peer.resume_reading()

    def pause_reading(self) -> None:
        if not self._is_paused and not self._transport.is_closing():
            self._is_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()

    @property
    def peer_address(self) -> str:
        address = self._transport.get_extra_info("peername")
        return str(address[0]) if address else ""

    async def read_until(self, mark: bytes, limit: int = MAX_HEAD) -> bytes | None:
        """Up to the mark and without it; None at a clean end of the stream. Raises BadMessage."""
        searched = 0
        while (found := self._buffer.find(mark, searched)) < 0:
            if len(self._buffer) > limit:
                raise BadMessage(f"more than {limit} bytes", status=431)
            if self.has_eof:
                if self._buffer.strip():
                    raise BadMessage("cut off")
                return None
            searched = max(0, len(self._buffer) - len(mark) + 1)
            await self._wait()
        if found > limit:
            raise BadMessage(f"more than {limit} bytes", status=431)
        taken = bytes(self._buffer[:found])
        del self._buffer[: found + len(mark)]
        self.resume_reading()
        return taken

    async def read(self, limit: int = MAX_HEAD) -> bytes:
        """What is there, at most ``limit`` bytes; empty at the end."""
        while not self._buffer and not self.has_eof:
            await self._wait()
        taken = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        self.resume_reading()
        return taken

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Return when the other end can take more, or never will."""
        if self._room is not None:
            await self._room

    def close(self) -> None:
        """End both directions once everything written is out."""
        self._transport.close()

    def abort(self, *, reset: bool = True) -> None:
        """End at once, whatever was not yet sent. With ``reset`` the other end sees that."""
        if reset and not self._transport.is_closing():
            sock: socket.socket | None = self._transport.get_extra_info("socket")
            if sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_NOW)
        self._transport.abort()

    async def finish(self) -> None:
        """End politely: a client that still sends gets to read the answer instead of a reset."""
        if self._transport.is_closing() or self.has_eof:
            self._transport.close()
            return
        self._transport.write_eof()
        try:
            async with asyncio.timeout(_LAST_WORDS_S):
                while await self.read():
                    pass
        except TimeoutError:
            pass
        finally:
            self._transport.close()

    def join(self, other: Wire, watcher: Watcher, watcher_of_other: Watcher) -> None:
        """From here on, what comes on one goes out on the other; ``watcher`` sees what comes on this one."""
        self._hand_on(other, watcher)
        other._hand_on(self, watcher_of_other)

    def _hand_on(self, peer: Wire, watcher: Watcher) -> None:
        self._peer, self._watcher = peer, watcher
        if self._buffer:
            early, self._buffer = bytes(self._buffer), bytearray()
            self.data_received(early)
        self.pause_reading() if peer._room is not None else self.resume_reading()
        if self.ended.done():
            peer.close()
        elif self.has_eof:
            self._pass_eof(peer)

    def _pass_eof(self, peer: Wire) -> None:
        if peer.has_eof:
            peer.close()
            self.close()
        elif not peer._transport.is_closing():
            peer._transport.write_eof()

    async def _wait(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
