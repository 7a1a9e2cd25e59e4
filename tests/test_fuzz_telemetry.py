"""Whatever a scope, a client, an app or the environment holds, the app sees what it would have seen without the middleware."""

from __future__ import annotations

import asyncio
import enum
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from pipeline.telemetry import SpillwayTelemetry
from pipeline.telemetry.lines import from_payload, is_telemetry
from tests.fuzzing import draws
from tests.test_telemetry_contract import SCHEMA


class Odd(enum.Enum):
    ONE = object()


class Hostile:
    """Refuses to be looked at in every way."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise RuntimeError("neither")

    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __iter__(self) -> Any:
        raise RuntimeError("nothing in it")


plain = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20)
)
odd = st.sampled_from([Odd.ONE, memoryview(b"x"), {1}, b"\xff\xfe"]) | st.builds(object) | st.builds(Hostile)
values = st.recursive(plain | odd, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6)  # fmt: skip

words = st.sampled_from(["execute_agent", "agent_started", "agent_completed", 'é"\\/', "token"])
json_texts = st.builds(
    lambda kind, more: json.dumps({"type": kind, "more": more}), words | st.integers(), st.text(max_size=9)
)
texts = (
    json_texts
    | st.text(max_size=30)
    | st.sampled_from(["[" * 50_000, '{"type":' + "9" * 5000 + "}", "", "null"])
)
messages = st.one_of(
    st.builds(lambda text: {"type": "websocket.receive", "text": text}, texts),
    st.builds(lambda text: {"type": "websocket.receive", "bytes": text.encode("utf-8", "surrogatepass")}, texts),
    st.builds(lambda code, reason: {"type": "websocket.disconnect", "code": code, "reason": reason}, values, values),
    st.dictionaries(st.sampled_from(["type", "text", "bytes", "code", "reason", "status"]), values | texts, max_size=4),
)  # fmt: skip
sent = st.one_of(
    st.just({"type": "websocket.accept"}),
    st.builds(lambda text: {"type": "websocket.send", "text": text}, texts),
    st.builds(lambda code, reason: {"type": "websocket.close", "code": code, "reason": reason}, values, values),
    st.builds(lambda status: {"type": "websocket.http.response.start", "status": status}, values),
    st.dictionaries(st.sampled_from(["type", "text", "bytes", "code", "reason", "status"]), values | texts, max_size=4),
)  # fmt: skip
steps = st.lists(st.tuples(st.just("receive"), messages) | st.tuples(st.just("send"), sent), max_size=12)
scopes = st.dictionaries(st.sampled_from(["headers", "client", "path"]), values, max_size=3)
environs = st.dictionaries(
    st.sampled_from(["SPILLWAY_TELEMETRY", "SPILLWAY_CLIENT", "SPILLWAY_NONCE", "K_REVISION", "SPILLWAY_INSTANCE"]),
    st.text(max_size=20) | st.sampled_from(['{"runs":{"execute_agent":["é\\"\\\\/"]}}', '{"header":"é"}', '{"forwarded-for":9}', '{"header":"\\u4e2d"}']),
)  # fmt: skip


async def _played(
    scope: dict[str, Any], plan: list[tuple[str, Any]], environ: Mapping[str, str] | None, raises: bool
) -> tuple[list[object], list[str]]:
    """What app and server saw, by identity, and the lines. Environ None: without the middleware."""
    incoming = iter([message for kind, message in plan if kind == "receive"])
    seen: list[object] = []
    lines: list[str] = []

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        seen.append(("server", id(message)))

    async def app(given: Any, receive: Any, send: Any) -> None:
        seen.append(("scope", id(given)))
        for kind, message in plan:
            if kind == "send":
                await send(message)
            else:
                seen.append(("app", id(await receive())))
        if raises:
            raise ZeroDivisionError

    whole: Any = app
    if environ is not None:
        whole = SpillwayTelemetry(app, environ=environ, write=lines.append)
    try:
        await whole(scope, receive, send)
    except ZeroDivisionError:
        seen.append("raised")
    return seen, lines


@draws(1_600)
@given(scopes, steps, environs, st.booleans())
def test_the_service_is_as_without_it(
    scope: dict[str, Any], plan: list[tuple[str, Any]], environ: dict[str, str], raises: bool
) -> None:
    scope = {"type": "websocket", **scope}
    bare, _ = asyncio.run(_played(scope, plan, None, raises))
    watched, lines = asyncio.run(_played(scope, plan, environ, raises))
    assert watched == bare
    payloads = [json.loads(line) for line in lines]
    assert all(is_telemetry(each) for each in payloads)
    assert max(Counter(each["event"] for each in payloads if each["event"].startswith("ws_")).values(), default=0) <= 1  # fmt: skip


@draws(400)
@given(steps, st.booleans())
def test_a_server_that_keeps_to_the_protocol_gets_lines_that_keep_to_the_schema(
    plan: list[tuple[str, Any]], raises: bool
) -> None:
    """Messages of whose types and values a real server lets through only some."""
    sound = [step for step in plan if _is_sound(step[1])]
    scope = {"type": "websocket", "path": "/ws", "headers": [], "client": ("203.0.113.7", 1)}
    _, lines = asyncio.run(_played(scope, sound, {}, raises))
    for line in map(json.loads, lines):
        jsonschema.Draft202012Validator(SCHEMA).validate(line)
        assert from_payload(line) is not None


def _is_sound(message: dict[str, Any]) -> bool:
    code, reason, status = (message.get(key) for key in ("code", "reason", "status"))
    is_close = message.get("type") in ("websocket.close", "websocket.disconnect")
    if not is_close:
        return not (type(message.get("type")) is str and "response" in message["type"]) or (
            type(status) is int and status < 600
        )
    return type(code) is int and 1000 <= code < 5000 and type(reason) is str
