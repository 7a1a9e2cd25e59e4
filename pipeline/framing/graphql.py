"""``graphql-transport-ws``: subscriptions of GraphQL over a WebSocket.  PURE."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from pipeline.framing.json_text import an_object, only_text, parsed
from pipeline.framing.protocol import Decoded, Frame


class GraphqlTransportWs:
    """Messages are the protocol's own; one that is sent without ``type`` subscribes, without ``id`` gets the next.

    Args:
        payload: of ``connection_init``.
    """

    def __init__(self, *, payload: object = None) -> None:
        self._payload = payload
        self._sent = 0
        self.is_ready = False

    def opening(self) -> Iterable[Frame]:
        payload = {} if self._payload is None else {"payload": self._payload}
        return (json.dumps({"type": "connection_init", **payload}, allow_nan=False),)

    def encode(self, message: object) -> Iterable[Frame]:
        if not isinstance(message, Mapping):
            raise TypeError("no mapping")
        self._sent += 1
        own = {"id": str(self._sent)} if message.get("type", "subscribe") in ("subscribe", "complete") else {}
        return (json.dumps({"type": "subscribe", **own, **message}, allow_nan=False),)

    def decode(self, frame: Frame) -> Decoded:
        message = an_object(parsed(only_text(frame, "JSON text")), "message of graphql-transport-ws")
        match message.get("type"):
            case "ping":
                return Decoded(replies=(json.dumps({"type": "pong"}),))
            case "pong":
                return Decoded()
            case "connection_ack":
                self.is_ready = True
        return Decoded((message,))
