"""HTTP/1.1 heads and how long the body after them is, as far as a proxy in front of one process needs them.

Theory of operation. Bytes in, values out; no I/O here. What two parsers could read in two ways (two lengths, a length
beside chunks, folded lines, bare line feeds, spaces before a colon) is refused and never guessed: that is where request
smuggling lives. A body is described by its *framing*: a number of bytes, ``CHUNKED``, or ``UNTIL_CLOSE``.

Source: RFC 9112 sections 2-7 (messages), RFC 9110 section 7.6.1 (hop-by-hop fields).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

CHUNKED = -1
UNTIL_CLOSE = -2

_REQUEST = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\.([01])")
_STATUS = re.compile(r"HTTP/1\.[01] ([1-9][0-9]{2})(?: [\t -~\x80-\xff]*)?")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[\t -~\x80-\xff]*)?")
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "proxy-connection", "te", "upgrade"})
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_NEVER_HOP = _FRAMING | {"host"}  # whatever Connection says
#: What frames, routes, authorises or modifies a message is decided on before its trailers come.
_NOT_IN_TRAILERS = re.compile(
    r"content-(?!digest|md5).*|transfer-encoding|te|trailer|connection|keep-alive|upgrade|proxy-.*|host|x-forwarded-.*|forwarded|"
    r"x-cloud-trace-context|authorization|www-authenticate|cookie|set-cookie|expect|max-forwards|cache-control|pragma|"
    r"range|if-.*|age|expires|date|location|retry-after|vary|warning",
    re.IGNORECASE,
)


class BadMessage(Exception):
    """Not HTTP that can be forwarded: an answer, not a fault of ours.

    Args:
        status: to answer with when a client sent it.
    """

    def __init__(self, text: str, *, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Headers(Struct, frozen=True):
    """Header lines in order; names keep their spelling."""

    lines: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.lines if key.lower() == name]

    def get(self, name: str) -> str:
        """The value, or empty; several are joined by commas."""
        return ", ".join(self.all(name))

    def tokens(self, name: str) -> set[str]:
        return {token.strip().lower() for token in self.get(name).split(",")} - {""}

    def without(self, names: Iterable[str]) -> Headers:
        dropped = frozenset(names)
        return Headers(tuple(line for line in self.lines if line[0].lower() not in dropped))

    def plus(self, *lines: tuple[str, str]) -> Headers:
        return Headers((*self.lines, *lines))

    def end_to_end(self) -> Headers:
        """Without what concerns this connection alone."""
        return self.without(_HOP_BY_HOP | (self.tokens("connection") - _NEVER_HOP))

    def without_body(self) -> Headers:
        """For a head that no body follows, whatever it says: a reader might wait for one."""
        return self.without(_FRAMING)

    def after(self, start: str) -> bytes:
        """The head on the wire, with this first line."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.lines)
        return f"{start}\r\n{fields}\r\n".encode("latin-1")


class Request(Struct, frozen=True):
    """A request head. ``minor`` is the x of HTTP/1.x."""

    method: str
    target: str
    minor: int
    headers: Headers

    @property
    def start(self) -> str:
        return f"{self.method} {self.target} HTTP/1.{self.minor}"

    @property
    def is_websocket(self) -> bool:
        return (
            self.method == "GET"
            and self.minor == 1
            and "upgrade" in self.headers.tokens("connection")
            and self.headers.get("upgrade").lower() == "websocket"
        )

    @property
    def keeps_alive(self) -> bool:
        return self.minor == 1 and "close" not in self.headers.tokens("connection")

    @property
    def framing(self) -> int:
        """Raises BadMessage."""
        framing = _framing(self.headers, knows_chunks=self.minor == 1)
        return 0 if framing == UNTIL_CLOSE else framing


class Response(Struct, frozen=True):
    """A response head; ``start`` is its status line."""

    start: str
    status: int
    headers: Headers

    @property
    def is_interim(self) -> bool:
        return 100 <= self.status < 200 and self.status != 101

    @property
    def opens_websocket(self) -> bool:
        """A 101 to WebSocket, and to nothing else."""
        return (
            self.status == 101
            and "upgrade" in self.headers.tokens("connection")
            and [value.lower() for value in self.headers.all("upgrade")] == ["websocket"]
        )

    def framing(self, method: str) -> int:
        """Of the body that follows, given what was asked. Raises BadMessage."""
        framing = _framing(self.headers, knows_chunks=not self.start.startswith("HTTP/1.0"))
        return 0 if method == "HEAD" or self.status < 200 or self.status in (204, 304) else framing


def parse_request(head: bytes) -> Request:
    """Raises BadMessage."""
    match, headers = _parsed(head, _REQUEST, "request")
    if not match[2].startswith("/") and match[2] != "*":
        raise BadMessage("the target of a request is a path")
    return Request(match[1], match[2], int(match[3]), headers)


def parse_response(head: bytes) -> Response:
    """Raises BadMessage."""
    match, headers = _parsed(head, _STATUS, "status")
    return Response(match[0], int(match[1]), headers)


def parse_chunk(line: bytes) -> int:
    """The size that a chunk's first line (without its end) tells. Raises BadMessage."""
    match = _CHUNK.fullmatch(line)
    if not match:
        raise BadMessage("malformed chunk")
    return int(match[1], 16)


def check_trailer(line: bytes) -> None:
    """Raises BadMessage."""
    name, _ = _header(line.decode("latin-1"))
    if _NOT_IN_TRAILERS.fullmatch(name):
        raise BadMessage(f"{name} in a trailer")


def answer(status: int, reason: str, text: str) -> bytes:
    """A whole plain-text response, after which the connection ends."""
    body = f"{text}\n".encode()
    lines = (("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))))
    return Headers((*lines, ("Connection", "close"))).after(f"HTTP/1.1 {status} {reason}") + body


def _parsed(head: bytes, first: re.Pattern[str], what: str) -> tuple[re.Match[str], Headers]:
    start, *lines = head.decode("latin-1").split("\r\n")
    headers = Headers(tuple(_header(line) for line in lines))
    match = first.fullmatch(start)
    if not match:
        raise BadMessage(f"malformed {what} line")
    return match, headers


def _header(line: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(line)
    if not match:
        raise BadMessage("malformed header")
    return match[1], match[2].rstrip(" \t")


def _framing(headers: Headers, *, knows_chunks: bool) -> int:
    codings, lengths = headers.all("transfer-encoding"), headers.all("content-length")
    if codings:
        if lengths or len(codings) > 1 or codings[0].lower() != "chunked":
            raise BadMessage("a length beside chunks, or a transfer coding other than chunked")
        if not knows_chunks:
            raise BadMessage("HTTP/1.0 knows no chunks")
        return CHUNKED
    if not lengths:
        return UNTIL_CLOSE
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise BadMessage("malformed content-length")
    return int(lengths[0])
