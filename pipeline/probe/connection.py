"""From a scenario's path to an open connection, or why there is none."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Protocol, cast

from websockets.client import ClientProtocol
from websockets.exceptions import (
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    ProxyError,
    WebSocketException,
)
from websockets.extensions.permessage_deflate import enable_client_permessage_deflate
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from pipeline.framing.protocol import Frame
from pipeline.probe import descriptors
from pipeline.probe.ask import USER_AGENT
from pipeline.probe.conversation import Kind
from pipeline.probe.dial import dial
from pipeline.probe.http_text import excerpt
from pipeline.probe.route import Saw, unseen
from pipeline.probe.scenario import Scenario
from pipeline.probe.target import http_url, proxy_for, socket_url, target_of
from pipeline.probe.verdict import Closing, Ending
from pipeline.probe.websocket import WebSocket

_LOGGER = logging.getLogger("websockets.client")
_COMPRESSION = enable_client_permessage_deflate(None)  # offered as browsers do


class Connection(Protocol):
    """What a session talks over."""

    async def recv(self) -> Frame:
        """The next message. May be cancelled, and nothing is lost. Raises ConnectionClosed at the end."""

    async def send(self, frame: Frame) -> None:
        """Say it, unless the connection is closing: ``recv`` tells of that."""

    async def hang_up(self, code: int, hear: Callable[[Frame], object] | None = None) -> Closing | None:
        """Close, and see how the server takes it; None where it did not answer.

        Args:
            hear: told of messages that the server had sent before it knew, as far as they come.
        """

    async def let_go(self) -> None:
        """End it at once."""


async def open_socket(
    scenario: Scenario,
    base_url: str,
    path: str,
    headers: Mapping[str, str],
    saw: Saw = unseen,
    tls: ssl.SSLContext | None = None,
) -> Connection | Ending:
    """A connection, or why there is none. The caller limits the time.

    Args:
        saw: told the headers of the answer.
        tls: instead of the usual one, where the address is https.
    """
    if scenario.framing.is_http:
        from pipeline.probe.event_source import EventSource  # and aiohttp, which is as large as all the rest

        return EventSource(scenario, http_url(base_url, path), headers, saw, tls)
    url = socket_url(base_url, path)
    try:
        opened = await _reached(scenario, url, tls)
        try:
            every = (*{**scenario.headers, **headers}.items(),)
            around = _around_key(socket_url(base_url, ""), scenario.subprotocols, every)
            answer = await opened.shake_hands(*around)
        except BaseException:
            await opened.let_go()
            raise
    except (OSError, WebSocketException) as error:
        if isinstance(error, InvalidStatus):
            saw(error.response.headers)
        return _handshake_fault(error)
    saw(answer.headers)
    return opened


async def _reached(scenario: Scenario, url: str, tls: ssl.SSLContext | None) -> WebSocket:
    """One that has still to shake hands."""

    def made(*_: object, **__: object) -> WebSocket:  # what websockets would pass, ours has
        return WebSocket(_protocol(url, scenario.subprotocols, scenario.max_message_bytes))

    proxy = proxy_for(url)
    if proxy is not None:
        from websockets.asyncio.client import connect

        by: dict[str, Any] = {} if tls is None else {"ssl": tls}
        way = connect(url, proxy=proxy, open_timeout=None, create_connection=cast("Any", made), **by)
        return cast("WebSocket", await way)
    host, port = target_of(url)
    transport, opened = await dial(host, port, made)
    if url.startswith("wss:"):
        loop = asyncio.get_running_loop()
        secured = await loop.start_tls(transport, opened, tls or _trust(), server_hostname=host)
        assert secured is not None
        opened.connection_made(secured)
    return opened


def _protocol(url: str, subprotocols: Sequence[str], most: int | None = None) -> ClientProtocol:
    return ClientProtocol(
        _parsed(url),
        extensions=_COMPRESSION,
        subprotocols=[Subprotocol(name) for name in subprotocols] or None,
        max_size=most,
        logger=_LOGGER,
    )


_parsed = lru_cache(parse_uri)


@lru_cache
def _around_key(
    origin: str, subprotocols: tuple[str, ...], headers: tuple[tuple[str, str], ...]
) -> tuple[bytes, bytes]:
    """A handshake's headers before its key and after it: most conversations have the same."""
    protocol = _protocol(origin, subprotocols)
    request = protocol.connect()
    protocol.parser.close()
    for name, value in (("User-Agent", USER_AGENT), *headers):
        if name in request.headers:  # however it is spelt: each of these stands once
            del request.headers[name]
        request.headers[name] = value
    before, _, after = request.headers.serialize().partition(protocol.key.encode())
    return before, after


@cache
def _trust() -> ssl.SSLContext:
    """Made once: it reads every authority that the machine trusts, which takes longer than a conversation."""
    return ssl.create_default_context()


def _handshake_fault(error: Exception) -> Ending:
    """Refused, if an HTTP answer came; unreachable otherwise."""
    if isinstance(error, InvalidStatus):
        answer = error.response
        detail = f"handshake got {answer.status_code} {answer.reason_phrase}{excerpt(answer.body or b'')}"
        return Ending(Kind.REFUSED, detail, answer.status_code)
    if isinstance(error, InvalidHandshake) and not isinstance(error, InvalidMessage | ProxyError):
        return Ending(Kind.REFUSED, f"the answer to the handshake is wrong: {_chain(error)}", 101)
    return descriptors.unreached(error, _chain(error))


def _chain(error: BaseException) -> str:
    """The error and its causes in one line; websockets keeps the telling one in the cause."""
    words = str(error) or type(error).__name__
    return f"{words}: {_chain(error.__cause__)}" if error.__cause__ else words
