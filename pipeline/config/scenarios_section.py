"""The ``scenarios:`` section of ``spillway.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pipeline.config.expectation import SCHEMA, group
from pipeline.config.fields import Duration, UrlPath, between, text_like, told, whole
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
    """

    path: Annotated[str, text_like(r"(/.*)?", "a path that starts with a slash")] = ""
    send: Any = None
    expect: list[Annotated[Any, _expected]] = field(default_factory=list)
    within: Annotated[Duration, between("1ms", "1h")] = timedelta(seconds=10)
    close: Annotated[int, whole(1000, 4999)] = 1000
    http: list[HttpConfig] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    subprotocols: list[str] = field(default_factory=list)

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

    def build(self, name: str) -> Scenario:
        sends = () if self.send is None else tuple(self.send) if isinstance(self.send, list) else (self.send,)
        return Scenario(
            name=name,
            path=self.path,
            send=sends,
            groups=tuple(group(item) for item in self.expect),
            within_s=self.within.total_seconds(),
            close=self.close,
            http=tuple(HttpStep(h.method, h.path, h.status, h.body) for h in self.http),
            headers=self.headers,
            subprotocols=tuple(self.subprotocols),
        )
