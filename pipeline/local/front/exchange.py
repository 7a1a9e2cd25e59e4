"""One request on its way to an instance and back: plain HTTP by messages, a WebSocket as a splice of bytes.

Whatever the instance or the client does wrong ends this one request, with the answer that Cloud Run gives for it.
Source: https://cloud.google.com/run/docs/troubleshooting (texts), RFC 9110 section 10.1.1 (Expect).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress

from msgspec import Struct, field

from pipeline.local.front import bodies, http1
from pipeline.local.front.http1 import BadMessage, Headers, Request, Response
from pipeline.local.front.limits import MAX_INTERIM, USUAL, Limits
from pipeline.local.front.observed import Observations, ObservedSocket
from pipeline.local.front.splice import Splice
from pipeline.local.front.wire import Wire
from pipeline.local.run.instance import Instance

AFFINITY_COOKIE = "GAESA"
MALFORMED = "The request failed because either the HTTP response was malformed or connection to the instance had an error."
TIMED_OUT = "The request has been terminated because it has reached the maximum request timeout."
TRUNCATED = (
    "Truncated response body. Usually implies that the request timed out or the application exited before the response "
    "was finished."
)
TOO_LARGE = "Response size was too large. Please consider reducing response size."
_REASONS = {
    400: "Bad Request", 403: "Forbidden", 404: "Not Found", 408: "Request Timeout", 413: "Content Too Large",
    429: "Too Many Requests", 431: "Header Fields Too Large",
    500: "Internal Server Error", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip
_TO_WEBSOCKET = (("Connection", "Upgrade"), ("Upgrade", "websocket"))


class Exchange(Struct):
    """One request: where it goes, and what the request log will say of it.

    Args:
        chain: value of X-Forwarded-For towards the instance; its last address is the client's.
        status: of the answer as far as it began, else 0.
        fault: what went wrong with it, for the system log.
        instance: that it was carried to; empty while it was to none.
    """

    service: str
    revision: str
    request: Request
    client: Wire
    chain: str
    started: float = field(default_factory=time.time)
    trace: str = ""
    status: int = 0
    sent: int = 0
    fault: str = ""
    limits: Limits = USUAL
    instance: str = ""

    def __post_init__(self) -> None:
        self.trace = self.request.headers.get("x-cloud-trace-context") or f"{secrets.token_hex(16)}/1;o=0"

    def answer(self, status: int, text: str) -> bool:
        """Answer for the platform. The connection does not go on."""
        self.status = status
        answer(self.client, status, text)
        return False

    def log_fields(self) -> dict[str, object]:
        headers = self.request.headers
        return {
            "requestMethod": self.request.method,
            "requestUrl": f"http://{headers.get('host')}{self.request.target}",
            "status": self.status,
            "responseSize": self.sent,
            "userAgent": headers.get("user-agent"),
            "remoteIp": self.chain.rpartition(",")[2].strip(),
            "latency": time.time() - self.started,
        }


def answer(client: Wire, status: int, text: str) -> None:
    client.write(http1.answer(status, _REASONS[status], text))


async def forward(exchange: Exchange, instance: Instance, observations: Observations) -> bool:
    """Carry one request to its end. Returns whether the client's connection goes on."""
    upstream: Wire | None = None
    try:
        async with asyncio.timeout(instance.spec.request_timeout_s):
            _, upstream = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", instance.port)
            if exchange.request.is_websocket:
                return await _upgrade(exchange, instance, upstream, observations)
            return await _plain(exchange, instance, upstream)
    except TimeoutError:
        return _fail(exchange, 504, "upstream request timeout", TIMED_OUT)
    except (BadMessage, OSError) as error:
        if isinstance(error.__cause__, BadMessage):
            # The client's fault: its body could not be read, which ended the talk with the instance (see _plain).
            return _fail(exchange, error.__cause__.status, str(error.__cause__), "")
        return _fail(exchange, 503, MALFORMED, "")
    finally:
        if upstream:
            upstream.abort(reset=False)  # what it has not read by now is of no use


def _fail(exchange: Exchange, status: int, text: str, fault: str) -> bool:
    """Answer so, or, where an answer has begun already, cut it off: the client must not take it for a whole one."""
    if not exchange.status:
        exchange.fault = fault
        return exchange.answer(status, text)
    exchange.fault = "" if exchange.client.ended.done() else fault or TRUNCATED
    exchange.client.abort(reset=exchange.status != 101)
    return False


async def _upgrade(
    exchange: Exchange, instance: Instance, upstream: Wire, observations: Observations
) -> bool:
    """A WebSocket handshake and, if it is granted, the socket until it ends."""
    upstream.write(_head_for_instance(exchange))
    response = await _response(exchange, upstream)
    if response.status != 101:
        return await _relay(exchange, instance, response, upstream)
    if not response.opens_websocket:
        raise BadMessage("an upgrade to something else")
    headers = _with_cookie(exchange, instance, response.headers.end_to_end().without_body())
    exchange.status = 101
    exchange.client.write(headers.plus(*_TO_WEBSOCKET).after(response.start))
    await _hold(exchange, Splice(exchange.client, upstream, exchange.limits), observations)
    return False


async def _hold(exchange: Exchange, socket: Splice, observations: Observations) -> None:
    """Count the socket while it is open, and note how it ended."""
    observations.begin(exchange.service, exchange.revision)
    try:
        await socket.run()
    finally:
        exchange.sent, exchange.fault = socket.by_server.size, socket.fault
        observations.end(ObservedSocket(
            exchange.service, exchange.revision, time.time() - exchange.started,
            *socket.end, socket.by_server.size, socket.by_client.size,
        ))  # fmt: skip


async def _plain(exchange: Exchange, instance: Instance, upstream: Wire) -> bool:
    """A request and its answer, both bodies as they come."""
    request, client = exchange.request, exchange.client

    def give_up(_: object) -> None:
        upstream.abort()  # a client that left is not worked for

    client.ended.add_done_callback(give_up)
    upstream.write(_head_for_instance(exchange))
    sending = asyncio.create_task(bodies.copy(client, upstream, request.framing, limit=exchange.limits.body))
    # Who waits for the answer is woken by this: the instance waits for a body that does not come.
    sending.add_done_callback(lambda task: upstream.abort() if _fault_of(task) else None)
    try:
        return await _relay(exchange, instance, await _response(exchange, upstream), upstream, sending)
    except BadMessage as error:
        raise error from _fault_of(sending)  # broken by the client's body, if that broke first
    finally:
        client.ended.remove_done_callback(give_up)
        sending.cancel()
        with suppress(asyncio.CancelledError, BadMessage):
            await sending


async def _response(exchange: Exchange, upstream: Wire) -> Response:
    """The final answer's head; interim ones are passed on to clients that know them. Raises BadMessage."""
    client = exchange.client
    for _ in range(MAX_INTERIM + 1):
        head = await upstream.read_until(b"\r\n\r\n")
        if head is None:
            raise BadMessage("no answer")
        response = http1.parse_response(head)
        if response.status == 101 and not exchange.request.is_websocket:
            raise BadMessage("an upgrade that nobody asked for")
        if not response.is_interim:
            return response
        if exchange.request.minor:
            client.write(response.headers.end_to_end().without_body().after(f"HTTP/1.1{response.start[8:]}"))
            await client.drain()
    raise BadMessage("interim answers without end")


async def _relay(
    exchange: Exchange,
    instance: Instance,
    response: Response,
    upstream: Wire,
    sending: asyncio.Task[int] | None = None,
) -> bool:
    """Pass on an answer. Returns whether another request may follow it on the client's connection."""
    request, client = exchange.request, exchange.client
    framing = response.framing(request.method)
    if framing > exchange.limits.body:
        exchange.fault = TOO_LARGE
        return exchange.answer(500, TOO_LARGE)
    # An answer before the request's end is the last one here: what comes next on this connection is not a head.
    goes_on = request.keeps_alive and framing != http1.UNTIL_CLOSE and _is_sent(sending)
    unframed = framing == http1.CHUNKED and not request.minor  # HTTP/1.0 knows the end of the stream alone
    headers = _with_cookie(exchange, instance, response.headers.end_to_end())
    if unframed or response.status == 204:
        headers = headers.without_body()
    if not goes_on:
        headers = headers.plus(("Connection", "close"))
    exchange.status = response.status
    client.write(headers.after(f"HTTP/1.1{response.start[8:]}"))
    exchange.sent = await bodies.copy(upstream, client, framing, knows_chunks=bool(request.minor))
    await client.drain()
    return goes_on


def _head_for_instance(exchange: Exchange) -> bytes:
    request = exchange.request
    ours = (
        ("X-Forwarded-For", exchange.chain),
        ("X-Forwarded-Proto", "http"),
        *(_TO_WEBSOCKET if request.is_websocket else (("Connection", "close"),)),
        ("X-Cloud-Trace-Context", exchange.trace),
    )
    kept = request.headers.end_to_end().without(name.lower() for name, _ in ours)
    return kept.plus(*ours).after(request.start)


def _with_cookie(exchange: Exchange, instance: Instance, headers: Headers) -> Headers:
    if not instance.spec.session_affinity or affinity_of(exchange.request) == (
        exchange.revision,
        instance.port,
    ):
        return headers  # the client has it
    return headers.plus(
        (
            "Set-Cookie",
            f"{AFFINITY_COOKIE}={exchange.revision}.{instance.port}; Path=/; Max-Age=2592000; HttpOnly",
        )
    )


def affinity_of(request: Request) -> tuple[str, int] | None:
    """The revision and the instance's port that the client's cookie names."""
    for part in request.headers.get("cookie").replace(",", ";").split(";"):
        name, _, value = part.strip().partition("=")
        revision, _, port = value.rpartition(".")
        if name == AFFINITY_COOKIE and revision and port.isascii() and port.isdecimal():
            return revision, int(port)
    return None


def _is_sent(sending: asyncio.Task[int] | None) -> bool:
    """Whether the request's body is through; None: it has none."""
    return sending is None or (sending.done() and not sending.cancelled() and not sending.exception())


def _fault_of(task: asyncio.Task[int]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None
