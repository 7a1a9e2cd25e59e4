"""Plain HTTP steps before the socket opens: the first one that goes wrong, or nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from pipeline.probe import descriptors
from pipeline.probe.dial import resolve
from pipeline.probe.http_text import excerpt
from pipeline.probe.matching import first_difference
from pipeline.probe.route import Saw, unseen
from pipeline.probe.scenario import USER_AGENT, Kind, Scenario
from pipeline.probe.steps import HttpStep
from pipeline.probe.target import http_url, proxy_for
from pipeline.probe.verdict import Ending

# A compressed answer is a way to send more than the limit; who compresses all the same is read as it came.
_HEADERS = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}


async def run_steps(
    scenario: Scenario, base_url: str, headers: Mapping[str, str], saw: Saw = unseen
) -> Ending | None:
    """Run the steps in order, all of them within ``scenario.within_s``; None if each answered as expected.

    No redirect is followed and no cookie kept. aiohttp because its time limit is on the whole exchange: one that is
    on each read lets a server that trickles bytes hold a session for ever.
    """
    if not scenario.http:
        return None
    session = client({**scenario.headers, **headers}, http_url(base_url, scenario.http[0].path))
    step = scenario.http[0]
    try:
        async with asyncio.timeout(scenario.within_s), session:
            for step in scenario.http:
                if fault := await _run_step(session, step, base_url, scenario.max_message_bytes, saw):
                    return fault
    except TimeoutError:
        detail = f"{_name(step)}: no complete answer within {scenario.within_s:g} s"
        return Ending(Kind.TIMED_OUT, detail)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        if isinstance(error, OSError) and (why := descriptors.shortage(error)):
            return Ending(Kind.NOT_SPOKEN, why)
        return Ending(Kind.UNREACHABLE, f"{_name(step)}: {error or type(error).__name__}")
    return None


def client(headers: Mapping[str, str], url: str) -> aiohttp.ClientSession:
    """For requests to where this URL is; whoever sends them limits the time."""
    return aiohttp.ClientSession(
        headers={**_HEADERS, **headers},
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(resolver=_Resolver())
        if proxy_for(url) is None
        else aiohttp.TCPConnector(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
    )


async def _run_step(
    session: aiohttp.ClientSession, step: HttpStep, base_url: str, limit: int, saw: Saw
) -> Ending | None:
    url = http_url(base_url, step.path)
    async with session.request(step.method, url, allow_redirects=False, proxy=proxy_for(url)) as response:
        saw(response.headers)
        body = await _read(response, limit) if step.body or response.status != step.status else b""
        wrong = _difference(step, response.status, body, limit)
    return Ending(Kind.HTTP_MISMATCH, f"{_name(step)}: {wrong}", response.status) if wrong else None


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body up to ``limit`` bytes, and one more byte to tell that it went on."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body[: limit + 1])


def _difference(step: HttpStep, status: int, body: bytes, limit: int) -> str:
    if status != step.status:
        return f"status {status}, expected {step.status}{excerpt(body)}"
    if not step.body:
        return ""
    if len(body) > limit:
        return f"the body is larger than {limit} bytes"
    try:
        return first_difference(step.body, json.loads(body))
    except (ValueError, RecursionError) as error:
        return f"the body is not JSON ({error})"


def _name(step: HttpStep) -> str:
    return f"{step.method} {step.path}"


class _Resolver(AbstractResolver):
    """Addresses are judged as those of sockets are (``dial.py``)."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=found,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for found, address in await resolve(host, port, family)
        ]

    async def close(self) -> None:
        """Holds nothing."""
