"""``sse``: server-sent events, which come in the body of an HTTP response.  PURE."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable

from pipeline.framing.protocol import AtOnce, BadFrame, Decoded, Frame

MEDIA_TYPE = "text/event-stream"


class EventStream(AtOnce):
    """A frame is any piece of the body. An event is a message ``{type: ..., data: ..., id: ...}``.

    ``type`` is ``message`` where the stream names none; ``data`` is a JSON value where it is one, else its text. What is
    sent is the JSON body of the request.

    Args:
        most: bytes of one event.
    """

    def __init__(self, *, most: int = 1 << 20) -> None:
        self._most = most
        self._text = codecs.getincrementaldecoder("utf-8-sig")(errors="replace")
        self._line, self._size = "", 0
        self._is_after_cr = False
        self._fields: dict[str, str] = {}
        self._data: list[str] = []
        self._id: str | None = None

    def encode(self, message: object) -> Iterable[Frame]:
        return (json.dumps(message, allow_nan=False),)

    def decode(self, frame: Frame) -> Decoded:
        text = frame if isinstance(frame, str) else self._text.decode(frame)
        if self._is_after_cr and text:
            text = text.removeprefix("\n")
            self._is_after_cr = False
        if text.endswith("\r"):
            self._is_after_cr = True
        *lines, rest = (self._line + text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._line = rest
        messages = [message for line in lines if (message := self._take(line)) is not None]
        if self._size + len(self._line) > self._most:
            raise BadFrame(f"an event that is too large (over {self._most} bytes)")
        return Decoded(tuple(messages))

    def _take(self, line: str) -> dict[str, object] | None:
        if not line:
            return self._dispatched()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._size += len(value) + 1  # each line of it takes room, an empty one too
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "event":
            self._fields["type"] = value
        return None

    def _dispatched(self) -> dict[str, object] | None:
        fields, data = self._fields, self._data
        self._fields, self._data, self._size = {}, [], 0
        if not data:
            return None
        text = "\n".join(data)
        identity = {} if self._id is None else {"id": self._id}
        return {"type": fields.get("type") or "message", "data": _value(text), **identity}


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
