"""What comes over a socket, and where a probe is sent: an outcome, or a refusal."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.errors import SpillwayError
from pipeline.framing.protocol import BadFrame
from pipeline.local.front.frames import FrameObserver
from pipeline.probe.ask import Address
from pipeline.probe.conversation import Kind
from pipeline.probe.machine import Machine
from pipeline.probe.matching import Expectation
from pipeline.probe.scenario import Scenario
from pipeline.probe.session import hold_conversation
from pipeline.probe.steps import MAIN
from pipeline.probe.target import check_address
from pipeline.probe.templates import Scope
from pipeline.probe.verdict import Closing, Ending, judge_conversation
from tests.fakes import START
from tests.fuzzing import ANY_TEXT, ODD, VALUES, WITHIN, draws, spliced

pytestmark = WITHIN

SCENARIO = Scenario.short(
    "s", "/ws", groups=((Expectation({"type": "a"}),), (Expectation({"p.0.q": 1}), Expectation({"type": "b"}, most=None))),
    within_s=5.0,
)  # fmt: skip
MESSAGES = (
    st.sampled_from(['{"type":"a"}', '{"type":"b"}', '{"p":[{"q":1}]}', "[" * 5_000, "1" * 5_000, "NaN", '"\\ud800"'])
    | VALUES.map(json.dumps) | st.text(max_size=40) | st.binary(max_size=50)
)  # fmt: skip
CLOSINGS = st.none() | st.builds(Closing, st.integers(0, 70_000), ODD, by_server=st.booleans(), cause=ODD)


@draws(1_500)
@given(st.lists(MESSAGES, max_size=8), CLOSINGS)
def test_messages_and_how_they_end(messages: list[str | bytes], close: Closing | None) -> None:
    machine, framing = Machine(SCENARIO, Scope(lambda: "u", lambda: START), 0.0), SCENARIO.framing.connect()
    machine.opened(MAIN, 0.0)
    for message in messages:
        try:
            for each in framing.decode(message).messages:
                machine.message(MAIN, each, 0.0)
        except BadFrame as error:
            machine.end(Ending(Kind.UNREADABLE, str(error)))
    if close:
        machine.closed(MAIN, close, 0.0)
    else:
        machine.passed(60.0)
    assert machine.ending
    seen = judge_conversation(SCENARIO, machine.seen, machine.ending, seconds=1.0)
    if seen.kind is Kind.OK:
        assert machine.seen.is_complete
        assert not machine.seen.disorder


@draws(1_000)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_frames_that_pass_by(pieces: list[bytes]) -> None:
    whole, parts = FrameObserver(), FrameObserver()
    whole.feed(b"".join(pieces))
    for piece in pieces:
        parts.feed(piece)
    assert whole.close == parts.close


FRAMES = st.lists(
    st.binary(max_size=30)
    | st.builds(lambda head, body: bytes([head, len(body)]) + body, st.integers(0, 255), st.binary(max_size=60))
    | st.sampled_from([b'\x81\x0c{"type":"a"}', b"\x88\x02\x03\xf3", b"\x81\x7f" + b"\xff" * 8, b"\x89\x00" * 50]),
    max_size=6,
).map(b"".join)  # fmt: skip


@draws(250)
@given(FRAMES)
def test_bytes_on_a_socket(stream: bytes) -> None:
    """A real conversation with a server that shakes hands and then sends these bytes and goes."""
    from websockets.utils import accept_key

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        key = re.search(r"(?i)sec-websocket-key: (\S+)", head)
        assert key
        said = f"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key(key[1])}\r\n\r\n"
        writer.write(said.encode() + stream)
        with suppress(OSError):
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    async def hold() -> Kind:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return (
                await hold_conversation(replace(SCENARIO, within_s=60.0), f"http://127.0.0.1:{port}", {})
            ).kind

    assert asyncio.run(hold()) is not Kind.OK


@draws(1_000)
@given(spliced("http://metadata.google.internal:80/x", ODD) | ANY_TEXT)
def test_addresses(url: str) -> None:
    with suppress(SpillwayError):
        check_address(Address(url))
        assert "metadata.google.internal" not in url.lower().split("/")[2].split(":")
