"""Who may talk to the local Cloud Run: holders of the token on this machine, and no web page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import requests
from google.api_core import exceptions
from google.cloud import run_v2
from google.cloud.logging_v2.types import TailLogEntriesRequest
from google.cloud.run_v2.services.services.transports import (
    ServicesGrpcAsyncIOTransport,
    ServicesGrpcTransport,
)

from pipeline.errors import UserError
from pipeline.local.assembly import LocalCloudRun, Settings
from pipeline.local.endpoint import STATUS_METHOD, Endpoint
from tests.aio import aio_channel
from tests.contract.cloud import OUR_PARENT, LoopThread

TOKEN = "of-the-tests"
LIST = "/google.cloud.run.v2.Services/ListServices"
TAIL = "/google.logging.v2.LoggingServiceV2/TailLogEntries"
METHODS = (LIST, "/google.longrunning.Operations/GetOperation", STATUS_METHOD, "/no.such.Service/Method")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LoopThread, str, str]]:
    """A running local Cloud Run: its loop and the addresses of its two faces."""
    loop = LoopThread()
    run, address = loop.run(_start(tmp_path_factory.mktemp("local")))
    yield loop, address, run.rest_address
    loop.run(run.close())
    loop.close()


@pytest.fixture
def server(running: tuple[LoopThread, str, str]) -> tuple[LoopThread, str]:
    return running[:2]


@pytest.fixture
def rest(running: tuple[LoopThread, str, str]) -> str:
    return running[2]


async def _start(folder: Path) -> tuple[LocalCloudRun, str]:
    run = LocalCloudRun(Settings(folder), TOKEN)
    return run, await run.start()


@pytest.fixture
def address(server: tuple[LoopThread, str]) -> str:
    return server[1]


@contextmanager
def plain(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield channel


def endpoint(address: str, token: str = TOKEN) -> Endpoint:
    return Endpoint(0, address, token, datetime.now(UTC))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Bearer wrong"),),
        (("authorization", TOKEN),),
        (("authorization", f"bearer {TOKEN}"),),
        (("authorization", f"Bearer {TOKEN}x"),),
        (("authorization", "Bearer "),),
        (("x-authorization", f"Bearer {TOKEN}"),),
    ],
)
def test_a_call_without_the_token_is_refused(address: str, method: str, metadata: tuple[Any, ...]) -> None:
    with plain(address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(method)(b"", metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert TOKEN not in refused.value.details()


def test_a_stream_without_the_token_is_refused(address: str) -> None:
    with plain(address) as channel, pytest.raises(grpc.RpcError) as refused:
        list(channel.stream_stream(TAIL)(iter([b""])))
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("method", METHODS)
def test_a_call_of_a_web_page_is_refused_even_with_the_token(address: str, method: str) -> None:
    metadata = (("authorization", f"Bearer {TOKEN}"), ("origin", "http://evil.example"))
    with plain(address) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(method)(b"", metadata=metadata)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_plain_http_gets_no_answer_that_a_page_could_read(server: tuple[LoopThread, str]) -> None:
    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection(*server[1].split(":"))
        writer.write(f"POST {LIST} HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n".encode())
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    answer = server[0].run(ask())
    assert b"200" not in answer
    assert b"HTTP/1" not in answer or answer.startswith(b"HTTP/1.1 4")


def test_the_endpoints_channel_carries_the_token(address: str) -> None:
    with endpoint(address).channel() as channel:
        client = run_v2.ServicesClient(transport=ServicesGrpcTransport(channel=channel))
        assert list(client.list_services(parent=OUR_PARENT)) == []
        assert b"services" in channel.unary_unary(STATUS_METHOD)(b"")


def test_the_endpoints_channel_carries_it_on_streams_too(address: str) -> None:
    request = TailLogEntriesRequest.serialize(TailLogEntriesRequest(resource_names=["nonsense"]))
    with endpoint(address).channel() as channel, pytest.raises(grpc.RpcError) as refused:
        list(channel.stream_stream(TAIL)(iter([request])))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT  # it was let in


def test_the_endpoints_asynchronous_channel_carries_the_token(server: tuple[LoopThread, str]) -> None:
    async def ask(token: str) -> list[run_v2.Service]:
        async with aio_channel(endpoint(server[1], token)) as channel:
            client = run_v2.ServicesAsyncClient(transport=ServicesGrpcAsyncIOTransport(channel=channel))
            return [service async for service in await client.list_services(parent=OUR_PARENT)]

    assert server[0].run(ask(TOKEN)) == []
    with pytest.raises(exceptions.Unauthenticated):
        server[0].run(ask("wrong"))


def test_the_endpoints_asynchronous_channel_carries_it_on_streams_too(server: tuple[LoopThread, str]) -> None:
    async def requests() -> AsyncIterator[bytes]:
        yield TailLogEntriesRequest.serialize(TailLogEntriesRequest(resource_names=["nonsense"]))

    async def tail() -> grpc.StatusCode:
        async with aio_channel(endpoint(server[1])) as channel:
            call = channel.stream_stream(TAIL)(requests())
            return await call.code()

    assert server[0].run(tail()) is grpc.StatusCode.INVALID_ARGUMENT


REST_CALLS = (
    ("GET", f"/v2/{OUR_PARENT}/services"),
    ("GET", f"/v2/{OUR_PARENT}/operations/x"),
    ("POST", f"/v2/{OUR_PARENT}/jobs"),
    ("GET", "/nothing/here"),
    ("GET", f"/instances/{'0' * 64}/{OUR_PARENT}/services/chat"),
    ("GET", f"/instances//{OUR_PARENT}/services/chat"),
    ("OPTIONS", f"/v2/{OUR_PARENT}/services"),
)


def told(rest: str, verb: str, path: str, **headers: str) -> tuple[int, str]:
    """Code and status of the error that a call over HTTP is answered with."""
    answer = requests.request(verb, f"http://{rest}{path}", headers=headers, timeout=60)
    assert TOKEN not in answer.text
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    return answer.status_code, answer.json()["error"]["status"]


@pytest.mark.parametrize(("verb", "path"), REST_CALLS)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Authorization": f"bearer {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer "},
        {"X-Authorization": f"Bearer {TOKEN}"},
        {"Authorization": "Bearer \xff"},
    ],
)
def test_a_call_over_rest_without_the_token_is_refused(
    rest: str, verb: str, path: str, headers: dict[str, str]
) -> None:
    assert told(rest, verb, path, **headers) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(("verb", "path"), REST_CALLS)
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", "http://localhost"])
def test_a_web_page_is_refused_over_rest_even_with_the_token(
    rest: str, verb: str, path: str, origin: str
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Origin": origin}
    assert told(rest, verb, path, **headers) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(("verb", "path"), REST_CALLS)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "localhost", "127.0.0.1", "localhost:1", "127.0.0.2:{port}",
             "localhost.:{port}", "localhost:{port}@evil.example", ""]
)  # fmt: skip
def test_a_name_that_was_bound_to_our_address_is_refused(rest: str, verb: str, path: str, host: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": host.format(port=rest.rpartition(":")[2])}
    assert told(rest, verb, path, **headers) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize("host", ["localhost:{port}", "LOCALHOST:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
def test_our_own_names_are_answered_over_rest(rest: str, host: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": host.format(port=rest.rpartition(":")[2])}
    answer = requests.get(f"http://{rest}/v2/{OUR_PARENT}/services", headers=headers, timeout=60)
    assert (answer.status_code, answer.json()) == (200, {})


def test_two_hosts_are_none(running: tuple[LoopThread, str, str]) -> None:
    loop, _, rest = running

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection(*rest.split(":"))
        head = f"GET /v2/{OUR_PARENT}/services HTTP/1.1\r\nHost: {rest}\r\nHost: evil.example\r\n"
        writer.write(f"{head}Authorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n".encode())
        try:
            return await reader.read()
        finally:
            writer.close()

    answer = loop.run(ask())
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer


def test_both_faces_listen_on_loopback_unless_told_otherwise(address: str, rest: str) -> None:
    assert address.startswith("127.0.0.1:")
    assert rest.startswith("127.0.0.1:")
    assert rest != address


def test_it_listens_on_loopback_unless_told_otherwise(address: str) -> None:
    assert Settings(Path()).bind == "127.0.0.1"
    assert address.startswith("127.0.0.1:")


@pytest.mark.parametrize("option", ["port", "rest_port"])
async def test_a_port_in_use_is_a_users_error(tmp_path: Path, address: str, rest: str, option: str) -> None:
    taken = int((rest if option == "rest_port" else address).rpartition(":")[2])
    run = LocalCloudRun(Settings(tmp_path, **{option: taken}), TOKEN)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"--{option.replace('_', '-')} {taken}: cannot listen there"):
        await run.start()
    await run.close()
