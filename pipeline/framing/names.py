"""The framings that have a name, and what may be said of each in ``spillway.yaml``.  PURE."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from pipeline.framing.json_text import SEPARATORS, Json, JsonArray, JsonLines
from pipeline.framing.patterns import complaint
from pipeline.framing.protocol import Framing

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
        joins: it makes a message of several frames, and is made with the most bytes that one may have.
    """

    make: Callable[..., Framing]
    options: Mapping[str, Option] = field(default_factory=dict)
    type_path: str = "type"
    query: str = ""
    subprotocol: str = ""
    is_http: bool = False
    joins: bool = False


def _of(module: str, name: str) -> Callable[..., Framing]:
    """Makes objects of a class; its module is imported by the first, since most commands merely know of framings."""

    def make(**options: object) -> Framing:
        made: Framing = getattr(import_module(f"pipeline.framing.{module}"), name)(**options)
        return made

    return make


_BINARY = Option("true or false", lambda value: isinstance(value, bool), is_told=True)
_SEPARATOR = Option(" or ".join(SEPARATORS), lambda value: value in tuple(SEPARATORS), is_told=True)
_PATTERN = Option(
    "a regular expression, as Python has them, without repeats inside of repeats",
    lambda value: not complaint(value, has_groups=True),
    is_told=True,
)
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
    "text": Named(_of("plain_text", "PlainText"), {"pattern": _PATTERN}, type_path="text"),
    "msgpack": Named(_of("message_pack", "MessagePack")),
    "socket.io": Named(
        _of("socket_io", "SocketIo"),
        {"namespace": _NAMESPACE, "auth": _ANY},
        query="EIO=4&transport=websocket",
        joins=True,
    ),
    "graphql-transport-ws": Named(
        _of("graphql", "GraphqlTransportWs"), {"payload": _ANY}, subprotocol="graphql-transport-ws"
    ),
    "signalr": Named(_of("signalr", "SignalR"), type_path="target"),
    "centrifugo": Named(
        _of("centrifugo", "Centrifugo"), {"token": _TEXT, "data": _ANY}, type_path="push.pub.data.type"
    ),
    "sse": Named(_of("event_stream", "EventStream"), is_http=True, joins=True),
}
