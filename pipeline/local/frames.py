"""Watch WebSocket frames pass without touching them: only headers are read, and the payload of the first close frame.

Source: RFC 6455 section 5.2 (framing), 5.5.1 (close).
"""

from __future__ import annotations

_CLOSE = 0x8
_MAX_CONTROL = 125  # bytes of payload in a control frame
NO_STATUS = 1005  # a close frame without a code


class FrameObserver:
    """One direction of one socket. ``close`` is (code, reason) once a close frame passed."""

    __slots__ = ("_head", "_is_close", "_mask", "_payload", "_skip", "close")

    def __init__(self) -> None:
        self.close: tuple[int, str] | None = None
        self._head = b""  # of a frame whose header came in pieces
        self._skip = 0  # bytes of payload still to come
        self._is_close = False
        self._mask = b""
        self._payload = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream, in pieces of any size."""
        if self.close is not None:
            return
        if self._head:
            data, self._head = self._head + data, b""
        at, end = 0, len(data)
        while self.close is None and (at < end or (self._is_close and not self._skip)):
            if self._skip or self._is_close:
                step = min(self._skip, end - at)
                self._pass(data[at : at + step] if self._is_close else b"", step)
                at += step
                continue
            size = self._open(data, at)
            if not size:
                self._head = data[at:]
                return
            at += size

    def _open(self, data: bytes, at: int) -> int:
        """Read the frame header at this place; its size, or 0 if it is not all there."""
        if len(data) < at + 2:
            return 0
        length = data[at + 1] & 0x7F
        extra = {126: 2, 127: 8}.get(length, 0)
        mask = 4 if data[at + 1] & 0x80 else 0
        size = 2 + extra + mask
        if len(data) < at + size:
            return 0
        self._skip = int.from_bytes(data[at + 2 : at + 2 + extra], "big") if extra else length
        self._is_close = data[at] & 0x0F == _CLOSE and self._skip <= _MAX_CONTROL
        self._mask = data[at + size - mask : at + size]
        return size

    def _pass(self, piece: bytes, size: int) -> None:
        self._skip -= size
        if not self._is_close:
            return
        self._payload += piece
        if not self._skip:
            self.close = _read_close(self._payload, self._mask)


def _read_close(payload: bytes, mask: bytes) -> tuple[int, str]:
    if mask:
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    if len(payload) < 2:
        return NO_STATUS, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace")
