"""Plain HTTP through the ingress: chosen by request, forwarded as it was meant, refused where it is ambiguous."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.ingress import SERVICE, World, answers, get, open_world, until


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as made:
        yield made


@pytest.fixture
async def trusting(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, trust_forwarded=True) as made:
        yield made


def body_of(response: bytes) -> bytes:
    return response.partition(b"\r\n\r\n")[2]


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


class Recorder:
    """Answers 200 and keeps the head and body of each request that came."""

    def __init__(
        self, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", body: int = 0
    ) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self._answer = answer
        self._body = body

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        self.bodies.append(await reader.readexactly(self._body))
        writer.write(self._answer)
        writer.close()


async def recorded(world: World, **options: object) -> Recorder:
    recorder = Recorder(**options)  # type: ignore[arg-type]
    await world.tcp("one", recorder)
    await world.route(("one", 100))
    return recorder


async def test_requests_on_one_connection_are_shared_by_weight(world: World) -> None:
    for revision in ("one", "two"):
        await world.tcp(revision, answers(revision))
    await world.route(("one", 80), ("two", 20))
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port())
    seen: Counter[bytes] = Counter()
    for _ in range(400):
        writer.write(get(world, last=False))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 3" in head
        seen[await reader.readexactly(3)] += 1
    writer.close()
    chi_square = (seen[b"one"] - 320) ** 2 / 320 + (seen[b"two"] - 80) ** 2 / 80
    assert chi_square < 10.83, seen  # one degree of freedom, p = 0.001; the draws are seeded


async def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    await world.tcp("one", answers("x"))
    await world.route(("one", 100))
    response = await world.ask(get(world, "/1", last=False) + get(world, "/2", last=False) + get(world, "/3"))
    assert response.count(b"HTTP/1.1 200 OK") == 3
    assert [str(fields["requestUrl"])[-2:] for _, fields, _ in await world.logged(3)] == ["/1", "/2", "/3"]


async def test_a_body_with_a_length_arrives_whole(world: World) -> None:
    body = bytes(range(256)) * 1000
    recorder = await recorded(world, body=len(body))
    head = f"POST /in HTTP/1.1\r\nHost: localhost:{world.port()}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    response = await world.ask(head.encode() + body)
    assert body_of(response) == b"ok"
    assert recorder.bodies == [body]


async def test_a_chunked_body_arrives_whole(world: World) -> None:
    recorder = await recorded(world, body=len(b"5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\n\r\n") - len(b";ext=1"))
    head = f"POST / HTTP/1.1\r\nHost: localhost:{world.port()}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    response = await world.ask(head.encode() + b"5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\n\r\n")
    assert body_of(response) == b"ok"
    assert recorder.bodies == [b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"3\r\nabc\r\n0\r\n\r\n",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b""),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    ],
)
async def test_each_kind_of_answer_arrives_whole(world: World, answer: bytes, body: bytes) -> None:
    await recorded(world, answer=answer)
    response = await world.ask(get(world))
    assert response.endswith(b"\r\n\r\n" + body)


async def test_the_answer_to_head_has_no_body(world: World) -> None:
    await recorded(world, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    response = await world.ask(get(world).replace(b"GET", b"HEAD", 1))
    assert b"Content-Length: 500" in response
    assert body_of(response) == b""


async def test_hop_by_hop_fields_stay_on_their_hop(world: World) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: 1\r\nConnection: x-hop\r\nX-Hop: 1\r\nX-End: 1\r\n\r\n"
    recorder = await recorded(world, answer=answer)
    response = await world.ask(
        get(world, "/", "Connection: X-Mine, close", "X-Mine: 1", "TE: trailers", last=False)
    )
    (head,) = recorder.heads
    assert b"X-Mine" not in head
    assert b"TE:" not in head
    assert b"Connection: close" in head
    assert b"X-Hop" not in response
    assert b"X-End: 1" in response


async def test_the_clients_address_is_in_x_forwarded_for(world: World) -> None:
    recorder = await recorded(world)
    await world.ask(get(world))
    await world.ask(get(world, "/", "X-Forwarded-For: 203.0.113.9"))
    assert b"\r\nX-Forwarded-For: 127.0.0.1\r\n" in recorder.heads[0]
    assert b"\r\nX-Forwarded-For: 203.0.113.9, 127.0.0.1\r\n" in recorder.heads[1]
    assert [fields["remoteIp"] for _, fields, _ in await world.logged(2)] == ["127.0.0.1", "127.0.0.1"]


async def test_with_the_flag_a_loopback_client_may_be_anybody(trusting: World) -> None:
    recorder = await recorded(trusting)
    await trusting.ask(get(trusting, "/", "X-Forwarded-For: 203.0.113.9"))
    assert b"\r\nX-Forwarded-For: 203.0.113.9\r\n" in recorder.heads[0]
    ((_, fields, _),) = await trusting.logged(1)
    assert fields["remoteIp"] == "203.0.113.9"


async def test_a_request_entry_says_what_was_asked_and_answered(world: World) -> None:
    await recorded(world, answer=b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
    await world.ask(get(world, "/path?q=1", "User-Agent: probe/1"))
    ((revision, fields, trace),) = await world.logged(1)
    assert revision == "one"
    assert fields["requestMethod"] == "GET"
    assert fields["requestUrl"] == f"http://127.0.0.1:{world.port()}/path?q=1"
    assert (fields["status"], fields["responseSize"], fields["userAgent"]) == (503, 4, "probe/1")
    assert trace.startswith("projects/local/traces/")
    await until(lambda: world.fleet.leased == 0)


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        "GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length : 1\r\n\r\nx",
        "GET / HTTP/1.1\r\nHost: {host}\r\nA: b\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\nA: b\r\n\r\n",
        "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: {host}\r\n\r\n",
        "GET /\r\nHost: {host}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: {host}\r\nA: b\0c\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_what_two_parsers_could_read_in_two_ways_is_refused(world: World, request_text: str) -> None:
    recorder = await recorded(world)
    response = await world.ask(request_text.format(host=f"127.0.0.1:{world.port()}").encode())
    assert status_of(response) == 400
    assert not recorder.heads


async def test_a_malformed_chunk_ends_the_request(world: World) -> None:
    async def until_cut_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    await world.tcp("one", until_cut_off)
    await world.route(("one", 100))
    head = f"POST / HTTP/1.1\r\nHost: localhost:{world.port()}\r\nTransfer-Encoding: chunked\r\n\r\n"
    response = await world.ask(head.encode() + b"zz\r\n")
    assert status_of(response) == 400
    await until(lambda: world.fleet.leased == 0)


async def test_a_head_without_end_is_refused(world: World) -> None:
    await recorded(world)
    response = await world.ask(get(world, "/", "X-Long: " + "x" * 70_000))
    assert status_of(response) == 431


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", "", "a@127.0.0.1:{port}"],
)
async def test_another_host_is_refused(world: World, host: str) -> None:
    recorder = await recorded(world)
    response = await world.ask(f"GET / HTTP/1.1\r\nHost: {host.format(port=world.port())}\r\n\r\n".encode())
    assert status_of(response) == 403
    assert not recorder.heads


async def test_no_host_and_two_hosts_are_refused(world: World) -> None:
    await recorded(world)
    ours = f"Host: 127.0.0.1:{world.port()}\r\n"
    assert status_of(await world.ask(b"GET / HTTP/1.1\r\n\r\n")) == 403
    assert status_of(await world.ask(f"GET / HTTP/1.1\r\n{ours}{ours}\r\n".encode())) == 403


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
async def test_the_names_of_loopback_are_ours(world: World, name: str) -> None:
    await recorded(world)
    response = await world.ask(
        f"GET / HTTP/1.1\r\nHost: {name}:{world.port()}\r\nConnection: close\r\n\r\n".encode()
    )
    assert status_of(response) == 200


async def test_without_traffic_there_is_nothing_here(world: World) -> None:
    await world.route()
    assert status_of(await world.ask(get(world))) == 404


async def test_a_forgotten_service_takes_no_connections(world: World) -> None:
    await recorded(world)
    port = world.port()
    await world.ingress.forget(SERVICE)
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_no_instance_is_429(world: World) -> None:
    await world.route(("nobody", 100))
    response = await world.ask(get(world))
    assert status_of(response) == 429
    assert b"no available instance" in response
    ((revision, fields, _),) = await world.logged(1)
    assert (revision, fields["status"]) == ("nobody", 429)


async def test_an_instance_that_does_not_start_is_500(world: World) -> None:
    await recorded(world)
    world.fleet.does_not_start = True
    response = await world.ask(get(world))
    assert status_of(response) == 500
    assert b"could not start successfully" in response


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nbroken", b"HTTP/1.1 101 X\r\n\r\n"]
)
async def test_an_answer_that_is_not_http_is_503(world: World, answer: bytes) -> None:
    await recorded(world, answer=answer)
    response = await world.ask(get(world))
    assert status_of(response) == 503
    assert b"malformed" in response


async def test_an_instance_that_does_not_listen_is_503(world: World) -> None:
    world.fleet.add("one", 1)
    await world.route(("one", 100))
    assert status_of(await world.ask(get(world))) == 503


async def test_an_answer_that_is_cut_off_is_cut_off_for_the_client_too(world: World) -> None:
    await recorded(world, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    with pytest.raises(ConnectionResetError):
        await world.ask(get(world))
    await world.logged(1)
    ((_, severity, text),) = world.logs.events
    assert severity == "WARNING"
    assert text.startswith("Truncated response body")


async def test_the_request_timeout_is_504(world: World) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    await world.tcp("one", silent, request_timeout_s=0.1)
    await world.route(("one", 100))
    assert status_of(await world.ask(get(world))) == 504
    await world.logged(1)
    assert [severity for _, severity, _ in world.logs.events] == ["ERROR"]


async def test_a_client_that_left_is_not_worked_for(world: World) -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        left.set()
        writer.close()

    await world.tcp("one", patient)
    await world.route(("one", 100))
    _, writer = await asyncio.open_connection("127.0.0.1", world.port())
    writer.write(get(world))
    await asyncio.wait_for(arrived.wait(), 60)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()
    await asyncio.wait_for(left.wait(), 60)
    await until(lambda: world.fleet.leased == 0)


async def test_affinity_is_a_cookie(world: World) -> None:
    for revision in ("one", "two"):
        await world.tcp(revision, answers(revision), session_affinity=True)
    await world.route(("one", 100))
    first = await world.ask(get(world))
    cookie = next(line for line in first.split(b"\r\n") if line.startswith(b"Set-Cookie: ")).split(b" ")[1]
    await world.route(("two", 100))
    returning = await world.ask(get(world, "/", f"Cookie: {cookie.decode().rstrip(';')}"))
    assert body_of(first) == body_of(returning) == b"one"
    assert b"Set-Cookie" not in returning
    assert body_of(await world.ask(get(world))) == b"two"
