"""The middleware: what it writes, and that nothing that goes wrong in it reaches the service.

First by hand, message by message, on a clock that the test moves; then behind a real server.
"""

from __future__ import annotations

import asyncio
import enum
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.websockets import WebSocketState

from pipeline.telemetry import SpillwayTelemetry
from pipeline.telemetry.asgi import probe_key

ENVIRON = {"K_SERVICE": "svc", "K_REVISION": "svc-1", "SPILLWAY_NONCE": "n1"}

EVENTS = ("agent_started", "agent_completed")

ACCEPT: Mapping[str, object] = {"type": "websocket.accept"}

ASK: Mapping[str, object] = {"type": "websocket.receive", "text": '{"type": "execute_agent"}'}

LEAVE: Mapping[str, object] = {"type": "websocket.disconnect", "code": 1000}

Step = Mapping[str, object] | float | BaseException

Lines = list[dict[str, Any]]


def sends(kind: str, **fields: object) -> Mapping[str, object]:
    return {"type": "websocket.send", "text": json.dumps({"type": kind, **fields})}


class Hand:
    """Drives the middleware by hand: the app plays the steps; time passes only where a step is a number of seconds."""

    def __init__(self, **options: Any) -> None:
        self.time = 1000.0
        self.lines: Lines = []
        self.sent: list[Mapping[str, Any]] = []
        self.options = {"expects": EVENTS, "within_s": 5.0, "environ": ENVIRON, **options}
        self.send_fails: Exception | None = None

    def _app(self, steps: list[Step]) -> Callable[..., Awaitable[None]]:
        async def app(
            _scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
        ) -> None:
            for step in steps:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, int | float):
                    self.time += step
                    await asyncio.sleep(0)  # the loop runs what is due
                    await asyncio.sleep(0)
                elif step["type"] in ("websocket.receive", "websocket.disconnect"):
                    self._incoming.append(step)
                    assert await receive() is step
                else:
                    await send(step)

        return app

    def middleware(self) -> SpillwayTelemetry:
        """Around an app whose steps are those that are played."""
        options = {
            "write": lambda text: self.lines.append(json.loads(text)),
            "clock": lambda: self.time,
            **self.options,
        }
        return SpillwayTelemetry(self._played, **options)

    async def _played(self, *arguments: Any) -> None:
        await self._app(self._steps)(*arguments)

    async def play(
        self,
        *steps: Step,
        headers: Any = (),
        client: Any = ("203.0.113.7", 4711),
        app: SpillwayTelemetry | None = None,
    ) -> Lines:
        self._incoming: deque[Mapping[str, object]] = deque()
        loop = asyncio.get_running_loop()
        monkeypatch = pytest.MonkeyPatch()
        monkeypatch.setattr(loop, "time", lambda: self.time)

        async def receive() -> Any:
            return self._incoming.popleft()

        async def send(message: Any) -> None:
            if self.send_fails and message["type"] == "websocket.send":
                raise self.send_fails
            self.sent.append(message)

        self._steps = list(steps)
        try:
            await (app or self.middleware())(
                {"type": "websocket", "path": "/ws", "headers": headers, "client": client}, receive, send
            )
        finally:
            monkeypatch.undo()
        return self.lines


def told(lines: Lines) -> list[tuple[object, ...]]:
    """Event, and what it came to; without the lines at a run's start, one for each run."""
    return [
        (entry["event"], entry.get("outcome") or entry.get("code") or entry.get("status"))
        for entry in lines
        if entry["event"] != "agent_start"
    ]


async def test_a_conversation_is_four_lines() -> None:
    lines = await Hand().play(
        ACCEPT, 1, ASK, 0.5, sends("agent_started"), 0.5, sends("agent_completed"), 3, LEAVE
    )
    accept, start, run, close = lines
    assert [entry["event"] for entry in lines] == ["ws_accept", "agent_start", "agent_run", "ws_close"]
    assert {entry["session"] for entry in lines} == {accept["session"]}
    assert all(
        (entry["revision"], entry["nonce"], entry["spillway"], entry["accepted"])
        == ("svc-1", "n1", 2, 1000.0)
        for entry in lines
    )
    assert (start["run"], start["at"]) == (1, 1001.0)
    assert (run["started"], run["first_event_ms"], run["total_ms"], run["missing"]) == (
        1001.0,
        500.0,
        1000.0,
        [],
    )
    assert (close["closed_by"], close["seconds"], close["runs"], close["at"]) == ("client", 5.0, 1, 1005.0)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([ACCEPT, ASK, sends("agent_started"), 5], [("agent_run", "timeout")], id="a-hang-is-decided-at-its-deadline"),
        pytest.param([ACCEPT, 5], [("agent_run", "idle")], id="nobody-asked"),
        pytest.param([ACCEPT, ASK, 1, LEAVE], [("agent_run", "closed"), ("ws_close", 1000)], id="left-before-the-end"),
        pytest.param([ACCEPT, ASK, ASK, *map(sends, EVENTS * 2), LEAVE],
                     [("agent_run", "ok"), ("agent_run", "ok"), ("ws_close", 1000)], id="overlapping-runs"),
        pytest.param([ACCEPT, ASK, sends("agent_completed"), sends("agent_started"), 5], [("agent_run", "ok")], id="any-order"),
        pytest.param([ACCEPT, ASK, {"type": "websocket.send", "bytes": b'{"type":"agent_started"}'}, sends("agent_completed"), 9],
                     [("agent_run", "ok")], id="bytes"),
        pytest.param([ACCEPT, {"type": "websocket.receive", "text": "type: [" * 9}, 5], [("agent_run", "idle")], id="not-json"),
        pytest.param([ACCEPT, {"type": "websocket.receive", "text": '["type"]'}, 5], [("agent_run", "idle")], id="no-object"),
        pytest.param([ACCEPT, {"type": "websocket.receive", "text": '{"type": {"execute_agent": 1}}'}, 5], [("agent_run", "idle")], id="no-text"),
        pytest.param([ACCEPT, {"type": "websocket.receive", "text": '{"type":"execute_agent","x":"' + "y" * (1 << 20) + '"}'}, 5],
                     [("agent_run", "idle")], id="too-large-to-look-at"),
    ],
)  # fmt: skip
async def test_what_a_run_came_to(steps: list[Step], expected: list[tuple[object, ...]]) -> None:
    lines = await Hand().play(*steps)
    assert told(lines)[1 : 1 + len(expected)] == expected


@pytest.mark.parametrize("word", ["é", "a/b", 'say "yes"', "back\\slash", "tab\there"])
@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("as_bytes", [True, False])
async def test_a_word_is_found_however_it_is_written(word: str, ensure_ascii: bool, as_bytes: bool) -> None:
    text = json.dumps({"more": [1], "type": word}, ensure_ascii=ensure_ascii).replace("/", "\\/")
    said = {"bytes": text.encode()} if as_bytes else {"text": text}
    lines = await Hand(starts=(word,), expects=(word,)).play(
        ACCEPT, {"type": "websocket.receive", **said}, {"type": "websocket.send", **said}, LEAVE
    )
    assert told(lines)[1] == ("agent_run", "ok")


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_what_holds_bytes_is_read_as_bytes(kind: Callable[[bytes], object]) -> None:
    """ASGI knows bytes alone, and servers take what is like them: what the user got must be no failure."""
    events = [
        {"type": "websocket.send", "bytes": kind(json.dumps({"type": each}).encode())} for each in EVENTS
    ]
    asks = {"type": "websocket.receive", "bytes": kind(b'{"type": "execute_agent"}')}
    assert told(await Hand().play(ACCEPT, asks, *events, LEAVE))[1] == ("agent_run", "ok")


async def test_a_word_somewhere_else_in_a_message_asks_for_nothing() -> None:
    for text in (
        '{"text": "\\"type\\": \\"execute_agent\\""}',
        '{"payload": {"type": "execute_agent"}}',
        '{"type": "x", "text": "execute_agent"}',
    ):
        lines = await Hand().play(ACCEPT, {"type": "websocket.receive", "text": text}, 5, LEAVE)
        assert told(lines)[1] == ("agent_run", "idle")


async def test_of_overlapping_runs_the_oldest_gets_the_event() -> None:
    runs = await Hand().play(ACCEPT, ASK, 1, ASK, *map(sends, EVENTS), 9, LEAVE)
    said = [(entry["run"], entry["outcome"]) for entry in runs if entry["event"] == "agent_run"]
    assert said == [(1, "ok"), (2, "timeout")]


async def test_a_run_is_told_when_it_is_asked_for_before_anything_else_can_happen() -> None:
    hand = Hand()
    with pytest.raises(ZeroDivisionError):
        await hand.play(ACCEPT, ASK, *map(sends, EVENTS), 1, ASK, ZeroDivisionError())
    assert [(entry["event"], entry["run"]) for entry in hand.lines if "run" in entry] == [
        ("agent_start", 1), ("agent_run", 1), ("agent_start", 2), ("agent_run", 2),
    ]  # fmt: skip


async def test_an_instance_has_a_name_where_the_environment_has_one() -> None:
    (accept, *_) = await Hand(environ={**ENVIRON, "SPILLWAY_INSTANCE": "i-7"}).play(ACCEPT)
    (bare, *_) = await Hand().play(ACCEPT)
    assert (accept["instance"], "instance" in bare) == ("i-7", False)


@pytest.mark.parametrize(
    ("steps", "code", "by"),
    [
        pytest.param(
            [{"type": "websocket.close", "code": 1011, "reason": "boom"}], 1011, "server", id="server-1011"
        ),
        pytest.param([{"type": "websocket.close"}], 1000, "server", id="server-without-code"),
        pytest.param([{"type": "websocket.disconnect", "code": 1001}], 1001, "client", id="a-tab-was-closed"),
        pytest.param([{"type": "websocket.disconnect"}], 1005, "client", id="client-without-code"),
        pytest.param([{"type": "websocket.disconnect", "code": 1006}], 1006, "lost", id="client-vanished"),
        pytest.param([{"type": "websocket.disconnect", "code": 1012}], 1012, "server", id="told-to-stop"),
        pytest.param([], 1006, "server", id="returned-without-closing"),
        pytest.param(
            [{"type": "websocket.close", "code": 4001}, LEAVE], 4001, "server", id="the-first-end-counts"
        ),
    ],
)
async def test_who_closed(steps: list[Step], code: int, by: str) -> None:
    (*_, close) = await Hand().play(ACCEPT, *steps)
    assert (close["event"], close["code"], close["closed_by"]) == ("ws_close", code, by)


async def test_a_handler_that_raises_is_a_drop_and_raises_on() -> None:
    hand = Hand()
    with pytest.raises(ZeroDivisionError):
        await hand.play(ACCEPT, ASK, ZeroDivisionError())
    assert told(hand.lines)[1:] == [("agent_run", "closed"), ("ws_close", 1006)]
    assert hand.lines[-1]["closed_by"] == "server"


async def test_a_user_who_is_gone_when_the_service_speaks_is_no_fault_of_the_service() -> None:
    hand = Hand()
    hand.send_fails = ConnectionResetError("gone")
    with pytest.raises(ConnectionResetError):
        await hand.play(ACCEPT, ASK, sends("agent_started"))
    assert (hand.lines[-1]["code"], hand.lines[-1]["closed_by"]) == (1006, "lost")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([{"type": "websocket.close", "code": 1008}], [], id="403-is-an-answer"),
        pytest.param([{"type": "websocket.http.response.start", "status": 401}], [], id="401-is-an-answer"),
        pytest.param(
            [{"type": "websocket.http.response.start", "status": 503}], [("ws_refused", 503)], id="503"
        ),
    ],
)
async def test_a_handshake_that_is_refused(steps: list[Step], expected: list[tuple[object, ...]]) -> None:
    assert told(await Hand().play(*steps)) == expected


async def test_a_handler_that_raises_before_it_accepts_is_told_once() -> None:
    hand = Hand()
    with pytest.raises(ValueError, match="no"):
        await hand.play(ValueError("no"))
    assert told(hand.lines) == [("ws_refused", 500)]


async def test_every_message_passes_unchanged() -> None:
    hand = Hand()
    said = [
        ACCEPT,
        sends("agent_started", text="é" * 99),
        {"type": "websocket.close", "code": 4001, "reason": "bye"},
    ]
    await hand.play(*said)
    assert hand.sent == said


GREET: Mapping[str, object] = {"type": "websocket.receive", "text": '{"type": "hello"}'}


async def test_words_that_nobody_ever_says_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """One Hand is one process: ten sockets, twenty, forty."""
    hand = Hand(starts=("execute_agent", "ask"))
    middleware = hand.middleware()
    for number in range(41):
        await hand.play(ACCEPT, GREET, 5 if number % 2 else LEAVE, LEAVE, app=middleware)
    told = [line for line in hand.lines if line["event"] == "ws_unasked"]
    assert [line["sockets"] for line in told] == [10, 10, 20]
    assert told[0]["starts"] == ["execute_agent", "ask"]
    assert told[0]["nonce"] == "n1"
    assert "session" not in told[0]
    said = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in said] == [f"spillway telemetry: {n} sockets" for n in (10, 20, 40)]
    assert "none asked for execute_agent, ask (in the field type)" in said[0]


async def test_who_was_asked_once_has_the_right_words(capsys: pytest.CaptureFixture[str]) -> None:
    hand = Hand()
    middleware = hand.middleware()
    await hand.play(ACCEPT, ASK, LEAVE, app=middleware)
    for _ in range(30):
        await hand.play(ACCEPT, GREET, LEAVE, app=middleware)
    assert "ws_unasked" not in {line["event"] for line in hand.lines}
    assert capsys.readouterr().err == ""


async def test_probes_neither_ask_for_users_nor_leave_unasked() -> None:
    hand = Hand()
    middleware, probe = hand.middleware(), [(b"x-spillway-probe", probe_key("n1").encode())]
    for _ in range(10):
        await hand.play(ACCEPT, GREET, LEAVE, app=middleware, headers=probe)
    await hand.play(ACCEPT, ASK, LEAVE, app=middleware, headers=probe)
    assert "ws_unasked" not in {line["event"] for line in hand.lines}
    for _ in range(10):
        await hand.play(ACCEPT, GREET, LEAVE, app=middleware)
    assert [line["sockets"] for line in hand.lines if line["event"] == "ws_unasked"] == [10]


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Colour.RED, "RED"), (WebSocketState.CONNECTED, "CONNECTED"), (datetime(2026, 1, 1, tzinfo=UTC), None), ({1, 2}, None),
        (b"x", None), (float("nan"), "nan"), pytest.param(object(), None, id="object"), ({Colour.RED: [Colour.RED]}, {"Colour.RED": ["RED"]}),
    ],
    ids=str,
)  # fmt: skip
async def test_what_json_refuses_becomes_its_name_or_its_repr(value: object, written: object) -> None:
    (*_, close) = await Hand().play(ACCEPT, {"type": "websocket.close", "code": 1011, "reason": value})
    assert close["reason"] == (repr(value) if written is None else written)


async def test_a_value_that_contains_itself_is_no_loop() -> None:
    knot: list[object] = []
    knot.append(knot)
    (*_, close) = await Hand().play(ACCEPT, {"type": "websocket.close", "code": 1011, "reason": knot})
    assert "..." in json.dumps(close["reason"])


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("trouble", ["write", "clock", "repr", "message"])
async def test_nothing_that_goes_wrong_in_here_reaches_the_service(
    trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> float:
        raise OSError("disk full")

    hand = Hand(**({trouble: fail} if trouble in ("write", "clock") else {}))
    odd = {
        "repr": {"type": "websocket.close", "reason": Hostile()},
        "message": {"type": "websocket.close", "code": []},
    }
    steps = [ACCEPT, ASK, sends("agent_started"), odd.get(trouble, {"type": "websocket.close"})]
    await hand.play(*steps)
    assert hand.sent == [s for s in steps if s is not ASK]
    if trouble != "message":
        assert "spillway telemetry" in capsys.readouterr().err


@pytest.mark.parametrize("headers", [[("not", "bytes")], [1], "text", [(b"x-spillway-probe", None)]])
async def test_strange_headers_leave_the_service_alone(
    headers: object, capsys: pytest.CaptureFixture[str]
) -> None:
    hand = Hand()
    await hand.play(ACCEPT, ASK, headers=headers)
    assert hand.sent == [ACCEPT]
    capsys.readouterr()


async def test_other_scopes_pass_by() -> None:
    seen: list[object] = []

    async def app(scope: object, *_: object) -> None:
        await asyncio.sleep(0)
        seen.append(scope)

    scope: MutableMapping[str, Any] = {"type": "http"}
    await SpillwayTelemetry(app, environ={})(scope, None, None)  # type: ignore[arg-type]
    assert seen == [scope]


async def _client(**options: Any) -> str:
    environ = options.pop("environ", ENVIRON)
    (accept, *_) = await Hand(environ=environ).play(ACCEPT, **options)
    return str(accept["client"])


async def test_a_client_is_a_salted_hash_of_its_address() -> None:
    plain = await _client()
    assert len(plain) == 16
    assert "203" not in plain
    assert plain == await _client(
        environ={**ENVIRON, "K_REVISION": "svc-2", "SPILLWAY_NONCE": "n2"}
    )  # over both arms
    assert plain != await _client(environ={**ENVIRON, "K_SERVICE": "other"})
    assert plain != await _client(environ={**ENVIRON, "SPILLWAY_SALT": "secret"})
    behind = [(b"x-forwarded-for", b"198.51.100.1, 203.0.113.7")]
    assert plain == await _client(
        headers=behind, client=("10.0.0.1", 1)
    )  # only the last entry is Cloud Run's own
    assert await _client(client=None)


async def test_a_probe_is_known_by_its_key_and_not_by_claiming() -> None:
    async def is_probe(value: bytes) -> bool:
        (accept, *_) = await Hand().play(ACCEPT, headers=[(b"x-spillway-probe", value)])
        return accept.get("probe", False) is True

    assert await is_probe(probe_key("n1").encode())
    assert not await is_probe(probe_key("n2").encode())
    assert not await is_probe(b"true")
    assert "n1" not in probe_key("n1")
