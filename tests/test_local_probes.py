"""Probes as containers answer them, over TCP, HTTP and gRPC, and what follows from those of liveness and readiness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.cloud import run_v2
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from pipeline.local.dataplane import Probe, StartFailed
from pipeline.local.run import probes
from pipeline.local.run.fleet import NoInstance
from tests.ingress import SERVICE, until
from tests.test_local_containers import made, port
from tests.test_local_instances import Machine

#: Answers 200 while the file of its first argument is there, else 503; says what it was asked.
SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, self.headers.get_all("X-Probe"), self.headers.get_all("Host"), flush=True)
        self.send_response(200 if os.path.exists(sys.argv[1]) else 503)
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@asynccontextmanager
async def listening(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def saying(text: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        writer.close()

    return answer


@pytest.mark.parametrize(
    ("said", "is_well"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 399 \r\n\r\n", True),
        (b"HTTP/1.1 400 Bad\r\n\r\n", False),
        (b"HTTP/1.1 503 \r\n\r\n", False),
        (b"HTTP/1.1 199 x\r\n\r\n", False),
        (b"SSH-2.0-x 200\r\n", False),
        (b"HTTP/1.1 many\r\n\r\n", False),
        (b"HTTP/1.1\r\n\r\n", False),
        (b"x" * 100_000, False),
        (b"", False),
    ],
)
async def test_http_is_well_from_200_to_399(said: bytes, is_well: bool) -> None:
    async with listening(saying(said)) as number:
        assert await probes.answers(Probe("http", number, timeout_s=60), 0) is is_well


async def test_a_long_header_of_the_answer_is_no_fault_of_the_container() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Security-Policy: " + b"a" * 20_000 + b"\r\n\r\n"
    async with listening(saying(said)) as at:
        assert await probes.answers(Probe("http", path="/x"), at)


@pytest.mark.parametrize("path", ["@192.0.2.1/x", "x", "/x", "", "1/x"])
async def test_whatever_the_path_is_the_container_alone_is_asked(path: str) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with listening(answer) as at:
        assert await probes.answers(Probe("http", path=path), at)
    assert asked[0].startswith(b"GET /%b HTTP/1.1\r\n" % path.removeprefix("/").encode())


async def test_who_does_not_answer_in_time_is_not_well() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listening(silent) as number:
        assert not await probes.answers(Probe("http", number, timeout_s=0.2), 0)
        assert await probes.answers(Probe("tcp", 0, timeout_s=60), number)
    assert not await probes.answers(Probe("tcp", number, timeout_s=60), 0)
    assert not await probes.answers(Probe("grpc", number, timeout_s=60), 0)


async def test_grpc_asks_for_the_service_by_the_health_protocol() -> None:
    states = {"": 1, "ready": 1, "not-serving": 2, "unknown": 3}

    async def check(asked: StringValue, context: Any) -> Int32Value:
        if asked.value not in states:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return Int32Value(value=states[asked.value])

    method = grpc.unary_unary_rpc_method_handler(
        check, request_deserializer=StringValue.FromString, response_serializer=Int32Value.SerializeToString
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method}),)
    )
    number = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    found = {
        name: await probes.answers(Probe("grpc", service=name, timeout_s=60), number)
        for name in (*states, "other")
    }
    await server.stop(None)
    assert found == {"": True, "ready": True, "not-serving": False, "unknown": False, "other": False}


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path, backoff_s=0.01)
    made.image(SERVER)
    yield made
    await made.fleet.close()


async def test_an_http_startup_probe_asks_its_path_with_its_headers_until_it_is_well(
    machine: Machine, tmp_path: Path
) -> None:
    flag = tmp_path / "well"
    headers = (("X-Probe", "1"), ("X-Probe", "2"), ("Host", "chat.example"))
    start = asyncio.create_task(
        machine.start(
            args=(str(flag),),
            startup=Probe("http", path="/up?a=1", headers=headers, period_s=240, timeout_s=60),
        )
    )
    assert "/up?a=1 ['1', '2'] ['chat.example']" in await machine.said("/up")
    assert not start.done()
    flag.touch()
    await start


async def test_a_startup_probe_that_never_passes_is_named(machine: Machine, tmp_path: Path) -> None:
    probe = Probe("http", path="/up", period_s=0.5, failures=2)
    with pytest.raises(
        StartFailed, match='STARTUP HTTP probe failed 2 times consecutively for container "chat"'
    ):
        await machine.start(name="chat", args=(str(tmp_path / "none"),), startup=probe)


async def test_a_liveness_probe_that_failed_often_enough_ends_the_instance_and_another_is_started(
    machine: Machine, tmp_path: Path
) -> None:
    flag = tmp_path / "well"
    flag.touch()
    await machine.start(
        name="chat", args=(str(flag),), liveness=Probe("http", path="/live", period_s=0.05, timeout_s=60)
    )
    (first,) = machine.pids()
    assert await machine.said("/live")
    flag.unlink()
    await until(lambda: any("LIVENESS" in text for _, _, text in machine.logs.events))
    flag.touch()
    await until(lambda: machine.pids() and machine.pids() != [first])
    told = [text for _, severity, text in machine.logs.events if severity == "ERROR"]
    assert all(
        "LIVENESS HTTP probe failed 3 times consecutively" in text and '"/live"' in text for text in told
    )


async def test_an_instance_that_is_not_ready_gets_no_new_requests_until_it_is(
    machine: Machine, tmp_path: Path
) -> None:
    flag = tmp_path / "well"
    flag.touch()
    await machine.start(
        args=(str(flag),), readiness=Probe("http", path="/ready", period_s=0.05, timeout_s=60)
    )
    (pid,) = machine.pids()
    held = await machine.fleet.acquire(SERVICE, "one")
    flag.unlink()
    await until(lambda: any("READINESS" in text for _, _, text in machine.logs.events))
    with pytest.raises(NoInstance):
        await machine.fleet.acquire(SERVICE, "one")
    flag.touch()
    await until(lambda: held.is_free)
    (await machine.fleet.acquire(SERVICE, "one")).release()
    held.release()
    assert machine.pids() == [pid], "it kills nothing"


async def test_failures_count_in_a_row() -> None:
    answers = iter([False, False, True, False])

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(b"HTTP/1.1 200 \r\n\r\n" if next(answers) else b"HTTP/1.1 500 \r\n\r\n")(reader, writer)

    async with listening(answer) as number:
        counted = probes.failures(Probe("http", number, timeout_s=60, period_s=0.0), 0)
        assert [await anext(counted) for _ in range(4)] == [1, 2, 0, 1]
        await counted.aclose()


def test_every_probe_of_a_template_is_taken_as_it_says() -> None:
    http = run_v2.HTTPGetAction(path="/live", http_headers=[run_v2.HTTPHeader(name="A", value="1")])
    _, spec = made(
        run_v2.Container(
            image="good",
            ports=port(9090),
            startup_probe=run_v2.Probe(
                tcp_socket=run_v2.TCPSocketAction(port=9090), failure_threshold=4, period_seconds=5
            ),
            liveness_probe=run_v2.Probe(http_get=http, initial_delay_seconds=2, timeout_seconds=3),
            readiness_probe=run_v2.Probe(grpc=run_v2.GRPCAction(port=7000, service="ready")),
        )
    )
    container = spec.container
    assert container.startup == Probe("tcp", 0, failures=4, period_s=5)
    assert container.liveness == Probe("http", 0, "/live", (("A", "1"),), delay_s=2, timeout_s=3)
    assert container.readiness == Probe("grpc", 7000, service="ready")
