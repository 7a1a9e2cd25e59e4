"""A conversation that is ended at any moment, by its limit or from outside, is told as what it was and leaves no socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pipeline.framing.choice import Choice
from pipeline.framing.json_text import Json
from pipeline.framing.protocol import CannotSpeak, Framing
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.matching import Expectation
from pipeline.probe.scenario import Scenario
from pipeline.probe.session import hold_conversation
from pipeline.probe.steps import MAIN, Expect, Open, Send
from tests.hostile import FIVE, Hostile, hostile

_HEARD = Expect(tuple((Expectation({"type": name}),) for name in FIVE))
#: two sockets one after the other under one name, of which the first is still open when the second is
TWICE = Scenario(
    "twice", "/five", (Send(({"type": "go"},)), _HEARD, Open("/five", MAIN), Send(({"type": "go"},)), _HEARD),
    within_s=1000.0,
)  # fmt: skip


@pytest.fixture
async def server() -> AsyncIterator[Hostile]:
    async with hostile() as running:
        yield running


@pytest.fixture
async def opened(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.BaseTransport]:
    """The sockets that a conversation has opened."""
    made: list[asyncio.BaseTransport] = []
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def connected(*args: Any, **more: Any) -> Any:
        pair = await connect(*args, **more)
        made.append(pair[0])
        return pair

    monkeypatch.setattr(loop, "create_connection", connected)
    return made


async def ended_at(
    server: Hostile,
    opened: list[asyncio.BaseTransport],
    wanted: Scenario,
    turns: int,
    end: Callable[[asyncio.Task[Conversation]], object],
) -> asyncio.Task[Conversation]:
    """The conversation, ended after so many turns of the loop, once no socket of it is open any more."""
    task = asyncio.create_task(hold_conversation(wanted, server.url, {}))
    for _ in range(turns):
        await asyncio.sleep(0)
    end(task)
    await asyncio.wait([task])
    assert all(socket.is_closing() for socket in opened)
    opened.clear()
    async with asyncio.timeout(30):
        while server.open:
            await asyncio.sleep(0.001)
    return task


async def test_one_that_is_given_up_at_any_moment_leaves_no_socket(
    server: Hostile, opened: list[asyncio.BaseTransport]
) -> None:
    given_up = 0
    for turns in range(1, 1000):
        task = await ended_at(server, opened, TWICE, turns, lambda task: task.cancel())
        if not task.cancelled():
            assert task.result().kind is Kind.OK
            break
        given_up += 1
    assert given_up > 20


async def test_one_whose_time_ends_at_any_moment_is_told_as_what_it_was(
    server: Hostile, opened: list[asyncio.BaseTransport], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an answer to the handshake it was not reached, and with one it was."""
    loop = asyncio.get_running_loop()
    limits: list[asyncio.TimerHandle] = []
    call_at = loop.call_at

    def noted(when: float, callback: Callable[..., Any], *args: Any, **more: Any) -> asyncio.TimerHandle:
        handle = call_at(when, callback, *args, **more)
        if when - loop.time() > 500:
            limits.append(handle)
        return handle

    def expire(_: object) -> None:
        for handle in limits:
            if not handle.cancelled():
                handle._run()
                handle.cancel()

    monkeypatch.setattr(loop, "call_at", noted)
    kinds = set()
    for turns in range(1, 1000):
        limits.clear()
        held = (await ended_at(server, opened, TWICE, turns, expire)).result()
        kinds.add(held.kind)
        if held.is_ok:
            break
        if held.kind is Kind.UNREACHABLE:
            assert "no answer to the handshake" in held.detail
        assert (held.connect_s is None) == (held.kind is Kind.UNREACHABLE and "opening" not in held.detail)
    assert kinds >= {Kind.OK, Kind.UNREACHABLE, Kind.TIMED_OUT}


async def test_a_framing_that_fails_leaves_no_socket(
    server: Hostile, opened: list[asyncio.BaseTransport]
) -> None:
    def made(**_: object) -> Framing:
        raise CannotSpeak("it is gone")

    own = Choice("mine.proto:Framing", own=made)
    wanted = Scenario("s", "/five", (Send(({"type": "go"},)), _HEARD), framing=own)
    held = (await ended_at(server, opened, wanted, 0, lambda _: None)).result()
    assert (held.kind, held.detail) == (Kind.NOT_SPOKEN, "it is gone")


async def test_one_that_fails_when_the_socket_is_opened_again_leaves_none(
    server: Hostile, opened: list[asyncio.BaseTransport]
) -> None:
    asked = 0

    def made(**_: object) -> Framing:
        nonlocal asked
        asked += 1
        if asked > 1:
            raise CannotSpeak("it is gone")
        return Json()

    own = Choice("mine.proto:Framing", own=made)
    wanted = Scenario("s", TWICE.path, TWICE.steps, within_s=1000.0, framing=own)
    held = (await ended_at(server, opened, wanted, 0, lambda _: None)).result()
    assert (held.kind, held.detail.partition(": ")[2]) == (Kind.NOT_SPOKEN, "it is gone")
