"""What a frame that is no plain JSON looks like, for whoever has not named a framing yet.  PURE."""

from __future__ import annotations

import json

from pipeline.framing.protocol import Frame

_MOST = 1 << 16  # bytes that are looked at


def hint(frame: Frame) -> str:
    """`` (set framing: ...)``, or nothing."""
    name = _of_bytes(frame[:_MOST]) if isinstance(frame, bytes) else _of_text(frame[:_MOST])
    return f" (set framing: {name})" if name else ""


def _of_text(text: str) -> str:
    if text.startswith('0{"sid"'):
        return "socket.io"
    if text.endswith("\x1e"):
        return "signalr, or json-lines"
    lines = text.splitlines()
    return "json-lines" if len(lines) > 1 and all(_is_json(line) for line in lines[:2]) else ""


def _of_bytes(data: bytes) -> str:
    if _is_json(data):
        return "{name: json, binary: true}"
    is_container = data[:1] and (0x80 <= data[0] <= 0x9F or 0xDC <= data[0] <= 0xDF)  # a map or an array
    return "msgpack, if it is that" if is_container else ""


def _is_json(text: Frame) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False
