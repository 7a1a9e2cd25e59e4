"""The ``scenarios:`` section of ``spillway.yaml``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Struct, field

from pipeline.config import conversation
from pipeline.config.conversation import Heard, Place
from pipeline.config.expectation import check_pattern, event, group, saved, wanted
from pipeline.config.fields import (
    Duration,
    Misplaced,
    Size,
    UrlPath,
    between,
    not_empty,
    text_like,
    told,
    whole,
)
from pipeline.config.framing_key import framing, parts
from pipeline.config.probes_section import TlsConfig
from pipeline.config.steps_section import StepConfig, built, close_of, closing, expected, messages, one_event
from pipeline.framing.choice import Choice
from pipeline.framing.names import FRAMINGS, Named
from pipeline.framing.own import own
from pipeline.probe.scenario import Scenario
from pipeline.probe.steps import MAIN, Close, Expect, HttpStep, Send, source_of
from pipeline.probe.templates import NAME
from pipeline.units import shown


@told(propertyNames={"pattern": f"^{NAME.pattern}$"}, additionalProperties={"type": "string", "minLength": 1})
def variables(value: dict[str, str]) -> dict[str, str]:
    """The value as it is. Raises ValueError for what is no name of a variable, or no place."""
    for name, where in saved(value).items():
        source, pattern = source_of(where)
        if source == "text":
            check_pattern(name, pattern, has_groups=True)
            if not re.compile(pattern).groups:
                raise Misplaced((name,), f"{shown(pattern)} has no group: (...) is what is saved")
    return value


@told()
def fields_wanted(value: dict[str, Any]) -> dict[str, Any]:
    """The value as it is. Raises ValueError for a test that there is not."""
    wanted(value)
    return value


class HttpConfig(Struct, frozen=True, kw_only=True):
    """One HTTP request of a scenario, and its answer.

    Args:
        method: of the request.
        path: on the service.
        send: what the request carries: a text, or a value that becomes JSON.
        form: the same as a browser's form sends it.
        headers: beside those of the scenario.
        status: that the answer must have.
        body: fields that the answer's JSON must have.
        save: variables to where the answer has their values: a path in its JSON, `cookie:NAME`, `header:NAME`, or `text:PATTERN`, whose first group it is; all are secret.
    """

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    path: UrlPath
    send: Any = None
    form: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    status: Annotated[int, whole(100, 599)] = 200
    body: Annotated[dict[str, Any], fields_wanted] = field(default_factory=dict)
    save: Annotated[dict[str, str], variables] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.form and self.send is not None:
            raise Misplaced(("form",), "a request has one body: send or form")

    def places(self, path: conversation.Path) -> Iterator[Place]:
        """Whatever may hold templates, and then what is saved."""
        yield Place((*path, "path"), self.path)
        yield from conversation.in_message((*path, "send"), self.send)
        yield from conversation.in_message((*path, "form"), self.form)
        yield from conversation.in_message((*path, "headers"), self.headers)
        yield Place((*path, "body"), wanted(self.body), is_event=True)
        yield Place(path, None, saves=tuple(self.save))

    def build(self) -> HttpStep:
        return HttpStep(
            self.method,
            self.path,
            self.status,
            wanted(self.body),
            self.send,
            self.form,
            self.headers,
            self.save,
        )


class ScenarioConfig(Struct, frozen=True, kw_only=True):
    """One kind of conversation. Texts in it may hold `${...}`; docs/scenarios.md has them.

    Args:
        path: of the WebSocket.
        send: the message that is sent, or a list of them.
        expect: the events that must come, in order; a list inside it is "in any order".
        steps: instead of send and expect, a conversation in turns.
        never: events that must not come.
        within: how long it may take, without what the steps stay for.
        close: the code that the socket must be closed with, or code, reason (a pattern) and by (us or server).
        http: HTTP requests that are made before the socket is opened, or instead of it.
        headers: of the handshake and the requests.
        subprotocols: that the handshake asks for.
        framing: how messages stand in the socket's frames: `json`, or another of docs/framings.md, which has their options.
        type_path: where a message says what it is, by dotted path; an event that is written as one word is looked for there.
        ignore: heartbeats, which are no messages: whole frames of text, and what messages say at `type`.
        max_message: the largest message that the service may send.
        tls: certificates, instead of those of probes.
    """

    path: Annotated[str, text_like(r"(/.*)?", "a path that starts with a slash")] = ""
    send: Any = None
    expect: list[Annotated[Any, expected]] = field(default_factory=list)
    steps: list[StepConfig] = field(default_factory=list)
    never: list[Annotated[Any, one_event]] = field(default_factory=list)
    within: Annotated[Duration, between("1ms", "1h")] = timedelta(seconds=10)
    close: Annotated[Any, closing] = 1000
    http: list[HttpConfig] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    subprotocols: list[str] = field(default_factory=list)
    framing: Annotated[Any, framing] = "json"
    type_path: Annotated[str, text_like(r"([^.]+(\.[^.]+)*)?", "a dotted path")] = field(
        default="", name="type"
    )
    ignore: list[Annotated[str, not_empty]] = field(default_factory=list)
    max_message: Size = 1 << 20
    tls: TlsConfig | None = None

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "anyOf": [
            {
                "required": ["path", "expect"],
                "properties": {"path": {"minLength": 1}, "expect": {"minItems": 1}, "steps": {"maxItems": 0}},
            },
            {
                "required": ["path", "steps"],
                "properties": {
                    "path": {"minLength": 1},
                    "steps": {"minItems": 1},
                    "expect": {"maxItems": 0},
                    "send": {"type": "null"},
                },
            },
            {
                "required": ["http"],
                "properties": {
                    "http": {"minItems": 1},
                    "path": {"maxLength": 0},
                    "expect": {"maxItems": 0},
                    "steps": {"maxItems": 0},
                    "never": {"maxItems": 0},
                    "send": {"type": "null"},
                },
            },
        ]
    }

    def __post_init__(self) -> None:
        is_said = bool(self.expect or self.send is not None)
        if not self.path and not self.http:
            raise ValueError("needs a WebSocket path, or http steps")
        if not self.path and (is_said or self.steps or self.never):
            raise ValueError(
                "send and expect need the WebSocket path that they are said on; so do steps and never"
            )
        if self.steps and is_said:
            raise ValueError("steps stand instead of send and expect: write those two as steps")
        waits = any(step.expect or step.stay for step in self.steps)
        if self.path and not self.expect and not waits:
            raise ValueError("a conversation must expect at least one event, or stay open for a while")
        heard = [Heard(("steps", at, "expect"), step.expect) for at, step in enumerate(self.steps)]
        conversation.check(
            list(self._places()),
            self.steps,
            [Heard(("expect",), self.expect), *heard],
            self.within,
            self._type_path,
        )
        conversation.check_as_written(self._as_written())

    def _places(self) -> Iterator[Place]:
        asked = [place for at, step in enumerate(self.http) for place in step.places(("http", at))]
        brought = {name for place in asked for name in place.saves}
        headers = [Place(("headers", name), value) for name, value in self.headers.items()]
        later = [place for place in headers if conversation.uses(place, brought)]
        yield from (place for place in headers if place not in later)
        yield from asked
        yield from later
        yield from (Place(("subprotocols", at), value) for at, value in enumerate(self.subprotocols))
        yield from conversation.in_message(("framing",), self.framing)
        yield Place(("path",), self.path)
        yield from conversation.in_message(("send",), self.send)
        yield from conversation.in_expect(("expect",), self.expect)
        yield from conversation.of_steps(self.steps)
        yield from conversation.of_events(("never",), self.never, self._type_path)

    def _as_written(self) -> Iterator[Place]:
        """Texts in which nothing is filled in."""
        yield Place(("type",), self.type_path)
        yield from conversation.in_message(("ignore",), self.ignore)
        for path, close in [
            (("close",), self.close),
            *((("steps", at, "close"), step.close) for at, step in enumerate(self.steps)),
        ]:
            if isinstance(close, Mapping):
                yield Place(path, close.get("reason"))
        yield from (Place(("headers", name), name) for name in self.headers)
        for at, step in enumerate(self.http):
            yield from (Place(("http", at, "headers", name), name) for name in step.headers)
        _, options = parts(self.framing)
        told = (key for key, option in self._named.options.items() if option.is_told and key in options)
        yield from (Place(("framing", key), options[key]) for key in told)

    @property
    def _close(self) -> Close:
        """Of the first socket: a close at the end of the steps is the scenario's."""
        last = self.steps[-1] if self.steps else None
        return close_of(last.close if last and last.close is not None and last.socket == MAIN else self.close)

    def build(self, name: str, folder: str = "", probes_tls: TlsConfig | None = None) -> Scenario:
        """Args:
        folder: of the configuration, from which a framing of the user's own is imported and secrets are read.
        probes_tls: of all scenarios that have none.
        """
        tls = self.tls or probes_tls
        spoken = self._framing(folder)
        said = (Send(messages(self.send)),) if self.send is not None else ()
        heard = tuple(group(item, spoken.type_path) for item in self.expect)
        steps = built(self.steps, spoken.type_path)
        is_closed = bool(steps) and isinstance(steps[-1], Close) and steps[-1].socket == MAIN
        return Scenario(
            name=name,
            path=self._path,
            steps=(*said, *((Expect(heard),) if heard else ()), *(steps[:-1] if is_closed else steps)),
            never=tuple(event(item, spoken.type_path) for item in self.never),
            within_s=self.within.total_seconds(),
            close=self._close,
            http=tuple(step.build() for step in self.http),
            headers=self.headers,
            subprotocols=tuple(self.subprotocols or filter(None, [self._named.subprotocol])),
            max_message_bytes=self.max_message,
            framing=spoken,
            folder=folder,
            tls=tls.build() if tls else None,
        )

    @property
    def _type_path(self) -> str:
        return self.type_path or self._named.type_path

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
        if self._named.joins:  # of single frames the library limits the size
            options["most"] = self.max_message
        return Choice(
            name,
            options,
            self._type_path,
            tuple(self.ignore),
            None if name in FRAMINGS else own(name, folder),
        )
