"""The ``scenarios:`` section of ``spillway.yaml``."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, model_validator

from pipeline.config.expectation import group
from pipeline.config.fields import Duration, UrlPath, between, text_like, whole
from pipeline.config.section import SECTION
from pipeline.probe.scenario import HttpStep, Scenario


class _Section(BaseModel):
    model_config = SECTION


class HttpConfig(_Section):
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: UrlPath
    status: Annotated[int, whole(100, 599)] = 200
    body: dict[str, Any] = {}


def _expected(item: object) -> object:
    """The item as it is. Raises ValueError for what is no event."""
    group(item)
    return item


class ScenarioConfig(_Section):
    """One kind of conversation. ``expect`` is a list in order; a list inside it is "in any order"."""

    path: Annotated[str, AfterValidator(text_like(r"(/.*)?", "a path that starts with a slash"))] = ""
    send: Any = None
    expect: list[Annotated[Any, AfterValidator(_expected)]] = []
    within: Annotated[Duration, between("1ms", "1h")] = timedelta(seconds=10)
    close: Annotated[int, whole(1000, 4999)] = 1000
    http: list[HttpConfig] = []
    headers: dict[str, str] = {}
    subprotocols: list[str] = []

    @model_validator(mode="after")
    def _does_something(self) -> ScenarioConfig:
        if not self.path and not self.http:
            raise ValueError("needs a WebSocket path, or http steps")
        if self.path and not self.expect:
            raise ValueError("a conversation must expect at least one event")
        return self

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
