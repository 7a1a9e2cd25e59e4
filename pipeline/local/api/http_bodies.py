"""The body of an HTTP call: JSON alone, of bounded size, within bounded time."""

from __future__ import annotations

import asyncio

from aiohttp import web

from pipeline.local.api.answering import MAX_REQUEST
from pipeline.local.control.state import Refused, invalid


async def read(request: web.BaseRequest, within_s: float) -> bytes:
    """All of it, unpacked; empty where there is none. Raises Refused."""
    if not request.body_exists:
        return b""
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() != "utf-8":
        given = request.headers.get("Content-Type", "")
        raise invalid(f"Content-Type '{given}': only application/json in UTF-8 is read.")
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        async with asyncio.timeout(within_s):
            return await _all(request)
    except TimeoutError as error:
        raise Refused("DEADLINE_EXCEEDED", f"The body did not arrive within {within_s:g} s.") from error
    except web.RequestPayloadError as error:
        raise invalid("The body cannot be read: its length or its encoding is wrong.") from error


async def _all(request: web.BaseRequest) -> bytes:
    found = bytearray()
    async for piece in request.content.iter_any():
        found += piece
        if len(found) > MAX_REQUEST:
            raise invalid(f"Request payload size exceeds the limit: {MAX_REQUEST} bytes.")
    return bytes(found)
