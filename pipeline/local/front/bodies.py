"""Message bodies on their way through: passed on as they come, never held, and within bounds.

A slow reader holds up its own sender and nobody else.
Source: RFC 9112 section 7.1 (chunks), RFC 9110 section 6.5 (trailers).
"""

from __future__ import annotations

from pipeline.local.front.http1 import CHUNKED, UNTIL_CLOSE, BadMessage, check_trailer, parse_chunk
from pipeline.local.front.limits import CHUNK_SLACK, MAX_LINE, MAX_TRAILERS
from pipeline.local.front.wire import Wire

_PIECE = 64 * 1024
_USUAL_FRAMING = 16  # bytes around a chunk that are nobody's fault


async def copy(
    source: Wire, target: Wire, framing: int, *, limit: int | None = None, knows_chunks: bool = True
) -> int:
    """Pass a body on. Returns its size in bytes.

    Args:
        limit: bytes of a chunked body; a length is judged before its body is read.
        knows_chunks: whether the reader does; else it gets what is in them.
    Raises: BadMessage, with status 413 beyond the limit.
    """
    if framing == CHUNKED:
        return await _copy_chunks(source, target, limit, knows_chunks)
    if framing == UNTIL_CLOSE:
        return await _copy_rest(source, target)
    await _copy_bytes(source, target, framing)
    return framing


async def _copy_chunks(source: Wire, target: Wire, limit: int | None, knows_chunks: bool) -> int:
    """Chunks are framed anew, without extensions, or not at all."""
    total = spent = 0
    while size := parse_chunk(line := await _line(source, MAX_LINE)):
        spent = _checked_framing(spent, len(line), size)
        total += size
        if limit is not None and total > limit:
            raise BadMessage(f"a body of more than {limit} bytes", status=413)
        if knows_chunks:
            target.write(b"%x\r\n" % size)
        await _copy_bytes(source, target, size)
        if await _line(source, 0):
            raise BadMessage("malformed chunk")
        if knows_chunks:
            target.write(b"\r\n")
    trailers = await _trailers(source)
    if knows_chunks:
        target.write(b"0\r\n" + trailers + b"\r\n")
    return total


async def _copy_bytes(source: Wire, target: Wire, left: int) -> None:
    while left:
        piece = await source.read(min(_PIECE, left))
        if not piece:
            raise BadMessage("the body was cut off")
        left -= len(piece)
        target.write(piece)
        await target.drain()


async def _copy_rest(source: Wire, target: Wire) -> int:
    size = 0
    while piece := await source.read(_PIECE):
        size += len(piece)
        target.write(piece)
        await target.drain()
    return size


def _checked_framing(spent: int, line: int, size: int) -> int:
    """How much was sent around the content so far and not made up for by it. Raises BadMessage."""
    spent = max(0, spent + line + 2 - _USUAL_FRAMING - 2 * size)
    if spent > CHUNK_SLACK:
        raise BadMessage("chunks with more around them than in them")
    return spent


async def _trailers(source: Wire) -> bytes:
    """All of them, ready to be written. Raises BadMessage."""
    found = b""
    while trailer := await _line(source, MAX_TRAILERS - len(found)):
        check_trailer(trailer)
        found += trailer + b"\r\n"
    return found


async def _line(source: Wire, limit: int) -> bytes:
    line = await source.read_until(b"\r\n", max(0, limit))
    if line is None:
        raise BadMessage("the body was cut off")
    return line
