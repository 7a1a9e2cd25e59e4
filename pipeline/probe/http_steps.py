"""Plain HTTP steps before the socket opens: the first one that goes wrong, or nothing.

What a step saves of its answer (a token, a cookie) is secret: whoever logs in wants that for nothing else.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from ssl import SSLContext
from urllib.parse import urlencode

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict

from pipeline.framing.fields import ABSENT, field_at
from pipeline.framing.patterns import searched
from pipeline.probe import descriptors
from pipeline.probe.ask import USER_AGENT
from pipeline.probe.conversation import Kind
from pipeline.probe.dial import resolve
from pipeline.probe.filling import Carried, filled_in
from pipeline.probe.http_text import excerpt
from pipeline.probe.matching import first_difference
from pipeline.probe.route import Saw, unseen
from pipeline.probe.scenario import Scenario
from pipeline.probe.steps import HttpStep, source_of
from pipeline.probe.target import http_url, proxy_for
from pipeline.probe.templates import Scope
from pipeline.probe.verdict import Ending
from pipeline.redact import SINK, texts_in

# A compressed answer is a way to send more than the limit; who compresses all the same is read as it came.
_HEADERS = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
_FORM = "application/x-www-form-urlencoded"


async def run_steps(
    scenario: Scenario,
    base_url: str,
    headers: Mapping[str, str],
    scope: Scope,
    carried: Carried,
    saw: Saw = unseen,
    tls: SSLContext | None = None,
) -> Ending | None:
    """Run the steps in order, all of them within ``scenario.within_s``; None if each answered as expected.

    No redirect is followed and no cookie kept. aiohttp because its time limit is on the whole exchange: one that is
    on each read lets a server that trickles bytes hold a session for ever.

    Args:
        headers: ours, which go over the scenario's.
        scope: what is filled in, and gets what is saved.
        carried: the scenario's own headers, as far as their values are known.
    Raises: Unspeakable.
    """
    if not scenario.http:
        return None
    session = client({}, http_url(base_url, scenario.http[0].path), tls)
    step = scenario.http[0]
    try:
        async with asyncio.timeout(scenario.within_s), session:
            for each in scenario.http:
                step = filled_in(each, scope)
                asked = _over(carried.known(scope), step.headers, headers)
                if fault := await _run_step(
                    session, step, base_url, asked, scenario.max_message_bytes, scope, saw
                ):
                    return fault
    except TimeoutError:
        detail = f"{_name(step)}: no complete answer within {scenario.within_s:g} s"
        return Ending(Kind.TIMED_OUT, detail)
    except (aiohttp.ClientError, OSError) as error:
        return descriptors.unreached(error, f"{_name(step)}: {error or type(error).__name__}")
    return None


def client(headers: Mapping[str, str], url: str, tls: SSLContext | None = None) -> aiohttp.ClientSession:
    """For requests to where this URL is; whoever sends them limits the time."""
    resolver = _Resolver() if proxy_for(url) is None else None
    return aiohttp.ClientSession(
        headers={**_HEADERS, **headers},
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(resolver=resolver, ssl=tls or True),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
    )


def _over(*layers: Mapping[str, str]) -> CIMultiDict[str]:
    """Headers of which later ones stand instead of earlier ones of the same name."""
    made: CIMultiDict[str] = CIMultiDict()
    for layer in layers:
        for name, value in layer.items():
            made[name] = value
    return made


async def _run_step(
    session: aiohttp.ClientSession,
    step: HttpStep,
    base_url: str,
    headers: CIMultiDict[str],
    limit: int,
    scope: Scope,
    saw: Saw,
) -> Ending | None:
    url, said = http_url(base_url, step.path), _said(step, headers)
    async with session.request(
        step.method, url, data=said, headers=headers, allow_redirects=False, proxy=proxy_for(url)
    ) as response:
        saw(response.headers)
        is_read = step.body or step.save or response.status != step.status
        body = await _read(response, limit) if is_read else b""
    found = {name: _found(where, response, body) for name, where in step.save.items()}
    SINK.learn_passing(*texts_in(found))  # also of an answer that is not the wanted one, and told
    wrong = _difference(step, response.status, body, limit) or _kept(step, found, scope)
    return Ending(Kind.HTTP_MISMATCH, f"{_name(step)}: {wrong}", response.status) if wrong else None


def _said(step: HttpStep, headers: CIMultiDict[str]) -> bytes | None:
    """The request's body. ``headers`` gets its kind, unless it has one."""
    if step.form:
        headers.setdefault("Content-Type", _FORM)
        return urlencode(step.form).encode()
    if step.send is None or isinstance(step.send, str):
        return None if step.send is None else step.send.encode()
    headers.setdefault("Content-Type", "application/json")
    return json.dumps(step.send, allow_nan=False).encode()


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
    if len(body) > limit:
        return f"the body is larger than {limit} bytes"
    if not step.body and not any(source_of(where)[0] == "json" for where in step.save.values()):
        return ""
    try:
        return first_difference(step.body, json.loads(body))
    except (ValueError, RecursionError) as error:
        return f"the body is not JSON ({error})"


def _found(where: str, response: aiohttp.ClientResponse, body: bytes) -> object:
    """What is to be saved, as the answer has it; ``ABSENT`` where it has nothing there."""
    source, name = source_of(where)
    match source:
        case "cookie":
            cookie = response.cookies.get(name)
            return cookie.value if cookie is not None else ABSENT
        case "header":
            return response.headers.get(name, ABSENT)
        case "text":
            found = searched(name, body.decode(errors="replace"))
            return ABSENT if found is None else found[1]
    try:
        return field_at(json.loads(body), name)
    except (ValueError, RecursionError):
        return ABSENT


def _kept(step: HttpStep, found: Mapping[str, object], scope: Scope) -> str:
    """Keep what is to be saved; why it cannot be, in plain words, or nothing."""
    for variable, value in found.items():
        if value is ABSENT or value in ("", None):
            source, name = source_of(step.save[variable])
            named = name if source == "json" else f"{source} {name[:200]}"
            return f"{named} is {'absent' if value is ABSENT else 'empty'}, to be saved as {variable}"
    scope.variables.update(found)
    return ""


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
