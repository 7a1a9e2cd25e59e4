"""``centrifugo``: Centrifugo's bidirectional protocol in JSON.  PURE."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pipeline.framing.json_text import an_object, only_text, records
from pipeline.framing.protocol import BadFrame, Declined, Decoded, Frame

_CONNECT = 1  # the number of the first command


class Centrifugo:
    """Messages are commands, replies and pushes as they are; a command that is sent without ``id`` gets the next.

    Args:
        token: a JSON Web Token that the connection is asked for with.
        data: likewise, any value.
    """

    def __init__(self, *, token: str = "", data: object = None) -> None:
        self._connect: dict[str, object] = {"token": token} if token else {}
        if data is not None:
            self._connect["data"] = data
        self._sent = _CONNECT
        self.is_ready = False

    def opening(self) -> Iterable[Frame]:
        return (json.dumps({"id": _CONNECT, "connect": self._connect}, allow_nan=False),)

    def encode(self, message: object) -> Iterable[Frame]:
        if not isinstance(message, Mapping):
            raise TypeError("no mapping")
        if "id" in message or "send" in message:  # what is merely sent gets no reply
            return (json.dumps(message, allow_nan=False),)
        self._sent += 1
        return (json.dumps({"id": self._sent, **message}, allow_nan=False),)

    def decode(self, frame: Frame) -> Decoded:
        came = [an_object(each, "reply of Centrifugo") for each in records(only_text(frame, "JSON text"))]
        if not came:
            raise BadFrame("an empty message, expected a reply of Centrifugo")
        for reply in came:
            if not self.is_ready and reply.get("id") == _CONNECT:
                self._connected(reply)
        messages = tuple(each for each in came if each)
        return Decoded(messages, ("{}",) if len(messages) < len(came) else ())

    def _connected(self, reply: Mapping[str, object]) -> None:
        error = reply.get("error")
        if error is not None:
            parts = [error.get("code"), error.get("message")] if isinstance(error, dict) else [error]
            said = [str(each) for each in parts if each is not None]
            raise Declined("connect was refused", " ".join(said) or error)
        self.is_ready = "connect" in reply
