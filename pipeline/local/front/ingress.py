"""The front end: one loopback address per service and per tag; plain HTTP by request, WebSockets by connection.

Sockets stay with the revision they were opened on, whatever happens to traffic or tags; only the end of that revision's
process, or the request timeout, ends them.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address

from pipeline.local.dataplane import Routes, StartFailed
from pipeline.local.entries.store import LogSink
from pipeline.local.front import balancer, http1
from pipeline.local.front.addresses import PortBook, reachable
from pipeline.local.front.exchange import TRUNCATED, Exchange, affinity_of, answer, forward
from pipeline.local.front.http1 import BadMessage, Request
from pipeline.local.front.limits import USUAL, Limits
from pipeline.local.front.observed import Observations
from pipeline.local.front.wire import Wire
from pipeline.local.hosts import is_address, is_ours
from pipeline.local.run.fleet import Fleet, NoInstance
from pipeline.local.tasks import Tasks

Door = tuple[str, str]  # a service and a tag, empty for the service's own address


class Ingress:
    """Implements ``dataplane.Router``.

    Args:
        chance: chooses revisions by weight.
        trust_forwarded: a loopback client's own X-Forwarded-For stands for its address (crowds of test users).
        is_inside: whether a connection comes from inside the network, by its ports: the client's, and ours.
    """

    def __init__(
        self,
        fleet: Fleet,
        ports: PortBook,
        logs: LogSink,
        *,
        chance: random.Random | None = None,
        trust_forwarded: bool = False,
        limits: Limits = USUAL,
        is_inside: Callable[[int, int], bool] = lambda *_: False,
    ) -> None:
        self._fleet = fleet
        self._ports = ports
        self._logs = logs
        self._chance = chance or random.Random()
        self._trust_forwarded = trust_forwarded
        self._limits = limits
        self._is_inside = is_inside
        self._routes: dict[str, Routes] = {}
        self._listeners: dict[tuple[str, str], asyncio.Server] = {}
        self._connections = Tasks("connection failed")
        self._wires: set[Wire] = set()  # also those that only wait for their client to read the last of it
        self._balancer_port = 0
        self.observations = Observations()

    async def route(self, service: str, routes: Routes) -> None:
        self._routes[service] = routes
        for door in [(service, tag) for tag in ("", *routes.tags)]:
            if door not in self._listeners:
                self._listeners[door] = await self._listen_at(self._ports.listener(*door), door)
        for tag in [t for s, t in self._listeners if s == service and t and t not in routes.tags]:
            self._unlisten(service, tag)

    async def forget(self, service: str) -> None:
        self._routes.pop(service, None)
        for tag in [t for s, t in self._listeners if s == service]:
            self._unlisten(service, tag)
        self._ports.forget(service)

    def uri(self, service: str, tag: str = "") -> str:
        return f"http://{reachable(self._ports.bind)}:{self._ports.port(service, tag)}"

    async def close(self) -> None:
        """Take no more connections and end the open ones."""
        for service, tag in list(self._listeners):
            self._unlisten(service, tag)
        self._ports.close()
        await self._connections.cancel()
        for wire in self._wires:
            wire.abort()

    async def _listen_at(self, sock: socket.socket, door: Door | None) -> asyncio.Server:
        def take(wire: Wire) -> None:
            self._wires.add(wire)
            wire.ended.add_done_callback(lambda _: self._wires.discard(wire))
            self._connections.spawn(self._serve(wire, door))

        return await asyncio.get_running_loop().create_server(lambda: Wire(take), sock=sock)

    async def balance(self, sock: socket.socket) -> None:
        """Be a load balancer there too, in front of every service (``balancer.py``)."""
        self._balancer_port = sock.getsockname()[1]
        self._listeners["", ""] = await self._listen_at(sock, None)  # of no service

    def _unlisten(self, service: str, tag: str) -> None:
        self._listeners.pop((service, tag)).close()  # its connections stay
        self._ports.release(service, tag)

    async def _serve(self, wire: Wire, door: Door | None) -> None:
        """Request after request on one client connection, until it ends or was a WebSocket."""
        try:
            while await self._one(wire, door):
                pass
            await wire.finish()
        except BadMessage as error:
            answer(wire, error.status, str(error))
            await wire.finish()
        finally:
            wire.end(self._limits.linger_s)

    async def _one(self, wire: Wire, door: Door | None) -> bool:
        """Read a request and answer it. Returns whether another may follow. Raises BadMessage."""
        head = await self._head(wire)
        if not head:
            return False
        request = http1.parse_request(head.removeprefix(b"\r\n"))
        if request.framing and request.is_websocket:
            raise BadMessage("a WebSocket handshake has no body")
        if request.framing > self._limits.body:
            raise BadMessage(
                f"The request is too large: its body has {request.framing} bytes, at most {self._limits.body} may come.",
                status=413,
            )
        service, tag = self._led(request, door)
        wanted = affinity_of(request)
        is_open = door is None or await self._lets_in(wire, door)
        revision = self._choose(service, tag, wanted) if is_open else None
        if revision is None:
            raise BadMessage("The requested URL was not found on this server.", status=404)
        chain = self._chain(request, wire.peer[0]) + ("" if door else f", {balancer.ADDRESS}")
        exchange = Exchange(service, revision, request, wire, chain, limits=self._limits)
        port = wanted[1] if wanted and wanted[0] == revision else None
        goes_on = await self._carry(exchange, port)
        self._log(exchange)
        return goes_on

    def _led(self, request: Request, door: Door | None) -> Door:
        """The service and the tag that a request came for. Raises BadMessage. Args: door: None at the load balancer."""
        hosts = request.headers.all("host")
        port = self._ports.port(*door) if door else self._balancer_port
        plain = hosts if door else [balancer.plain_host(host) for host in hosts]
        if not is_ours(plain, port, is_public=self._ports.is_public):
            raise BadMessage(f"host {request.headers.get('host')!r} is not this service's", status=403)
        if door is None:
            return balancer.led(hosts[0], request.headers.get(balancer.HEADER) or "", self._routes)
        return door

    async def _lets_in(self, wire: Wire, door: Door) -> bool:
        """At an address of the service's own."""
        routes = self._routes.get(door[0], Routes())
        if routes.is_disabled or not routes.is_internal:
            return not routes.is_disabled
        return await asyncio.to_thread(self._is_inside, wire.peer[1], self._ports.port(*door))

    async def _head(self, wire: Wire) -> bytes | None:
        """The next request's head; None when none comes. Raises BadMessage."""
        with suppress(TimeoutError):
            await asyncio.wait_for(wire.until_readable(), self._limits.idle_s)
        if not wire.is_readable:
            return None
        try:
            return await asyncio.wait_for(wire.read_until(b"\r\n\r\n"), self._limits.head_s)
        except TimeoutError:
            raise BadMessage(f"a head that takes more than {self._limits.head_s:g} s", status=408) from None

    async def _carry(self, exchange: Exchange, port: int | None) -> bool:
        try:
            instance = await self._fleet.acquire(exchange.service, exchange.revision, port=port)
        except NoInstance:
            return exchange.answer(429, "The request was aborted because there was no available instance.")
        except StartFailed:
            return exchange.answer(
                500, "The request failed because the instance could not start successfully."
            )
        exchange.instance = instance.id
        try:
            return await forward(exchange, instance, self.observations)
        finally:
            instance.release()

    def _choose(self, service: str, tag: str, wanted: tuple[str, int] | None) -> str | None:
        routes = self._routes.get(service, Routes())
        if tag:
            return routes.tags.get(tag)
        if wanted and self._fleet.has_affinity(service, wanted[0]):
            return wanted[0]  # beats the split, as on Cloud Run
        if not routes.weights:
            return None
        names, weights = zip(*routes.weights, strict=True)
        return str(self._chance.choices(names, weights)[0])

    def _chain(self, request: Request, peer: str) -> str:
        """X-Forwarded-For towards the instance."""
        given = request.headers.get("x-forwarded-for")
        if given and self._trust_forwarded and is_address(peer) and ip_address(peer).is_loopback:
            return given
        return f"{given}, {peer}" if given else peer

    def _log(self, exchange: Exchange) -> None:
        service, revision = exchange.service, exchange.revision
        if exchange.fault:
            severity = "WARNING" if exchange.fault == TRUNCATED else "ERROR"
            self._logs.system(service, revision, exchange.fault, severity, exchange.instance)
        if exchange.status:
            trace = f"projects/{service.split('/')[1]}/traces/{exchange.trace.partition('/')[0]}"
            self._logs.request(service, revision, exchange.log_fields(), trace, exchange.instance)
