"""Reads a drain order from a URL that may be dead, slow or hostile.

Blocking, for a thread of its own. One reading is over within ten seconds, whatever the other side does (but for the
resolving of a name, which no program can end), takes half a megabyte at most and follows three redirects.

Addresses of Google's APIs (``https://*.googleapis.com``) are asked as the runtime account, with the token of the metadata
server; no other address gets it, and nothing is followed with it.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection, InvalidURL
from urllib.parse import SplitResult, urljoin, urlsplit

from pipeline.telemetry.order import Order, order_in

METADATA_VARIABLE = "GCE_METADATA_HOST"  # as Google's own clients know it
_ACCOUNT = "/computeMetadata/v1/instance/service-accounts/default"
_WITHIN_S = 10.0
_CALL_S = 5.0  # to connect, and from one piece of the answer to the next
_MOST_BYTES = 512 * 1024  # all annotations of a service are 256 KiB at most
_MOST_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_NOTHING_THERE = (204, 404)
_RENEWED_BEFORE_S = 60.0

#: One request, over at a moment of ``time.monotonic``: status, body, Location.
Get = Callable[[SplitResult, Mapping[str, str], float], tuple[int, bytes, str]]


class OrderUnread(Exception):
    """Whether there is an order is not known. The address is told without its path, which may hold a key."""


class OrderReader:
    """Args:
    url: of an order, or of a service's resource.
    environ: see ``METADATA_VARIABLE``.
    within_s: how long one reading may take.
    """

    def __init__(
        self, url: str, environ: Mapping[str, str], *, within_s: float = _WITHIN_S, get: Get | None = None
    ) -> None:
        self._url = url
        self._within_s = within_s
        self._get = get or _get
        self._metadata = environ.get(METADATA_VARIABLE) or "metadata.google.internal"
        self._token, self._token_until = "", 0.0

    def read(self) -> Order | None:
        """The order, None where there is none. Raises OrderUnread."""
        try:
            body = self._body()
            return order_in(body) if body else None
        except (OSError, HTTPException, ValueError, TypeError, KeyError, RecursionError) as error:
            words = "" if isinstance(error, InvalidURL) else f": {error}"  # its words are the address
            raise OrderUnread(f"{_host(self._url)}: {type(error).__name__}{words}") from error

    def _body(self) -> bytes:
        url, give_up = urlsplit(self._url), time.monotonic() + self._within_s
        headers = {"Authorization": f"Bearer {self._fresh_token(give_up)}"} if _is_googles(url) else {}
        for _ in range(_MOST_REDIRECTS + 1):
            status, body, location = self._get(url, headers, give_up)
            if status == 200:
                return body
            if status in _NOTHING_THERE:
                return b""
            if status not in _REDIRECTS or not location or headers:
                raise ValueError(f"answered {status}")
            url = urlsplit(urljoin(url.geturl(), location))
        raise ValueError(f"more than {_MOST_REDIRECTS} redirects")

    def _fresh_token(self, give_up: float) -> str:
        if time.monotonic() >= self._token_until:
            url = urlsplit(f"http://{self._metadata}{_ACCOUNT}/token")
            status, body, _ = self._get(url, {"Metadata-Flavor": "Google"}, give_up)
            if status != 200:
                raise ValueError(f"the metadata server answered {status} when asked for a token")
            said = json.loads(body)
            self._token = str(said["access_token"])
            self._token_until = time.monotonic() + float(said["expires_in"]) - _RENEWED_BEFORE_S
        return self._token


def _get(url: SplitResult, headers: Mapping[str, str], give_up: float) -> tuple[int, bytes, str]:
    """Status, body and Location. Raises OSError, HTTPException, ValueError."""
    left = give_up - time.monotonic()
    if left <= 0:
        raise TimeoutError("too slow")
    kind = {"http": HTTPConnection, "https": HTTPSConnection}.get(url.scheme)
    if kind is None or not url.hostname:
        raise ValueError("is no http or https address")
    connection = kind(url.hostname, url.port, timeout=min(_CALL_S, left))
    # A peer that sends a byte now and then keeps every time-out of its own from passing.
    connected: list[
        socket.socket
    ] = []  # the connection forgets its socket where the answer's end is the socket's
    ending = threading.Timer(left, _end, (connection, connected))
    ending.daemon = True
    ending.start()
    with closing(connection):
        try:
            path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
            connection.connect()
            connected.append(connection.sock)
            connection.request("GET", path, headers={**headers, "Connection": "close"})
            with connection.getresponse() as answer:
                body = answer.read(_MOST_BYTES + 1)
                if time.monotonic() >= give_up:  # what was ended so looks like an answer that ended there
                    raise TimeoutError("too slow")
                if len(body) > _MOST_BYTES:
                    raise ValueError(f"more than {_MOST_BYTES:,} bytes")
                return answer.status, body, answer.headers.get("Location", "")
        finally:
            ending.cancel()


def _end(connection: HTTPConnection, connected: list[socket.socket]) -> None:
    for each in connected or [connection.sock]:
        with suppress(OSError, TypeError):  # it is closed, or not there yet
            socket.socket.shutdown(each, socket.SHUT_RDWR)


def _is_googles(url: SplitResult) -> bool:
    host = url.hostname or ""
    return url.scheme == "https" and url.port in (None, 443) and host.endswith(".googleapis.com")


def _host(url: str) -> str:
    with suppress(ValueError):
        return urlsplit(url).hostname or "the address"
    return "the address"
