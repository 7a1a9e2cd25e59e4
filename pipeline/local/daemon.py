"""Start, stop and look at the local Cloud Run of a state folder: what ``spillway local`` calls."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.errors import PlatformUnavailable, SpillwayError
from pipeline.local import endpoint, images
from pipeline.local.endpoint import Endpoint
from pipeline.local.images import Image

_START_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 20.0  # instances have 10 s
_POLL_S = 0.05
_TAIL_LINES = 8


def up(
    folder: Path,
    known: Mapping[str, Image],
    *,
    trust_forwarded: bool = False,
    bind: str = "127.0.0.1",
    port: int = 0,
) -> Endpoint:
    """A local Cloud Run that answers and knows these images; the one that runs already, if there is one.

    Args:
        trust_forwarded, bind, port: of a server that has to be started; one that runs keeps its own.
    Raises: SpillwayError when it does not come up, with the last lines of its log.
    """
    folder = folder.absolute()
    images.write(folder, known)
    if not endpoint.is_alive(folder):
        options = ["--bind", bind, "--port", str(port), *(["--trust-forwarded"] if trust_forwarded else [])]
        _start(folder, options)
    return _await_answer(folder)


def down(folder: Path) -> bool:
    """End the server and all that it runs. Returns whether there was one. Raises SpillwayError if it will not end."""
    if not endpoint.is_alive(folder):
        return False
    pid = _await_answer(folder).pid
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        if _wait(lambda: not endpoint.is_alive(folder), _END_TIMEOUT_S):
            return True
    raise SpillwayError(
        f"the local Cloud Run of {folder} does not end",
        f"Process {pid} is still there after SIGKILL and {_END_TIMEOUT_S:g} s",
        f"Look at it: ps -p {pid}",
    )


def status(folder: Path) -> dict[str, Any]:
    """What runs, as plain values. Raises PlatformUnavailable when nothing does."""
    import grpc

    found = endpoint.read(folder)
    with found.channel() as channel:
        try:
            answer = channel.unary_unary(endpoint.STATUS_METHOD)(b"", timeout=10.0)
        except grpc.RpcError as error:
            raise PlatformUnavailable(
                "the local Cloud Run does not answer",
                str(error),
                "Start it anew: spillway local down && spillway local up",
            ) from error
    return {
        "address": found.address,
        "pid": found.pid,
        "started": found.started.isoformat(),
        **json.loads(answer),
    }


def _start(folder: Path, options: list[str]) -> None:
    """Start a server and return when it answers; also when another one was faster. Raises SpillwayError."""
    log = folder / "server.log"
    before = log.stat().st_size if log.exists() else 0
    read_end, write_end = os.pipe()
    command = [sys.executable, "-m", "pipeline.local.server", "--dir", str(folder), "--detach"]
    try:
        with log.open("ab") as output:
            subprocess.run(
                [*command, "--ready-fd", str(write_end), *options],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                pass_fds=(write_end,), start_new_session=True, check=False,
            )  # fmt: skip
        os.close(write_end)
        is_ready = bool(select.select([read_end], [], [], _START_TIMEOUT_S)[0]) and bool(os.read(read_end, 8))
    finally:
        os.close(read_end)
    if not is_ready and not endpoint.is_alive(folder):
        with log.open("rb") as written:
            written.seek(before)
            last = written.read().decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
        raise SpillwayError(
            "the local Cloud Run did not start", "\n".join(last) or "It wrote nothing", f"Read its log: {log}"
        )


def _await_answer(folder: Path) -> Endpoint:
    """The endpoint of a server that may be starting. Raises PlatformUnavailable."""

    def is_there() -> bool:
        with suppress(PlatformUnavailable):
            endpoint.read(folder)
            return True
        return not endpoint.is_alive(folder)

    _wait(is_there, _START_TIMEOUT_S)
    return endpoint.read(folder)


def _wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    give_up = time.monotonic() + timeout_s
    while not (holds := condition()) and time.monotonic() < give_up:
        time.sleep(_POLL_S)
    return holds
