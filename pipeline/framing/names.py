"""The framings that have a name, and what may be said of each in ``spillway.yaml``.  PURE."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.framing import graphql, socket_io
from pipeline.framing.centrifugo import Centrifugo
from pipeline.framing.event_stream import EventStream
from pipeline.framing.graphql import GraphqlTransportWs
from pipeline.framing.json_text import SEPARATORS, Json, JsonArray, JsonLines
from pipeline.framing.message_pack import MessagePack
from pipeline.framing.plain_text import PlainText
from pipeline.framing.protocol import Framing
from pipeline.framing.signalr import SignalR
from pipeline.framing.socket_io import SocketIo

OWN = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")  # a class of the user's


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Args:
        words: what it must be; empty: anything.
        fits: whether a value is that.
        is_told: the middleware reads frames by it. What is not may be a secret.
    """

    words: str = ""
    fits: Callable[[object], bool] = lambda _: True
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """One framing.

    Args:
        make: takes its options as keywords.
        type_path: where its messages say what they are.
        query: of the WebSocket's address, unless the address has it.
        subprotocol: that the handshake asks for, unless others are named.
        is_http: it is no WebSocket's: events come in the body of a response.
    """

    make: Callable[..., Framing]
    options: Mapping[str, Option] = field(default_factory=dict)
    type_path: str = "type"
    query: str = ""
    subprotocol: str = ""
    is_http: bool = False


def _is_pattern(value: object) -> bool:
    try:
        return isinstance(value, str) and re.compile(value) is not None
    except (re.error, RecursionError, OverflowError):
        return False


_BINARY = Option("true or false", lambda value: isinstance(value, bool), is_told=True)
_SEPARATOR = Option(" or ".join(SEPARATORS), lambda value: value in tuple(SEPARATORS), is_told=True)
_PATTERN = Option("a regular expression, as Python has them", _is_pattern, is_told=True)
_NAMESPACE = Option(
    "a name that begins with a slash",
    lambda value: isinstance(value, str) and re.fullmatch(r"/[^,?]*", value) is not None,
    is_told=True,
)
_TEXT = Option("text", lambda value: isinstance(value, str))
_ANY = Option()

FRAMINGS: Mapping[str, Named] = {
    "json": Named(Json, {"binary": _BINARY}),
    "json-lines": Named(JsonLines, {"binary": _BINARY, "separator": _SEPARATOR}),
    "json-array": Named(JsonArray, {"binary": _BINARY}),
    "text": Named(PlainText, {"pattern": _PATTERN}, type_path="text"),
    "msgpack": Named(MessagePack),
    "socket.io": Named(SocketIo, {"namespace": _NAMESPACE, "auth": _ANY}, query=socket_io.QUERY),
    "graphql-transport-ws": Named(GraphqlTransportWs, {"payload": _ANY}, subprotocol=graphql.SUBPROTOCOL),
    "signalr": Named(SignalR, type_path="target"),
    "centrifugo": Named(Centrifugo, {"token": _TEXT, "data": _ANY}, type_path="push.pub.data.type"),
    "sse": Named(EventStream, is_http=True),
}
