"""HTTP/1.1 heads: what is read is what was meant, and nothing ambiguous is read at all."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.local.front import http1
from pipeline.local.front.http1 import BadMessage, Headers

TOKENS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)


@settings(deadline=None)
@given(TOKENS, st.lists(st.tuples(TOKENS, VALUES), max_size=8))
def test_a_head_that_was_written_is_read_as_it_was(method: str, lines: list[tuple[str, str]]) -> None:
    head = Headers(tuple(lines)).after(f"{method} /path?q HTTP/1.1").removesuffix(b"\r\n\r\n")
    request = http1.parse_request(head)
    assert (request.method, request.target, request.minor) == (method, "/path?q", 1)
    assert request.headers.lines == tuple(lines)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(head: bytes) -> None:
    for parse in (http1.parse_request, http1.parse_response, http1.parse_chunk):
        with suppress(BadMessage):
            assert parse(head) is not None


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_a_field_never_becomes_two(value: bytes) -> None:
    try:
        request = http1.parse_request(b"GET / HTTP/1.1\r\nA: " + value)
    except BadMessage:
        return
    written = request.headers.after(request.start)
    assert written.count(b"\r\n") == value.count(b"\r\n") + 3


@pytest.mark.parametrize(
    ("lines", "framing"),
    [
        ((), 0),
        ((("Content-Length", "12"),), 12),
        ((("content-length", "0"),), 0),
        ((("Transfer-Encoding", "Chunked"),), http1.CHUNKED),
    ],
)
def test_the_framing_of_a_request(lines: tuple[tuple[str, str], ...], framing: int) -> None:
    assert http1.Request("POST", "/", 1, Headers(lines)).framing == framing


@pytest.mark.parametrize(
    ("method", "status", "framing"),
    [("GET", 200, http1.UNTIL_CLOSE), ("HEAD", 200, 0), ("GET", 204, 0), ("GET", 304, 0), ("GET", 101, 0)],
)
def test_the_framing_of_an_answer_without_a_length(method: str, status: int, framing: int) -> None:
    assert http1.Response("", status, Headers()).framing(method) == framing


@pytest.mark.parametrize("length", ["", "+1", "1 ", "0x1", "1,1", "9" * 16, "\u0661"])
def test_a_length_is_decimal_digits(length: str) -> None:
    with pytest.raises(BadMessage):
        _ = http1.Request("POST", "/", 1, Headers((("Content-Length", length),))).framing


@pytest.mark.parametrize(
    ("headers", "is_websocket"),
    [
        ((("Connection", "Upgrade"), ("Upgrade", "websocket")), True),
        ((("connection", "keep-alive, upgrade"), ("upgrade", "WebSocket")), True),
        ((("Connection", "keep-alive"), ("Upgrade", "websocket")), False),
        ((("Connection", "Upgrade"), ("Upgrade", "h2c")), False),
        ((("Connection", "Upgrade"), ("Upgrade", "h2c, websocket")), False),
    ],
)
def test_what_is_a_websocket_handshake(headers: tuple[tuple[str, str], ...], is_websocket: bool) -> None:
    assert http1.Request("GET", "/", 1, Headers(headers)).is_websocket is is_websocket
    assert not http1.Request("POST", "/", 1, Headers(headers)).is_websocket
    assert not http1.Request("GET", "/", 0, Headers(headers)).is_websocket


def test_connection_names_what_is_dropped_but_never_what_frames_the_message() -> None:
    headers = Headers((
        ("Connection", "x-a, content-length, close"), ("X-A", "1"), ("Content-Length", "3"), ("X-B", "2"),
    ))  # fmt: skip
    assert headers.end_to_end().lines == (("Content-Length", "3"), ("X-B", "2"))


@pytest.mark.parametrize(("line", "size"), [(b"0", 0), (b"ff", 255), (b"1A;name=value", 26), (b"10 ", 16)])
def test_chunk_sizes(line: bytes, size: int) -> None:
    assert http1.parse_chunk(line) == size


@pytest.mark.parametrize("line", [b"", b"-1", b"0x10", b"1" * 13, b"1\r", b"g"])
def test_what_is_no_chunk_size(line: bytes) -> None:
    with pytest.raises(BadMessage):
        http1.parse_chunk(line)


def test_an_answer_of_the_platform_is_whole_and_ends_the_connection() -> None:
    head, _, body = http1.answer(404, "Not Found", "Not here.").partition(b"\r\n\r\n")
    response = http1.parse_response(head)
    assert response.status == 404
    assert response.framing("GET") == len(body)
    assert "close" in response.headers.tokens("connection")
