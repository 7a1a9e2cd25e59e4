"""Start, stop and look at the local Cloud Run of a state folder: what ``spillway local`` calls."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pipeline import private
from pipeline.errors import LocalCloudRunDown, SpillwayError, UserError
from pipeline.local import endpoint
from pipeline.local.images import catalogue
from pipeline.local.locks import wait
from pipeline.local.run import strays

_START_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 20.0  # instances have 10 s
_TAIL_LINES = 8
_TRIES = 3  # a server may end while we look at it
_CODE = Path(__file__).parents[2]  # what holds ``pipeline``


def up(
    folder: Path,
    known: Mapping[str, catalogue.Image],
    *,
    trust_forwarded: bool = False,
    bind: str = "127.0.0.1",
    port: int = 0,
    rest_port: int = 0,
    strict_masks: bool = False,
    schedule_speed: int = 1,
    balancer_port: int | None = None,
) -> endpoint.Endpoint:
    """A local Cloud Run that answers and knows these images; the one that runs already, if there is one.

    Args:
        trust_forwarded, bind, port, rest_port, strict_masks, schedule_speed, balancer_port: of a server that has to be
            started; one that runs keeps its own.
    Raises: SpillwayError when it does not come up; UserError when folder, address or port cannot be had.
    """
    folder = folder.absolute()
    _check(folder, bind)
    catalogue.write(folder, known)
    settings = {
        "bind": bind, "port": port, "rest_port": rest_port, "trust_forwarded": trust_forwarded,
        "strict_masks": strict_masks, "schedule_speed": schedule_speed, "balancer_port": balancer_port,
    }  # fmt: skip
    for _ in range(_TRIES):
        try:
            return endpoint.settled(folder)
        except LocalCloudRunDown:
            if endpoint.is_alive(folder):  # it starts or ends for too long
                raise
        _start(folder, settings)
    return endpoint.read(folder)


def down(folder: Path) -> bool:
    """End the server and all that it runs. Returns whether there was one. Raises SpillwayError if it will not end."""
    wait(lambda: endpoint.holder(folder) is not None or not endpoint.is_alive(folder), _END_TIMEOUT_S)
    pid = endpoint.holder(folder)
    if pid is None:
        strays.end(strays.folder_token(folder))  # of one that was killed
        endpoint.tidy(folder)
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if wait(lambda: endpoint.holder(folder) != pid, _END_TIMEOUT_S):
            return True
    raise SpillwayError(
        f"the local Cloud Run of {folder} does not end",
        f"Process {pid} is still there after SIGKILL and {_END_TIMEOUT_S:g} s",
        f"Look at it: ps -p {pid}",
    )


def status(folder: Path) -> dict[str, Any]:
    """What runs, as plain values. Raises LocalCloudRunDown, and PlatformUnavailable when it does not answer."""
    import grpc

    found = endpoint.read(folder)
    with found.channel() as channel:
        try:
            answer = channel.unary_unary(endpoint.STATUS_METHOD)(b"", timeout=10.0)
        except grpc.RpcError as error:
            raise endpoint.no_answer(error) from error
    return {
        "address": found.address,
        "rest_address": found.rest_address,
        "pid": found.pid,
        "started": found.started.isoformat(),
        **json.loads(answer),
    }


def _check(folder: Path, bind: str) -> None:
    """Make the folder. Raises UserError."""
    try:
        ip_address(bind)
    except ValueError as error:
        raise UserError(f"--bind {bind}: {error}", fix="Give an address, as in --bind 127.0.0.1") from error
    try:
        private.make_folder(folder)
    except OSError as error:
        raise UserError(
            f"{folder}: no folder for the local Cloud Run",
            str(error),
            "Name another: SPILLWAY_LOCAL_DIR=FOLDER",
        ) from error


def _start(folder: Path, settings: Mapping[str, object]) -> None:
    """Start a server and return when it answers, or when another one has the folder. Raises SpillwayError."""
    log = folder / "server.log"
    before = log.stat().st_size if log.exists() else 0
    # -P: a module of the folder one happens to stand in must not stand for ours
    command = [sys.executable, "-P", "-m", "pipeline.local.server", "--dir", str(folder), "--detach"]
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb"):
        # Ours of the writing end is closed before we listen, or we would never hear the server's end.
        with os.fdopen(write_end, "wb"), private.open_append(log) as output:
            subprocess.run(
                [*command, "--ready-fd", str(write_end), "--settings", json.dumps(settings)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                pass_fds=(write_end,), start_new_session=True, check=False,
                env={**os.environ, "PYTHONPATH": str(_CODE)},
            )  # fmt: skip
        said = _read_all(read_end, _START_TIMEOUT_S)
    if refusal := json.loads(said or "{}"):
        wait(lambda: not endpoint.is_alive(folder), _END_TIMEOUT_S)
        kind = UserError if refusal.pop("kind") == "UserError" else SpillwayError
        raise kind(**refusal)
    if not said and not endpoint.is_alive(folder):
        said_last = log.read_bytes()[before:].decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
        raise SpillwayError(
            "the local Cloud Run did not start",
            "\n".join(said_last) or "It said nothing",
            f"Read its log: {log}",
        )


def _read_all(pipe: int, timeout_s: float) -> bytes:
    """Everything until the other end is closed; what came so far when time is up."""
    found, give_up = b"", time.monotonic() + timeout_s
    while select.select([pipe], [], [], max(0.0, give_up - time.monotonic()))[0]:
        if not (piece := os.read(pipe, 4096)):
            break
        found += piece
    return found
