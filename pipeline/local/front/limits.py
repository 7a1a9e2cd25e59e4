"""What the front end takes from a peer, be it a client or an instance: bytes and seconds."""

from __future__ import annotations

from msgspec import Struct

MIB = 1024 * 1024
MAX_HEAD = 64 * 1024  # bytes of a request's or answer's head
MAX_LINE = 4096  # bytes of a chunk's first line
MAX_TRAILERS = 16 * 1024  # bytes of all together
MAX_INTERIM = 16  # 1xx heads before one answer
CHUNK_SLACK = 16 * 1024  # bytes of chunk framing in a row that come with hardly any content


class Limits(Struct, frozen=True):
    """The rest of a request's time is the revision's request timeout.

    Args:
        idle_s: a connection between two requests. (Google's load balancers: 610.)
        head_s: from a request's first byte to the end of its head.
        half_closed_s: a WebSocket of which one end sends no more.
        linger_s: until a peer has read the last of what it is sent.
        body: bytes of a request, and of an answer that tells its length. Source: "Maximum HTTP/1 request size" and
            "response size" of https://cloud.google.com/run/quotas.
        message: bytes of a WebSocket message on the wire, all its frames together.
    """

    idle_s: float = 610.0
    head_s: float = 30.0
    half_closed_s: float = 10.0
    linger_s: float = 10.0
    body: int = 32 * MIB
    message: int = 32 * MIB


USUAL = Limits()
