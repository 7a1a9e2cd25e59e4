"""Watch WebSocket frames pass without touching them: only headers are read, and the payload of the first close frame.

A frame's header tells its length, so a message that is too large is known before it comes.

Source: RFC 6455 section 5.2 (framing), 5.5.1 (close).
"""

from __future__ import annotations

import time

from pipeline.local.front.limits import USUAL

_CLOSE = 0x8
_FIRST_CONTROL = 0x8  # opcodes from here on are not part of messages
_MAX_CONTROL = 125  # bytes of payload in a control frame
NO_STATUS = 1005  # a close frame without a code
TOO_BIG = 1009


class FrameObserver:
    """One direction of one socket.

    ``size`` is the bytes that passed; ``close`` is (code, reason) once a close frame did, ``closed_at`` when (monotonic);
    ``is_too_big`` once a message was announced that is larger than ``limit`` bytes on the wire.
    """

    __slots__ = ("_head", "_limit", "_message", "_skip", "close", "closed_at", "is_too_big", "size")

    def __init__(self, limit: int = USUAL.message) -> None:
        self.close: tuple[int, str] | None = None
        self.closed_at = 0.0
        self.is_too_big = False
        self.size = 0
        self._limit = limit
        self._message = 0  # bytes of the message so far, with what its last frame announced
        self._head = b""  # of a frame whose header came in pieces; of a close frame, all that came of it
        self._skip = 0  # bytes of payload still to come

    @property
    def is_between_frames(self) -> bool:
        return not (self._head or self._skip)

    def feed(self, data: bytes) -> int:
        """Take the next bytes of the stream, in pieces of any size.

        Returns how many may pass; fewer than all refuses the rest, and what comes after it.
        """
        passed = 0 if self.is_too_big else len(data)
        if not self.is_too_big and self.close is None:
            had = len(self._head)
            data, self._head = self._head + data, b""
            # What was held of a header has passed already: the frame is refused, but those few bytes are out.
            passed = max(0, self._walk(data) - had)
        self.size += passed
        return passed

    def _walk(self, data: bytes) -> int:
        """Go from frame to frame. Returns where it stopped: at the end, or at the frame that may not pass."""
        at, end = 0, len(data)
        while self.close is None and at < end:
            if self._skip:
                step = min(self._skip, end - at)
                self._skip -= step
                at += step
                continue
            size = self._open(data, at)
            if not size:
                self._head = data[at:]
                return end
            if self.is_too_big:
                return at
            at += size
        return end

    def _open(self, data: bytes, at: int) -> int:
        """Read the frame header at this place; its size, or 0 if it is not all there.

        A close frame is read whole. It has at most 125 bytes of payload, so holding its beginning costs nothing, and it
        needs no state of its own between two pieces.
        """
        if len(data) < at + 2:
            return 0
        length = data[at + 1] & 0x7F
        extra = {126: 2, 127: 8}.get(length, 0)
        mask = 4 if data[at + 1] & 0x80 else 0
        size = 2 + extra + mask
        if len(data) < at + size:
            return 0
        self._skip = int.from_bytes(data[at + 2 : at + 2 + extra], "big") if extra else length
        self._weigh(data[at] & 0x0F, size + self._skip)
        if data[at] & 0x0F == _CLOSE and self._skip <= _MAX_CONTROL and not self.is_too_big:
            payload = data[at + size : at + size + self._skip]
            is_whole, self._skip = len(payload) == self._skip, 0
            if not is_whole:
                return 0
            self.close = _read_close(payload, data[at + size - mask : at + size])
            self.closed_at = time.monotonic()
        return size

    def _weigh(self, opcode: int, size: int) -> None:
        """Add a frame to its message. A fragment, however empty, weighs what its header does."""
        if opcode < _FIRST_CONTROL:
            self._message = size = size + (self._message if opcode == 0 else 0)
        if size > self._limit:
            self.is_too_big, self._skip = True, 0


def close_frame(code: int, reason: str, *, masked: bool) -> bytes:
    """What ends a socket politely. Clients mask theirs; a mask of zeros is one."""
    payload = code.to_bytes(2, "big") + reason.encode()
    return (
        bytes([0x80 | _CLOSE, len(payload) | (0x80 if masked else 0)]) + bytes(4 if masked else 0) + payload
    )


def _read_close(payload: bytes, mask: bytes) -> tuple[int, str]:
    if mask:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    if len(payload) < 2:
        return NO_STATUS, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace")
