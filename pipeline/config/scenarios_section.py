"""The ``scenarios:`` section of ``spillway.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pipeline.config.expectation import SCHEMA, group
from pipeline.config.fields import Duration, Size, UrlPath, between, not_empty, text_like, told, whole
from pipeline.config.framing_key import framing, parts
from pipeline.framing.choice import Choice
from pipeline.framing.names import FRAMINGS, Named
from pipeline.framing.own import own
from pipeline.probe.scenario import HttpStep, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """One HTTP request of a scenario, and its answer.

    Args:
        method: of the request.
        path: on the service.
        status: that the answer must have.
        body: fields that the answer's JSON must have.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: UrlPath
    status: Annotated[int, whole(100, 599)] = 200
    body: dict[str, Any] = field(default_factory=dict)


@told(**SCHEMA)
def _expected(item: object) -> object:
    """The item as it is. Raises ValueError for what is no event."""
    group(item)
    return item


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioConfig:
    """One kind of conversation.

    Args:
        path: of the WebSocket.
        send: the message that is sent, or a list of them.
        expect: the events that must come, in order; a list inside it is "in any order".
        within: how long it may take.
        close: the code that the socket must be closed with.
        http: HTTP requests that are made before the socket is opened, or instead of it.
        headers: of the handshake and the requests.
        subprotocols: that the handshake asks for.
        framing: how messages stand in the socket's frames: `json`, or another of docs/framings.md, which has their options.
        type_path: where a message says what it is, by dotted path; an event that is written as one word is looked for there.
        ignore: heartbeats, which are no messages: whole frames of text, and what messages say at `type`.
        max_message: the largest message that the service may send.
    """

    path: Annotated[str, text_like(r"(/.*)?", "a path that starts with a slash")] = ""
    send: Any = None
    expect: list[Annotated[Any, _expected]] = field(default_factory=list)
    within: Annotated[Duration, between("1ms", "1h")] = timedelta(seconds=10)
    close: Annotated[int, whole(1000, 4999)] = 1000
    http: list[HttpConfig] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    subprotocols: list[str] = field(default_factory=list)
    framing: Annotated[Any, framing] = "json"
    type_path: Annotated[str, text_like(r"([^.]+(\.[^.]+)*)?", "a dotted path")] = field(
        default="", metadata={"key": "type"}
    )
    ignore: list[Annotated[str, not_empty]] = field(default_factory=list)
    max_message: Size = 1 << 20

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "anyOf": [
            {
                "required": ["path", "expect"],
                "properties": {"path": {"minLength": 1}, "expect": {"minItems": 1}},
            },
            {
                "required": ["http"],
                "properties": {
                    "http": {"minItems": 1},
                    "path": {"maxLength": 0},
                    "expect": {"maxItems": 0},
                    "send": {"type": "null"},
                },
            },
        ]
    }

    def __post_init__(self) -> None:
        if not self.path and not self.http:
            raise ValueError("needs a WebSocket path, or http steps")
        if not self.path and (self.expect or self.send is not None):
            raise ValueError("send and expect need the WebSocket path that they are said on")
        if self.path and not self.expect:
            raise ValueError("a conversation must expect at least one event")

    def build(self, name: str, folder: str = "") -> Scenario:
        """Args:
        folder: of the configuration, from which a framing of the user's own is imported.
        """
        sends = () if self.send is None else tuple(self.send) if isinstance(self.send, list) else (self.send,)
        spoken = self._framing(folder)
        return Scenario(
            name=name,
            path=self._path,
            send=sends,
            groups=tuple(group(item, spoken.type_path) for item in self.expect),
            within_s=self.within.total_seconds(),
            close=self.close,
            http=tuple(HttpStep(h.method, h.path, h.status, h.body) for h in self.http),
            headers=self.headers,
            subprotocols=tuple(self.subprotocols or filter(None, [self._named.subprotocol])),
            max_message_bytes=self.max_message,
            framing=spoken,
        )

    @property
    def _named(self) -> Named:
        return FRAMINGS.get(parts(self.framing)[0], FRAMINGS["json"])

    @property
    def _path(self) -> str:
        """The address, with what the framing wants of it."""
        query = self._named.query
        if not self.path or not query or query.partition("=")[0] + "=" in self.path:
            return self.path
        return f"{self.path}{'&' if '?' in self.path else '?'}{query}"

    def _framing(self, folder: str) -> Choice:
        name, options = parts(self.framing)
        if self._named.is_http:  # of a WebSocket the library limits messages
            options["most"] = self.max_message
        return Choice(
            name,
            options,
            self.type_path or self._named.type_path,
            tuple(self.ignore),
            None if name in FRAMINGS else own(name, folder),
        )
