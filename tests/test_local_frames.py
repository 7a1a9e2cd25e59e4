"""The frame observer: it finds the close frame whatever comes before it and however it is cut."""

from __future__ import annotations

import os
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.local.front.frames import NO_STATUS, FrameObserver
from pipeline.local.front.observed import Observations, ObservedSocket

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def frame(opcode: int, payload: bytes, *, masked: bool = False, fin: bool = True) -> bytes:
    """On the wire. Source: RFC 6455 section 5.2."""
    first = bytes([opcode | (0x80 if fin else 0)])
    flag = 0x80 if masked else 0
    if len(payload) < 126:
        size = bytes([flag | len(payload)])
    elif len(payload) < 65_536:
        size = bytes([flag | 126]) + len(payload).to_bytes(2, "big")
    else:
        size = bytes([flag | 127]) + len(payload).to_bytes(8, "big")
    if not masked:
        return first + size + payload
    mask = os.urandom(4)
    return first + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def close(code: int, reason: str = "") -> bytes:
    return code.to_bytes(2, "big") + reason.encode()


def observed(*pieces: bytes) -> FrameObserver:
    observer = FrameObserver()
    for piece in pieces:
        observer.feed(piece)
    return observer


DATA = st.tuples(
    st.sampled_from([0x0, TEXT, BINARY, PING, PONG]),
    st.one_of(st.binary(max_size=140), st.sampled_from([b"x" * 65_535, b"x" * 65_536])),
    st.booleans(),
)


@settings(deadline=None)
@given(
    st.lists(DATA, max_size=5),
    st.booleans(),
    st.integers(1000, 4999),
    st.text(max_size=30),
    st.lists(st.integers(0, 1 << 18), max_size=12),
)
def test_a_close_is_found_in_any_stream_cut_anywhere(
    before: list[tuple[int, bytes, bool]], masked: bool, code: int, reason: str, cuts: list[int]
) -> None:
    stream = b"".join(frame(opcode, payload, masked=masked, fin=fin) for opcode, payload, fin in before)
    stream += frame(CLOSE, close(code, reason), masked=masked)
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    observer = observed(*(stream[a:b] for a, b in pairwise(places)))
    assert observer.close == (code, reason)


@settings(deadline=None)
@given(st.lists(DATA, max_size=5), st.binary(max_size=40))
def test_without_a_close_frame_there_is_no_close(before: list[tuple[int, bytes, bool]], tail: bytes) -> None:
    stream = b"".join(frame(opcode, payload, fin=fin) for opcode, payload, fin in before)
    assert observed(stream).close is None
    assert observed(stream, frame(BINARY, tail)).close is None


def test_byte_by_byte() -> None:
    stream = frame(TEXT, b"x" * 300, masked=True) + frame(CLOSE, close(1011, "ü"), masked=True)
    assert observed(*(bytes([byte]) for byte in stream)).close == (1011, "ü")


def test_a_close_without_a_code() -> None:
    assert observed(frame(CLOSE, b"")).close == (NO_STATUS, "")
    assert observed(frame(CLOSE, b"\x03")).close == (NO_STATUS, "")


def test_a_reason_that_is_no_text_does_no_harm() -> None:
    assert observed(frame(CLOSE, b"\x03\xf3\xff\xfe")).close == (1011, "��")


def test_what_comes_after_a_close_is_not_looked_at() -> None:
    assert observed(frame(CLOSE, close(1000)) + frame(CLOSE, close(1011))).close == (1000, "")


def test_a_close_frame_of_impossible_size_is_no_close() -> None:
    assert observed(frame(CLOSE, b"x" * 200), frame(CLOSE, close(1001))).close == (1001, "")


def test_a_side_counts_bytes_and_notes_when_it_closed() -> None:
    side = FrameObserver()
    side.feed(frame(TEXT, b"hello"))
    assert (side.size, side.close, side.closed_at) == (7, None, 0.0)
    side.feed(frame(CLOSE, close(1000)))
    first = side.closed_at
    side.feed(b"more")
    assert (side.size, side.close, side.closed_at) == (15, (1000, ""), first)
    assert first > 0


def seen(code: int, revision: str = "one") -> ObservedSocket:
    return ObservedSocket("chat", revision, 1.0, code, "", "server", 1, 1)


def test_observations_count_by_revision_and_code() -> None:
    observations = Observations()
    for revision in ("one", "one", "two"):
        observations.begin("chat", revision)
    observations.end(seen(1011))
    observations.end(seen(1000, "two"))
    assert observations.open_sockets() == {("chat", "one"): 1}
    assert observations.closes == {("chat", "one", 1011): 1, ("chat", "two", 1000): 1}
    assert [s.code for s in observations.ended] == [1011, 1000]
