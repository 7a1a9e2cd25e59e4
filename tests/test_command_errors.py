"""Whatever the API refuses, each command ends with three lines: what, why, and what to do next."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.local import endpoint
from pipeline.local.endpoint import Endpoint

NAME = "projects/local/locations/local/services/nope"
CONFIG = """
service: nope
environments: {local: {endpoint: local}}
scenarios: {run: {path: /ws, send: {type: hello}, expect: [done]}}
"""
IMAGE = f"app@sha256:{'0' * 64}"
COMMANDS = (
    "status", f"status {NAME}", "rollback", f"rollback {NAME}", f"rollback {NAME} --dry-run", f"rollback {NAME} --to other",
    "promote", "unpin", f"unpin {NAME}", "unpin --dry-run", "tick", f"plan --image {IMAGE}", f"rollout --image {IMAGE}",
    f"rollout --image {IMAGE} --no-wait", "report",
)  # fmt: skip
#: Codes that a command does not wait for (locally UNAUTHENTICATED is another server, which may come back), and the exit codes that each may end with.
CODES = {
    "NOT_FOUND": {2},
    "PERMISSION_DENIED": {3},
    "INVALID_ARGUMENT": {1},
    "FAILED_PRECONDITION": {1},
    "UNIMPLEMENTED": {4},
}
#: What makes a service has another end where there is none.
MAKES_ONE = ("plan", "rollout")


class Refusing(grpc.GenericRpcHandler):
    """Every call ends with one code."""

    code = grpc.StatusCode.OK
    after = 0  # so many calls Ctrl-C is pressed; 0: never

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if self.after == 1:
            os.kill(os.getpid(), signal.SIGINT)
        self.after = max(0, self.after - 1)

        def refuse(_: bytes, context: grpc.ServicerContext) -> None:
            context.abort(self.code, f"Resource '{NAME}': no.")

        return grpc.unary_unary_rpc_method_handler(refuse)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Refusing]]:
    made, refusing = tmp_path_factory.mktemp("refusing"), Refusing()
    (made / "spillway.yaml").write_text(CONFIG)
    server = grpc.server(ThreadPoolExecutor(4), handlers=[refusing])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with _held(made / "local"):
        endpoint.write(made / "local", Endpoint(os.getpid(), f"127.0.0.1:{port}", "t", datetime.now(UTC)))
        yield made, refusing
    server.stop(None).wait()


@contextmanager
def _held(state: Path) -> Iterator[None]:
    """As a server holds its folder."""
    state.mkdir()
    with (state / "server.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("command", COMMANDS)
def test_three_lines(folder: tuple[Path, Refusing], command: str, code: str) -> None:
    made, refusing = folder
    if code == "NOT_FOUND" and command.startswith(MAKES_ONE):
        pytest.skip("where there is no service, it makes one")
    refusing.code = getattr(grpc.StatusCode, code)
    first, *words = command.split()
    env = {"SPILLWAY_LOCAL_DIR": str(made / "local"), "CI": "true", "SPILLWAY_ENGINE": "in-process"}
    done = CliRunner().invoke(app, [first, "-C", str(made), *words], env=env)
    assert done.exit_code in CODES[code], done.output
    told = done.stderr.strip().splitlines()
    start = next(number for number, line in enumerate(told) if line.startswith("spillway: "))
    assert len(told[start:]) == 3, told
    assert all(line.strip() for line in told[start:])
    assert "Resource" in told[start + 1]


@pytest.mark.parametrize("mode", ["text", "ndjson"])
def test_who_watches_looks_again_where_there_was_no_answer(folder: tuple[Path, Refusing], mode: str) -> None:
    made, refusing = folder
    refusing.code, refusing.after = grpc.StatusCode.UNAVAILABLE, 3
    env = {"SPILLWAY_LOCAL_DIR": str(made / "local"), "CI": "true"}
    done = CliRunner().invoke(app, ["status", "--watch", "-C", str(made), "-o", mode], env=env)
    assert done.exit_code == 130, done.output
    assert done.stderr.count("looking again") == 1, done.stderr
    assert refusing.after == 0
