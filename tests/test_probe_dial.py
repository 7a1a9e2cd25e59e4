"""Names that lead where no probe may go, at the first answer or at the second."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Kind
from pipeline.probe.dial import ForbiddenAddress, dial, remember_names, resolve
from pipeline.probe.round import run_round
from pipeline.probe.session import hold_conversation
from pipeline.probe.steps import HttpStep
from tests.hostile import Hostile, hostile, scenario


class Dns:
    """What names resolve to: each lookup takes the next answer, the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    def getaddrinfo(self, host: str, port: int, *_: object, **__: object) -> list[Any]:
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        self.asked.append(host)
        left = self.answers[host]
        found = left.pop(0) if len(left) > 1 else left[0]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in found
        ]


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Dns:
    made = Dns()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    return made


@pytest.fixture
async def server() -> AsyncIterator[Hostile]:
    async with hostile() as running:
        yield running


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "127.0.0.1", "::ffff:169.254.169.254", "fd00:ec2::254", "0.0.0.0"]
)
async def test_a_name_that_leads_astray_is_not_connected_to(dns: Dns, server: Hostile, address: str) -> None:
    dns.answers["evil.example"] = [[address]]
    for wanted in (scenario(), scenario("", http=(HttpStep("GET", "/x"),), groups=())):
        seen = await hold_conversation(wanted, f"http://evil.example:{server.port}", {})
        assert seen.kind is Kind.UNREACHABLE
        assert f"evil.example resolves to {address}, and it is" in seen.detail
    assert not server.requests


async def test_one_bad_address_among_good_ones_is_enough(dns: Dns) -> None:
    dns.answers["evil.example"] = [["93.184.216.34", "169.254.169.254"]]
    with pytest.raises(ForbiddenAddress):
        await resolve("evil.example", 80)


async def test_what_was_judged_is_connected_to(dns: Dns, server: Hostile) -> None:
    """A second lookup would be answered with the metadata server."""
    dns.answers["svc.localhost"] = [["127.0.0.1"], ["169.254.169.254"]]
    seen = await hold_conversation(scenario(), f"http://svc.localhost:{server.port}", {})
    assert (seen.kind, seen.detail) == (Kind.OK, "")
    assert dns.asked == ["svc.localhost"]
    assert server.requests[0].headers["Host"] == f"svc.localhost:{server.port}"


async def test_the_next_address_is_tried(dns: Dns, server: Hostile) -> None:
    dns.answers["svc.localhost"] = [["127.1.2.3", "127.0.0.1"]]  # nobody listens on the first
    seen = await hold_conversation(scenario(), f"http://svc.localhost:{server.port}", {})
    assert seen.kind is Kind.OK


async def test_a_name_without_an_address(dns: Dns) -> None:
    dns.answers["empty.example"] = [[]]
    for name in ("empty.example", "unknown.example"):
        with pytest.raises(OSError, match=r"has no address|not known"):
            await dial(name, 80, asyncio.Protocol)
        seen = await hold_conversation(scenario(), f"http://{name}", {})
        assert seen.kind is Kind.UNREACHABLE


async def test_a_round_looks_a_name_up_once_for_many_sockets(dns: Dns, server: Hostile) -> None:
    dns.answers["svc.localhost"] = [["127.0.0.1"]]
    address = Address(f"http://svc.localhost:{server.port}")
    ask = ProbeAsk((scenario(),), address, None, sessions=30, concurrency=10)
    plain = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # uvloop asks the system by itself
    report = await asyncio.to_thread(run_round, ask, lambda: datetime.now(UTC), runner=plain)
    assert not report.failures
    assert dns.asked == ["svc.localhost"]


async def test_a_lookup_that_failed_is_made_again(dns: Dns, server: Hostile) -> None:
    remember_names()
    with pytest.raises(OSError, match="not known"):
        await resolve("svc.localhost", server.port)
    dns.answers["svc.localhost"] = [["127.0.0.1"]]
    assert [address[0] for _, address in await resolve("svc.localhost", server.port)] == ["127.0.0.1"]


class Proxy:
    """Tunnels whatever it is asked for to one port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head.partition(b"\r\n")[0].decode())
        if not self._port:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            writer.close()
            return
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_copied(reader, their_writer), _copied(their_reader, writer))


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@pytest.mark.parametrize(
    ("path", "kind", "detail"),
    [
        ("/five", Kind.OK, ""),
        ("/1011", Kind.CLOSED_EARLY, "server closed with 1011"),
        ("/503", Kind.REFUSED, "handshake got 503"),
        ("/redirect", Kind.REFUSED, "handshake got 302"),
    ],
)
async def test_a_proxy_leads_to_the_same_conversation(
    server: Hostile, monkeypatch: pytest.MonkeyPatch, path: str, kind: Kind, detail: str
) -> None:
    proxy = Proxy(server.port)
    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as listening:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        seen = await hold_conversation(scenario(path), "http://svc.example", {})
        while server.open:
            await asyncio.sleep(0.01)
    assert seen.kind is kind
    assert detail in seen.detail
    assert proxy.asked == ["CONNECT svc.example:80 HTTP/1.1"]
    assert server.requests[0].headers["Host"] == "svc.example"


async def test_a_proxy_that_refuses_is_our_network(monkeypatch: pytest.MonkeyPatch) -> None:
    async with await asyncio.start_server(Proxy(0), "127.0.0.1", 0) as listening:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
        seen = await hold_conversation(scenario(), "http://svc.example", {})
    assert seen.kind is Kind.UNREACHABLE
    assert "407" in seen.detail
