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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LoopThread, str]]:
    """A running local Cloud Run: its loop and its address."""
    loop = LoopThread()
    run, address = loop.run(_start(tmp_path_factory.mktemp("local")))
    yield loop, address
    loop.run(run.close())
    loop.close()


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


def test_it_listens_on_loopback_unless_told_otherwise(address: str) -> None:
    assert Settings(Path()).bind == "127.0.0.1"
    assert address.startswith("127.0.0.1:")


async def test_a_port_in_use_is_a_users_error(tmp_path: Path, address: str) -> None:
    run = LocalCloudRun(Settings(tmp_path, port=int(address.rpartition(":")[2])), TOKEN)
    with pytest.raises(UserError, match="cannot listen there"):
        await run.start()
    await run.close()
