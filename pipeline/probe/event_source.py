"""Server-sent events, offered as a session uses a WebSocket: one request, and what comes in the body of its answer.

The request is a POST with the message that is sent, or a GET where the session listens first. A body that ends is the
server's close with 1000, one that breaks off is a connection that was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ssl import SSLContext

import aiohttp
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close

from pipeline.framing.event_stream import MEDIA_TYPE
from pipeline.framing.protocol import Frame
from pipeline.probe import descriptors
from pipeline.probe.closes import NotStreamed
from pipeline.probe.conversation import Kind
from pipeline.probe.http_steps import client
from pipeline.probe.http_text import excerpt
from pipeline.probe.route import Saw, unseen
from pipeline.probe.scenario import Scenario
from pipeline.probe.target import proxy_for
from pipeline.probe.verdict import Closing, Ending


class EventSource:
    """One stream.

    Args:
        url: http(s)://...
    """

    def __init__(
        self,
        scenario: Scenario,
        url: str,
        headers: Mapping[str, str],
        saw: Saw = unseen,
        tls: SSLContext | None = None,
    ) -> None:
        self._url, self._saw = url, saw
        self._client = client({"Accept": MEDIA_TYPE, **scenario.headers, **headers}, url, tls)
        self._response: aiohttp.ClientResponse | None = None
        self._fault: ConnectionClosed | None = None

    async def send(self, frame: Frame) -> None:
        """Make the request. A fault is told by ``recv``, as of a WebSocket that closes while we speak."""
        assert self._response is None, "one request, one message"
        await self._request("POST", frame.encode() if isinstance(frame, str) else frame)

    async def recv(self) -> Frame:
        """The next piece of the body. Raises ConnectionClosed at its end, NotStreamed where there is none."""
        if self._response is None and self._fault is None:
            await self._request("GET", None)
        if self._fault is not None or self._response is None:
            raise self._fault or ConnectionClosedOK(None, None)
        try:
            piece = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            self._fault = ConnectionClosedError(None, None)
            raise self._fault from OSError(str(error))
        if not piece:
            self._fault = ConnectionClosedOK(Close(1000, "the response ended"), None)
            raise self._fault
        return piece

    async def hang_up(self, code: int, hear: Callable[[Frame], object] | None = None) -> Closing:  # noqa: ARG002
        """Leave: whoever reads a stream says no goodbye, so no answer is waited for."""
        await self.let_go()
        return Closing(code, by_server=False)

    async def let_go(self) -> None:
        if self._response is not None:
            self._response.close()
        await self._client.close()

    async def _request(self, method: str, body: bytes | None) -> None:
        kind = {} if body is None else {"Content-Type": "application/json"}
        try:
            self._response = await self._client.request(
                method, self._url, data=body, headers=kind, allow_redirects=False, proxy=proxy_for(self._url)
            )
            self._saw(self._response.headers)
            ending = await _refusal(method, self._response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            ending = descriptors.unreached(error, f"{method}: {error or type(error).__name__}")
        if ending is not None:
            self._fault = NotStreamed(ending)


async def _refusal(method: str, response: aiohttp.ClientResponse) -> Ending | None:
    if response.status != 200:
        said = excerpt(await response.content.read(4096))
        detail = f"{method} got {response.status} {response.reason}{said}"
        return Ending(Kind.REFUSED, detail, response.status)
    coding = response.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        return Ending(Kind.UNREADABLE, f"{method} got an answer in {coding}, which was not asked for", 200)
    if response.content_type != MEDIA_TYPE:
        return Ending(Kind.UNREADABLE, f"{method} got {response.content_type}, expected {MEDIA_TYPE}", 200)
    return None
