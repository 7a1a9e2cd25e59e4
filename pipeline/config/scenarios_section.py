"""The ``scenarios:`` section of ``spillway.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any, Literal

from pipeline.config.expectation import group
from pipeline.config.fields import Duration, UrlPath, between, text_like, whole
from pipeline.probe.scenario import HttpStep, Scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: UrlPath
    status: Annotated[int, whole(100, 599)] = 200
    body: dict[str, Any] = field(default_factory=dict)


def _expected(item: object) -> object:
    """The item as it is. Raises ValueError for what is no event."""
    group(item)
    return item


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioConfig:
    """One kind of conversation. ``expect`` is a list in order; a list inside it is "in any order"."""

    path: Annotated[str, text_like(r"(/.*)?", "a path that starts with a slash")] = ""
    send: Any = None
    expect: list[Annotated[Any, _expected]] = field(default_factory=list)
    within: Annotated[Duration, between("1ms", "1h")] = timedelta(seconds=10)
    close: Annotated[int, whole(1000, 4999)] = 1000
    http: list[HttpConfig] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    subprotocols: list[str] = field(default_factory=list)

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
