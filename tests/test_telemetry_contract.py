"""One story, told by both middlewares behind their real servers: the same lines, each as the schema says, each read back."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pipeline.telemetry.lines import (
    Accepted,
    Closed,
    Line,
    Refused,
    Run,
    Started,
    Unasked,
    accepted_of,
    from_payload,
    is_telemetry,
    to_payload,
)
from pipeline.telemetry.proof import probe_key, revision_mark
from pipeline.telemetry.settings import Known

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent / "telemetry_services"
SCHEMA = json.loads((ROOT / "docs/telemetry.schema.json").read_text())
MIDDLEWARE = ROOT / "pipeline/telemetry/node/spillway-telemetry.js"
KNOWN = Known({"execute_agent": ("agent_started", "agent_completed")}, within_s=1.0)
ENVIRON = {
    "K_SERVICE": "svc", "K_REVISION": "svc-1", "SPILLWAY_NONCE": "n1", "SPILLWAY_INSTANCE": "i-1",
    "SPILLWAY_TELEMETRY": KNOWN.encode(), "SPILLWAY_CLIENT": '{"forwarded-for": 2}',
}  # fmt: skip
PROBE = {"X-Spillway-Probe": hashlib.sha256(b"spillway probe n1").hexdigest()[:32]}


@pytest.fixture(scope="module")
def node_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where `ws` is."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not on this machine")
    folder = tmp_path_factory.mktemp("node")
    words = ["npm", "install", "--prefix", str(folder), "--prefer-offline", "--no-audit", "--no-fund", "ws@8"]
    try:
        got = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False, cwd=folder)
    except subprocess.TimeoutExpired:
        pytest.skip("npm cannot get the package ws: no answer")
    if got.returncode:
        pytest.skip(f"npm cannot get the package ws: {got.stderr.strip()[:200]}")
    return str(folder / "node_modules")


@pytest.fixture(params=["asgi", "node"])
def words(request: pytest.FixtureRequest) -> list[str]:
    """The command of a service; what it needs is in the environment."""
    if request.param == "asgi":
        return [sys.executable, "-m", "tests.telemetry_services.service"]
    modules = request.getfixturevalue("node_path")
    return ["env", f"NODE_PATH={modules}", "node", str(HERE / "service.js"), str(MIDDLEWARE)]


@pytest.fixture
def service(words: list[str], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, str]]:
    """The process, the file of its lines, and its address."""
    lines = tmp_path / "lines"
    with lines.open("w") as out:
        process = subprocess.Popen(
            words, cwd=ROOT, env={**os.environ, **ENVIRON}, stdout=out, stderr=subprocess.PIPE, text=True
        )
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        assert said.startswith("port "), said + process.stderr.read()
        yield process, lines, f"ws://127.0.0.1:{said.split()[1]}"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def ask(what: str) -> str:
    return json.dumps({"type": "execute_agent", "do": what})


def told(lines: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.read_text().splitlines()]


async def until(lines: Path, event: str, count: int) -> None:
    async with asyncio.timeout(60):
        while sum(line["event"] == event for line in told(lines)) < count:
            await asyncio.sleep(0.02)


async def ending(socket: ClientConnection) -> int | None:
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code


def story_of(lines: list[dict[str, Any]], path: str) -> list[tuple[object, ...]]:
    """What one socket's lines say: what every middleware must say alike."""
    (session,) = {line["session"] for line in lines if line.get("path") == path}
    said = ("event", "run", "outcome", "missing", "code", "reason", "closed_by", "status", "runs", "probe")
    mine = [line for line in lines if line.get("session") == session]
    return [tuple(str(line[key]) for key in said if key in line) for line in mine]


STORY: dict[str, list[tuple[str, ...]]] = {
    "/run": [("ws_accept",), ("agent_start", "1"), ("agent_run", "1", "ok", "[]"), ("agent_start", "2"), ("agent_run", "2", "ok", "[]"),
             ("ws_close", "1000", "bye", "client", "2")],
    "/hang": [("ws_accept",), ("agent_start", "1"), ("agent_run", "1", "timeout", "['agent_started', 'agent_completed']"),
              ("ws_close", "1001", "", "client", "1")],
    "/idle": [("ws_accept",), ("agent_run", "0", "idle", "[]"), ("ws_close", "1012", "", "server", "0")],
    "/1011": [("ws_accept",), ("agent_start", "1"), ("agent_run", "1", "closed", "['agent_started', 'agent_completed']"),
              ("ws_close", "1011", "boom", "server", "1")],
    "/drop": [("ws_accept",), ("agent_start", "1"), ("agent_run", "1", "closed", "['agent_started', 'agent_completed']"),
              ("ws_close", "1006", "", "server", "1")],
    "/lost": [("ws_accept",), ("ws_close", "1006", "", "lost", "0")],
    "/refuse": [("ws_refused", "503")],
    "/probe": [("ws_accept", "True"), ("ws_close", "1000", "", "client", "0", "True")],
}  # fmt: skip


async def test_the_same_story(service: tuple[subprocess.Popen[str], Path, str]) -> None:
    process, lines, url = service
    forwarded = {"X-Forwarded-For": "203.0.113.7, 10.0.0.1"}

    async def opened(path: str, **headers: str) -> ClientConnection:
        return await connect(url + path, additional_headers={**forwarded, **headers}, proxy=None)

    run, hang, idle = [await opened(path) for path in ("/run", "/hang", "/idle")]
    for _ in range(2):
        await run.send(ask("run"))
        assert [json.loads(await run.recv())["type"] for _ in range(3)] == ["agent_started", "token", "agent_completed"]  # fmt: skip
    await run.close(1000, "bye")
    await hang.send(ask("hang"))
    for path, what, code in (("/1011", "1011", 1011), ("/drop", "drop", 1006)):
        socket = await opened(path)
        await socket.send(ask(what))
        assert await ending(socket) == code
    lost = await opened("/lost")
    lost.transport.abort()
    with pytest.raises(InvalidStatus) as refused:
        await opened("/refuse")
    assert refused.value.response.status_code == 503
    marks = []
    other = probe_key("n2")
    for path, key in (
        ("/probe", f"{other}, {PROBE['X-Spillway-Probe']}"),
        ("/lost-probe", other),
    ):
        socket = await opened(path, **{"X-Spillway-Probe": key})
        assert socket.response is not None
        marks.append(socket.response.headers.get("X-Spillway-Revision"))
        await socket.close()
    assert marks == [revision_mark("n1"), None]
    await until(lines, "agent_run", 6)  # two ok, two closed, a time-out, an idle socket
    await hang.close(1001)
    await until(lines, "ws_close", 7)
    process.send_signal(signal.SIGTERM)
    assert await ending(idle) == 1012
    assert await asyncio.to_thread(process.wait) == -signal.SIGTERM

    written = told(lines)
    check = jsonschema.Draft202012Validator(SCHEMA)
    for line in written:
        check.validate(line)
        assert is_telemetry(line)
        assert from_payload(line) is not None
        assert (line["revision"], line["nonce"], line["instance"]) == ("svc-1", "n1", "i-1")
        assert line["event"] == "ws_refused" or accepted_of(line) is not None
    found = {path: story_of(written, path) for path in STORY}
    if found["/lost"][-1] == ("ws_close", "1005", "", "client", "0"):
        found["/lost"] = STORY["/lost"]  # uvicorn tells an app no more of a connection that broke off
    assert found == STORY
    assert {line["client"] for line in written} == {hashlib.sha256(b"svc/203.0.113.7").hexdigest()[:16]}
    assert written == sorted(written, key=lambda line: line["at"]), "each is written when it happens"


@pytest.mark.parametrize(
    "line",
    [Accepted(1.0), Refused(1.0), Started(1.0, 1), Run(1.0, 1, 1.0, "ok", total_ms=1.0), Closed(1.0, 1000), Unasked(1.0, 1)],
    ids=lambda line: type(line).__name__,
)  # fmt: skip
def test_the_schema_has_the_fields_of_the_format(line: Line) -> None:
    values = to_payload(line)
    declared = set(SCHEMA["$defs"][str(values.pop("event"))]["properties"]) - {"event"}
    assert declared == set(values) - {"at", "message"} == {field.name for field in fields(line)} - {"at"}


def test_every_kind_of_line_is_in_the_schema() -> None:
    events = set(SCHEMA["properties"]["event"]["enum"])
    assert events == {each["$ref"].rpartition("/")[2] for each in SCHEMA["oneOf"]}
    assert len(events) == len(get_args(Line))


def test_the_schema_refuses_what_is_no_line() -> None:
    check = jsonschema.Draft202012Validator(SCHEMA)
    line = {"spillway": 2, "event": "agent_start", "at": 5.0, "revision": "r", "nonce": "n", "session": "s",
            "client": "0" * 16, "accepted": 4.0, "run": 1}  # fmt: skip
    check.validate(line)
    for change in (
        {"spillway": 1},
        {"run": 0},
        {"event": "else"},
        {"accepted": None},
        {"more": 1},
        {"client": "ada"},
    ):
        assert not check.is_valid({**line, **change}), change
