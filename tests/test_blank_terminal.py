"""A terminal is not left blank while somebody else is waited for: the first words come before the first answer."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from pipeline.cli import main
from pipeline.local import endpoint
from pipeline.local.endpoint import Endpoint
from tests.terminals import Terminal

NAME = "projects/local/locations/local/services/chat"
CONFIG = """
service: chat
environments: {local: {endpoint: local}}
images: {next: {command: [python, app.py]}}
scenarios: {run: {path: /ws, send: {type: hello}, expect: [done]}}
"""
COMMANDS = (
    "status", f"status {NAME}", "status --watch", "rollback", "rollback --dry-run", "promote", "unpin", "tick", "plan --image next",
    "rollout --image next", "report", "doctor", f"init -y --dry-run --from {NAME}", "local status", "local logs", "local up",
    "status -o json",
)  # fmt: skip


@contextmanager
def held(folder: Path, address: str) -> Iterator[Path]:
    """A project whose local Cloud Run is at this address."""
    (folder / "spillway.yaml").write_text(CONFIG)
    state = folder / ".spillway" / "local"
    state.mkdir(parents=True)
    with (state / "server.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a server holds it
        endpoint.write(state, Endpoint(os.getpid(), address, "t", datetime.now(UTC)))
        yield folder


class Watching(grpc.GenericRpcHandler):
    """Refuses every call, and keeps what was on the terminal when the first one came."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.seen: str | None = None

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if self.seen is None:
            is_there = select.select([self._master], [], [], 0)[0]
            self.seen = os.read(self._master, 65536).decode() if is_there else ""

        def refuse(_: bytes, context: grpc.ServicerContext) -> None:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "no")

        return grpc.unary_unary_rpc_method_handler(refuse)


@pytest.mark.parametrize("line", COMMANDS)
def test_something_is_said_before_the_first_call_is_answered(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    master, slave = pty.openpty()
    watching = Watching(master)
    server = grpc.server(ThreadPoolExecutor(4), handlers=[watching])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    for name in ("CI", "SPILLWAY_LOCAL_DIR", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    with held(tmp_path, f"127.0.0.1:{port}"), os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        group = line.split()[: 2 if line.startswith("local") else 1]
        main.run([*group, "-C", str(tmp_path), *line.split()[len(group) :]])
    server.stop(None).wait()
    os.close(master)
    if line == "local up":  # asks nothing of one that is there
        return
    assert watching.seen is not None, "no call came"
    assert watching.seen.startswith("connecting ..."), watching.seen


def test_a_server_that_never_answers_leaves_no_terminal_blank_and_no_command_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with held(tmp_path, f"127.0.0.1:{port}"):
            environ = {
                name: value for name, value in os.environ.items() if name not in ("CI", "SPILLWAY_LOCAL_DIR")
            }
            terminal = Terminal(
                sys.executable, "-m", "pipeline", "status", cwd=tmp_path, env={**environ, "TERM": "xterm"}
            )
            terminal.expect("connecting ...")
            os.kill(terminal.pid, signal.SIGINT)
            assert terminal.close() == 130
