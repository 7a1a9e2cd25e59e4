"""The probe needs nothing of ours on the other side: a Node service, with another WebSocket library, holds."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.probe.ask import Address, ProbeAsk
from pipeline.probe.conversation import Kind
from pipeline.probe.round import run_round
from pipeline.probe.steps import HttpStep
from tests.hostile import scenario


@pytest.fixture
def service(foreign: Path) -> Iterator[str]:
    """Its URL while it runs; port 0 lets the system choose, the first line says which."""
    node = shutil.which("node")
    assert node
    with subprocess.Popen(
        [node, "server.mjs"],
        cwd=foreign,
        env={**os.environ, "PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            yield f"http://127.0.0.1:{int(process.stdout.readline().split()[-1])}"
        finally:
            process.terminate()


def test_a_foreign_server_holds_the_conversation(service: str) -> None:
    health = HttpStep("GET", "/health", 200, {"status": "ok"})
    ask = ProbeAsk((scenario("/ws", http=(health,)),), Address(service), None, sessions=20)
    report = run_round(ask, lambda: datetime.now(UTC))
    assert [c.detail for c in report.failures] == []
    assert len(report.candidate) == 20


def test_a_foreign_server_refuses_in_its_own_way(service: str) -> None:
    wrong_path, wrong_request = scenario("/other"), scenario("/ws", send=({"type": "stop"},))
    ask = ProbeAsk((wrong_path, wrong_request), Address(service), None, sessions=1, concurrency=1)
    refused, closed = run_round(ask, lambda: datetime.now(UTC)).candidate
    assert (refused.kind, refused.status) == (Kind.REFUSED, 400)
    assert (closed.kind, closed.close_code, closed.close_reason) == (
        Kind.CLOSED_EARLY,
        1008,
        "unknown type stop",
    )
