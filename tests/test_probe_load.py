"""Many conversations at once: over TLS, with a server that has had enough, with too few descriptors, and when it is stopped."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import resource
import signal
import ssl
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from pipeline.errors import UserError
from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Kind
from pipeline.probe.descriptors import make_room
from pipeline.probe.probe_report import ProbeReport
from pipeline.probe.round import run_round
from pipeline.probe.session import hold_conversation
from pipeline.probe.steps import HttpStep
from pipeline.probe.summary import summarise
from tests.documents import hold as hold_to_schema
from tests.hostile import five, hostile, scenario

CONFIG = """\
service: chat
environments: {local: {endpoint: local}}
scenarios:
  run:
    path: PATH
    send: {type: execute_agent}
    expect: [agent_started, agent_thinking, tool_executing, tool_completed, agent_completed]
    within: 5m
"""


def now() -> datetime:
    return datetime.now(UTC)


async def hold(ask: ProbeAsk, stop: threading.Event | None = None) -> ProbeReport:
    return await asyncio.to_thread(run_round, ask, now, stop=stop)


async def test_a_round_that_is_stopped_tells_what_was_held() -> None:
    stop = threading.Event()
    async with hostile() as server:
        ask = ProbeAsk(
            (scenario("/five"), scenario("/silent", within_s=3600)), Address(server.url), None, 20, 4
        )
        held = asyncio.create_task(hold(ask, stop))
        while [request.path for request in server.requests].count("/silent") < 4:
            await asyncio.sleep(0.01)
        stop.set()
        report = await held
        while server.open:
            await asyncio.sleep(0.01)
    assert [(c.scenario, c.kind) for c in report.candidate] == [("five", Kind.OK)] * 20


async def test_one_that_is_stopped_before_it_began_tells_nothing() -> None:
    stop = threading.Event()
    stop.set()
    async with hostile() as server:
        report = await hold(ProbeAsk((scenario("/five"),), Address(server.url), None, 20, 4), stop)
        assert not server.requests
    assert (report.candidate, report.failures, report.unspoken, summarise(report)) == ((), (), "", ())


async def test_a_server_that_has_had_enough_is_counted_by_how_it_says_so() -> None:
    held = 0

    async def answer(connection: ServerConnection, _request: Request) -> Response | None:
        return connection.respond(503, "full\n") if held >= 5 else None

    async def behave(connection: ServerConnection) -> None:
        nonlocal held
        held += 1
        await five(connection)

    async with serve(behave, "127.0.0.1", 0, process_request=answer) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        report = await hold(ProbeAsk((scenario(),), Address(url), None, 40, 5))
    (row,) = summarise(report)
    outcomes = dict(row.outcomes)
    assert set(outcomes) == {"ok", "refused 503"}
    assert sum(outcomes.values()) == row.sessions == 40
    assert outcomes["ok"] >= 5


@contextmanager
def no_descriptors() -> Iterator[None]:
    """The process may open nothing more."""
    lowest = os.dup(0)
    os.close(lowest)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize(
    "wanted", [scenario(), scenario("", http=(HttpStep("GET", "/x"),), groups=(), send=())]
)
async def test_no_descriptor_left_is_no_fault_of_the_service(wanted: Any) -> None:
    async with hostile() as server:
        await hold_conversation(wanted, server.url, {})  # whatever it imports is open by then
        with no_descriptors():
            seen = await hold_conversation(wanted, server.url, {})
    assert seen.kind is Kind.NOT_SPOKEN
    assert "ulimit -n" in seen.detail


def test_room_is_made_as_far_as_the_process_may() -> None:
    limits = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
        make_room(300)
        raised, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert raised >= 364
        make_room(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == raised
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    if hard != resource.RLIM_INFINITY:
        with pytest.raises(UserError) as told:
            make_room(hard)
        assert f"ulimit -n {hard + 64}" in told.value.fix


def certificate(folder: Path) -> ssl.SSLContext:
    """Of a server on 127.0.0.1 that vouches for itself in ``folder/cert.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now() - timedelta(days=1)).not_valid_after(now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def spillway(folder: Path, *words: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline", *words, cwd=folder, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE, env={**os.environ, **environment},
    )  # fmt: skip


async def test_over_tls_the_certificate_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "spillway.yaml").write_text(CONFIG.replace("PATH", "/five"))
    words: Sequence[str] = ("probe", "URL", "-n", "30", "--concurrency", "10", "-o", "json")
    async with serve(five, "127.0.0.1", 0, ssl=certificate(tmp_path)) as server:
        url = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        words = [url if word == "URL" else word for word in words]
        trusting = await spillway(tmp_path, *words, SSL_CERT_FILE=str(tmp_path / "cert.pem"))
        said, _ = await trusting.communicate()
        document = json.loads(said)
        hold_to_schema(("probe",), document, closed=True)
        assert (document["outcome"], document["left"], trusting.returncode) == ("ok", 0, 0)
        assert document["times"][0]["completion"]["count"] == 30
        seen = await hold_conversation(scenario("/five"), url, {})  # the machine's authorities know it not
    assert seen.kind is Kind.UNREACHABLE
    assert "CERTIFICATE_VERIFY_FAILED" in seen.detail
    assert seen.events == ()


async def test_a_command_that_is_stopped_shows_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "spillway.yaml").write_text(CONFIG.replace("PATH", "/ws"))
    heard = 0

    async def behave(connection: ServerConnection) -> None:
        nonlocal heard
        heard += 1
        if heard > 25:
            await connection.wait_closed()
        else:
            await five(connection)

    async with serve(behave, "127.0.0.1", 0, ping_interval=None) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        running = await spillway(tmp_path, "probe", url, "-n", "40", "--concurrency", "5", "-o", "json")
        while heard < 30:
            await asyncio.sleep(0.01)
        running.send_signal(signal.SIGINT)
        said, told = await running.communicate()
    document = json.loads(said)
    hold_to_schema(("probe",), document, closed=True)
    assert (document["outcome"], document["exit_code"], running.returncode) == ("stopped", 130, 130), told
    assert (document["scenarios"][0]["ok"], document["left"]) == (25, 15)
