"""``signalr``: SignalR's hub protocol in JSON, after its handshake.  PURE."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pipeline.framing.json_text import RECORD, an_object, only_text, records
from pipeline.framing.protocol import Declined, Decoded, Frame

_INVOCATION, _PING = 1, 6


class SignalR:
    """Messages are the protocol's own, told apart by ``target``; one that is sent without ``type`` is an invocation."""

    def __init__(self) -> None:
        self.is_ready = False

    def opening(self) -> Iterable[Frame]:
        return (_record({"protocol": "json", "version": 1}),)

    def encode(self, message: object) -> Iterable[Frame]:
        if not isinstance(message, Mapping):
            raise TypeError("no mapping")
        own = {"type": _INVOCATION, "arguments": []} if "type" not in message else {}
        return (_record({**own, **message}),)

    def decode(self, frame: Frame) -> Decoded:
        came = [an_object(each, "record of SignalR") for each in records(only_text(frame, "JSON text"))]
        if came and not self.is_ready:
            self.is_ready = True
            if "type" not in came[0]:
                self._shake(came.pop(0))
        pings = sum(each.get("type") == _PING for each in came)
        messages = tuple(each for each in came if each.get("type") != _PING)
        return Decoded(messages, (_record({"type": _PING}),) if pings else ())

    def _shake(self, answer: Mapping[str, object]) -> None:
        """The handshake's answer; on the server's side, its request."""
        if error := answer.get("error"):
            raise Declined("the handshake was refused", error)


def _record(value: object) -> str:
    return json.dumps(value, allow_nan=False) + RECORD
