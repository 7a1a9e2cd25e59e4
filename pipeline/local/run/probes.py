"""Asks a container whether it is well: by TCP, HTTP or gRPC's health protocol, as its probes say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import grpc.aio
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from yarl import URL

from pipeline.local.dataplane import Probe

_HOST = "127.0.0.1"
_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = 1
_LONGEST = 64 * 1024  # bytes of a line of an answer's head: no smaller than what proxies take


async def answers(probe: Probe, port: int) -> bool:
    """Whether the container is well, as of now. It has ``timeout_s`` to say so.

    Args:
        port: at which the container takes requests, where the probe names no other.
    """
    ask = {"tcp": _tcp, "http": _http, "grpc": _grpc}[probe.kind]
    with suppress(OSError, TimeoutError, ValueError, aiohttp.ClientError, grpc.RpcError):
        async with asyncio.timeout(probe.timeout_s):
            return await ask(probe, probe.port or port)
    return False


async def failures(probe: Probe, port: int) -> AsyncIterator[int]:
    """Ask again and again: how often in a row it has failed as of now."""
    await asyncio.sleep(probe.delay_s)
    failed = 0
    while True:
        failed = 0 if await answers(probe, port) else failed + 1
        yield failed
        await asyncio.sleep(probe.period_s)


def described(probe: Probe, container: str, port: int) -> str:
    """``HTTP probe failed 3 times consecutively for container "chat" on port 8080 path "/"``, in Cloud Run's words."""
    times = f"{probe.failures} time{'s' if probe.failures > 1 else ''}"
    where = f' path "{probe.path}"' if probe.kind == "http" else ""
    return (
        f"{probe.kind.upper() if probe.kind != 'grpc' else 'gRPC'} probe failed {times} consecutively for container"
        f' "{container}" on port {probe.port or port}{where}'
    )


async def _tcp(_: Probe, port: int) -> bool:
    _reader, writer = await asyncio.open_connection(_HOST, port)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


async def _http(probe: Probe, port: int) -> bool:
    """The answer's head says it; a redirection is one and is not followed."""
    headers = [("User-Agent", "GoogleHC/1.0"), *probe.headers]
    # a path that lacks the slash must not become part of the host's name
    url = URL(f"http://{_HOST}:{port}/{probe.path.removeprefix('/')}", encoded=True)
    async with (
        aiohttp.ClientSession(
            skip_auto_headers=("Accept", "Accept-Encoding"), max_line_size=_LONGEST, max_field_size=_LONGEST
        ) as session,
        session.get(url, headers=headers, allow_redirects=False) as answer,
    ):
        return 200 <= answer.status < 400


async def _grpc(probe: Probe, port: int) -> bool:
    """The health protocol's messages have one field each, and look as these do."""
    async with grpc.aio.insecure_channel(f"{_HOST}:{port}") as channel:
        check = channel.unary_unary(
            _CHECK,
            request_serializer=StringValue.SerializeToString,
            response_deserializer=Int32Value.FromString,
        )
        answer = await check(StringValue(value=probe.service), timeout=probe.timeout_s)
    return bool(answer.value == _SERVING)
