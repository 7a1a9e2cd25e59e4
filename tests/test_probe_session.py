"""One conversation against a server that behaves as badly as its path says."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
from websockets.asyncio.server import ServerConnection, serve

from pipeline.config import schema
from pipeline.probe.close_class import CloseClass, close_class
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.matching import Expectation
from pipeline.probe.scenario import Scenario
from pipeline.probe.session import hold_conversation
from pipeline.probe.steps import Close, HttpStep
from pipeline.probe.transcript import MESSAGE_BYTES, MESSAGES
from tests.conversations import HEAD
from tests.hostile import FIVE, Hostile, hostile, scenario

SHORT_S = 1.0  # for conversations that end at their deadline


@pytest.fixture
async def server() -> AsyncIterator[Hostile]:
    async with hostile() as running:
        yield running


async def hold(server: Hostile, wanted: Scenario) -> Conversation:
    return await hold_conversation(wanted, server.url, {})


@pytest.mark.parametrize("path", ["/five", "/impatient", "/chatty", "/close-without-code"])
async def test_good_conversations(server: Hostile, path: str) -> None:
    seen = await hold(server, scenario(path))
    assert (seen.kind, seen.detail) == (Kind.OK, "")
    assert seen.events == FIVE
    assert seen.first_event_s is not None
    assert 0 < seen.first_event_s <= seen.seconds


@pytest.mark.parametrize(
    ("path", "kind", "code", "detail"),
    [
        (
            "/1011",
            Kind.CLOSED_EARLY,
            1011,
            'server closed with 1011 "boom \x1b[31m"; still awaited: tool_executing',
        ),
        ("/keepalive", Kind.CLOSED_EARLY, 1011, "keepalive ping timeout"),
        ("/1012", Kind.CLOSED_EARLY, 1012, "server closed with 1012"),
        ("/1009", Kind.CLOSED_EARLY, 1009, "server closed with 1009"),  # their complaint about us, not ours
        (
            "/early-1000",
            Kind.CLOSED_EARLY,
            1000,
            "still awaited: tool_executing, tool_completed, agent_completed",
        ),
        ("/dropped", Kind.CLOSED_EARLY, 1006, "connection lost without a close frame (1006"),
        ("/swapped", Kind.OUT_OF_ORDER, 1000, "agent_thinking came before agent_started"),
        ("/twice", Kind.OUT_OF_ORDER, 1000, "agent_started came twice"),
        ("/straggler", Kind.OUT_OF_ORDER, 1000, "tool_completed came before tool_executing"),
        ("/4001-after", Kind.WRONG_CLOSE, 4001, "expected 1000"),
        ("/answers-1011", Kind.WRONG_CLOSE, 1011, "expected 1000"),
        ("/dropped-after", Kind.WRONG_CLOSE, 1006, "connection lost without a close frame"),
    ],
)
async def test_bad_conversations(server: Hostile, path: str, kind: Kind, code: int, detail: str) -> None:
    seen = await hold(server, scenario(path))
    assert (seen.kind, seen.close_code) == (kind, code)
    assert detail in seen.detail
    assert seen.transcript[0].sent


async def test_a_close_says_whose_fault_it_was(server: Hostile) -> None:
    theirs = await hold(server, scenario("/1011"))
    ours = await hold(server, scenario("/keepalive"))
    assert close_class(theirs.close_code, theirs.close_reason) is CloseClass.SERVER_ERROR_1011
    assert close_class(ours.close_code, ours.close_reason) is CloseClass.KEEPALIVE_1011


async def test_a_close_code_can_be_what_is_wanted(server: Hostile) -> None:
    assert (await hold(server, scenario("/4001-after", close=Close(4001)))).is_ok
    assert (await hold(server, scenario("/five", close=Close(1008)))).is_ok


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/binary", "a binary message of 2 bytes"),
        ("/not-json", "not JSON"),
        ("/nan", "NaN is not JSON"),
        ("/deep-json", "not JSON"),
        ("/bad-utf8", "not UTF-8"),
        ("/bad-utf8-amid", "not UTF-8"),  # though all that is awaited came, in the same piece
        ("/reserved-bits", "broken frames"),
        ("/huge", "too large"),
        ("/bomb", "too large"),
        ("/fragments", "too large"),
        ("/pings", "a flood"),
    ],
)
async def test_the_unreadable_ends_the_conversation(server: Hostile, path: str, detail: str) -> None:
    """Long before the deadline, though the server never closes."""
    seen = await hold(server, scenario(path, within_s=100.0))
    assert seen.kind is Kind.UNREADABLE, seen.detail
    assert detail in seen.detail


async def test_the_limit_is_on_the_inflated_message(server: Hostile) -> None:
    """64 KiB on the wire are let in or kept out by the 64 MiB that they become."""
    seen = await hold(server, scenario("/bomb", max_message_bytes=128 << 20))
    assert "not JSON" in seen.detail
    seen = await hold(server, scenario("/bomb", max_message_bytes=8 << 20))
    assert "too large" in seen.detail


@pytest.mark.parametrize(
    ("path", "kind", "detail"),
    [
        ("/silent", Kind.TIMED_OUT, ", ".join(FIVE)),
        ("/trickle", Kind.TIMED_OUT, "agent_started"),
        ("/unknown-events", Kind.TIMED_OUT, "agent_started"),
        ("/without-last", Kind.TIMED_OUT, "still awaited: agent_completed"),
        ("/without-third", Kind.MISSING_EVENTS, "agent_completed came, but never tool_executing"),
        ("/mute", Kind.UNREACHABLE, "no answer to the handshake within 1 s"),
    ],
)
async def test_a_deadline_ends_what_does_not_end_itself(
    server: Hostile, path: str, kind: Kind, detail: str
) -> None:
    seen = await hold(server, scenario(path, within_s=SHORT_S))
    assert seen.kind is kind
    assert seen.close_code is None
    assert detail in seen.detail


async def test_what_is_missing_is_not_waited_for_until_the_deadline(server: Hostile) -> None:
    seen = await hold(server, scenario("/without-third", within_s=100.0))
    assert seen.kind is Kind.MISSING_EVENTS


async def test_a_server_that_reads_nothing_holds_nobody_up() -> None:
    """What is said piles up until its limit, and then the deadline comes."""

    async def deaf(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await connection.wait_closed()

    async with serve(deaf, "127.0.0.1", 0, close_timeout=0.1) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        noise = Random(1).randbytes(500_000).hex()  # hardly smaller when it is compressed
        many = ({"text": noise},) * 40
        seen = await hold_conversation(scenario(send=many, within_s=SHORT_S), url, {})
    assert seen.kind is Kind.TIMED_OUT
    assert "still awaited: agent_started" in seen.detail
    assert 0 < len(seen.transcript) < len(many)


async def test_a_server_that_never_closes_is_left(server: Hostile) -> None:
    seen = await hold(server, scenario("/never-closes", within_s=100.0))
    assert seen.kind is Kind.WRONG_CLOSE
    assert seen.detail == "server did not answer our close (1000)"


async def test_it_is_left_though_a_timer_comes_early(
    server: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As uvloop's may, whose clock is of milliseconds."""
    loop = asyncio.get_running_loop()
    at = loop.call_at
    monkeypatch.setattr(loop, "call_at", lambda when, *rest, **more: at(when - 0.05, *rest, **more))
    async with asyncio.timeout(60):
        seen = await hold(server, scenario("/never-closes", within_s=100.0))
    assert seen.detail == "server did not answer our close (1000)"


async def test_refusals(server: Hostile) -> None:
    refused = await hold(server, scenario("/503"))
    assert (refused.kind, refused.status) == (Kind.REFUSED, 503)
    assert refused.detail == "handshake got 503 Service Unavailable: no instance"
    redirected = await hold(server, scenario("/redirect"))
    assert (redirected.kind, redirected.status) == (Kind.REFUSED, 302)
    broken = await hold(server, scenario("/not-a-websocket"))
    assert (broken.kind, broken.status) == (Kind.REFUSED, 101)


async def test_unreachable(server: Hostile) -> None:
    garbage = await hold(server, scenario("/garbage"))
    assert garbage.kind is Kind.UNREACHABLE
    assert "did not receive a valid HTTP response" in garbage.detail
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = await hold_conversation(scenario(), f"http://127.0.0.1:{unused.getsockname()[1]}", {})
    assert nobody.kind is Kind.UNREACHABLE
    tls = await hold_conversation(scenario(), server.url.replace("http", "https"), {})
    assert tls.kind is Kind.UNREACHABLE


async def test_messages_headers_and_subprotocols_arrive(server: Hostile) -> None:
    match = {
        "type": "heard",
        "said.0.n": 1,
        "said.1.n": 2,
        "headers.x-team": "blue",
        "subprotocol": "chat.v2",
    }
    wanted = scenario(
        "/echo",
        send=({"n": 1}, {"n": 2}),
        groups=((Expectation({**match, "headers.authorization": "Bearer t"}),),),
        headers={"X-Team": "blue"},
        subprotocols=("chat.v2",),
    )
    seen = await hold_conversation(wanted, server.url, {"Authorization": "Bearer t"})
    assert seen.is_ok, seen.transcript


async def test_transcripts_are_bounded(server: Hostile) -> None:
    many = await hold(server, scenario("/unknown-events", within_s=SHORT_S))
    assert len(many.transcript) == MESSAGES
    big = await hold(server, scenario("/silent", send=({"text": "é" * 5000},), within_s=SHORT_S))
    assert len(big.transcript[0].text.encode()) <= MESSAGE_BYTES
    assert json.loads(many.transcript[1].text) == {}


async def test_a_cancelled_conversation_lets_go_of_its_socket(server: Hostile) -> None:
    task = asyncio.create_task(hold(server, scenario("/silent")))
    while not server.open:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while server.open:
        await asyncio.sleep(0.01)


def http_only(*steps: HttpStep, **changes: object) -> Scenario:
    return scenario("", http=steps, groups=(), send=(), **changes)


HEALTH = HttpStep("GET", "/health", 200, {"status": "ok", "checks.db": True})


async def test_http_steps_come_first(server: Hostile) -> None:
    assert (await hold(server, scenario("/five", http=(HEALTH,)))).is_ok
    assert [request.path for request in server.requests] == ["/health", "/five"]
    assert (await hold(server, http_only(HEALTH, HttpStep("GET", "/redirect", 302)))).is_ok


@pytest.mark.parametrize(
    ("step", "kind", "detail"),
    [
        (HttpStep("GET", "/503"), Kind.HTTP_MISMATCH, "GET /503: status 503, expected 200: no instance"),
        (HttpStep("GET", "/redirect"), Kind.HTTP_MISMATCH, "status 302, expected 200"),
        (HttpStep("GET", "/health", 200, {"checks.db": False}), Kind.HTTP_MISMATCH, "checks.db is True"),
        (HttpStep("GET", "/not-json-body", 200, {"a": 1}), Kind.HTTP_MISMATCH, "not JSON"),
        (HttpStep("GET", "/large-body", 200, {"a": 1}), Kind.HTTP_MISMATCH, "larger than 1000 bytes"),
        (HttpStep("GET", "/garbage"), Kind.UNREACHABLE, "GET /garbage"),
    ],
)
async def test_http_faults(server: Hostile, step: HttpStep, kind: Kind, detail: str) -> None:
    seen = await hold(server, http_only(HEALTH, step, max_message_bytes=1000))
    assert seen.kind is kind
    assert detail in seen.detail


async def test_http_that_trickles_is_left(server: Hostile) -> None:
    seen = await hold(server, http_only(HttpStep("GET", "/http-trickle", 200, {"a": 1}), within_s=SHORT_S))
    assert (seen.kind, seen.detail) == (Kind.TIMED_OUT, "GET /http-trickle: no complete answer within 1 s")


async def test_a_server_that_closes_before_we_speak_is_read_to_its_end(server: Hostile) -> None:
    """It says its close, and keeps the connection: what it said before counts, and nothing waits for its end."""
    seen = await hold(server, scenario("/closed-at-once", within_s=30.0))
    assert (seen.kind, seen.close_code) == (Kind.CLOSED_EARLY, 4002)
    assert "still awaited: agent_thinking" in seen.detail


STEPS = "path: /half\nwithin: 30s\nsteps:\n  - expect: [{type: half, save: {half: text}}]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (STEPS + "  - {open: '/five?x=${half}', socket: b}\n  - expect: [x]", "what is filled in has half of a surr"),
        (STEPS + "  - send: {type: '${half}'}\n  - expect: [{type: half}]", ""),
        (
            STEPS.replace("/half", "/half\nframing: surrogates_said:Framing")
            + "  - send: '${half}'\n  - expect: [x]",
            "half of a surrogate pair is to be sent, which is no text",
        ),
    ],
    ids=["path", "json", "text"],
)  # fmt: skip
async def test_half_a_character_is_said_where_it_can_be(
    server: Hostile, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "surrogates_said.py").write_text(
        "from pipeline.framing.json_text import Json\n"
        "class Framing(Json):\n"
        "    def encode(self, message): return (message,)\n"
    )
    wanted = schema.parse(
        HEAD + "".join(f"    {line}\n" for line in text.splitlines()), str(tmp_path / "spillway.yaml")
    ).build_scenarios()[0]
    seen = await hold(server, wanted)
    assert seen.kind is (Kind.NOT_SPOKEN if words else Kind.OK), seen.detail
    assert words in seen.detail


async def saying_at_once(*lines: str | bytes) -> Conversation:
    """What comes of a conversation that wants "done" and never an error, with a server that says all of this at once."""

    async def talk(socket: ServerConnection) -> None:
        for line in lines:
            await socket.send(line, text=True)
        await socket.wait_closed()

    text = f"{HEAD}    path: /ws\n    expect: [done]\n    never: [error]\n"
    async with serve(talk, "127.0.0.1", 0, ping_interval=None) as there:
        url = f"http://127.0.0.1:{there.sockets[0].getsockname()[1]}"
        (wanted,) = schema.parse(text).build_scenarios()
        return await hold_conversation(wanted, url, {})


async def test_what_must_never_come_may_come_right_behind_the_last_event() -> None:
    seen = await saying_at_once('{"type": "done"}', '{"type": "usage"}', '{"type": "error"}')
    assert (seen.kind, seen.detail) == (Kind.UNWANTED_EVENT, "error came, which must never come")
    assert seen.transcript[-1].text == '{"type": "error"}'


async def test_what_else_comes_behind_it_is_not_judged() -> None:
    assert (await saying_at_once('{"type": "done"}', "no JSON", b"\xff no text", '{"type": "done"}')).is_ok


async def test_a_header_stands_once_however_it_is_spelt() -> None:
    seen: list[tuple[str, str]] = []

    async def talk(socket: ServerConnection) -> None:
        assert socket.request
        seen.extend(socket.request.headers.raw_items())
        await socket.send('{"type": "done"}')
        await socket.wait_closed()

    text = f"{HEAD}    path: /ws\n    headers: {{user-agent: me, host: other, X-A: a, x-a: b}}\n    expect: [done]\n"
    async with serve(talk, "127.0.0.1", 0, ping_interval=None) as there:
        url = f"http://127.0.0.1:{there.sockets[0].getsockname()[1]}"
        (wanted,) = schema.parse(text).build_scenarios()
        assert (await hold_conversation(wanted, url, {"User-Agent": "probe"})).is_ok
    named = [(name.lower(), value) for name, value in seen]
    assert [value for name, value in named if name in ("host", "user-agent", "x-a")] == [
        "other",
        "b",
        "probe",
    ]


@pytest.mark.parametrize(
    ("frame", "words"),
    [(b"\x88\x02\x03\xe7", "invalid status code"), (b"\x88\x01\x03", "close frame too short"), (b"\x88\x03\x03\xe8\xff", "utf-8")],
)  # fmt: skip
async def test_a_close_that_is_none_is_told_as_what_is_wrong_with_it(frame: bytes, words: str) -> None:
    async def talk(socket: ServerConnection) -> None:
        await socket.send('{"type": "done"}')
        socket.transport.write(frame)
        await asyncio.sleep(1)

    async with serve(talk, "127.0.0.1", 0, ping_interval=None) as there:
        url = f"http://127.0.0.1:{there.sockets[0].getsockname()[1]}"
        (wanted,) = schema.parse(f"{HEAD}    path: /ws\n    expect: [done]\n").build_scenarios()
        seen = await hold_conversation(wanted, url, {})
    assert seen.kind is Kind.WRONG_CLOSE
    assert "connection lost without a close frame (1006: " in seen.detail
    assert words in seen.detail
