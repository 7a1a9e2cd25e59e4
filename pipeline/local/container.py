"""One instance of a revision: a real process that is started, watched until it listens, read from, and ended.

The process gets PORT, K_SERVICE, K_REVISION and K_CONFIGURATION, the container's own environment, and of the server's
environment only what a program needs to run at all (``INHERITED``): no token or credential comes along, and no
PYTHONPATH or VIRTUAL_ENV, so that a command means the same wherever the server was started.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pipeline.local.images import Image
from pipeline.local.logstore import MAX_LINE
from pipeline.local.parts import InstanceSpec, StartFailed

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TMPDIR", "TZ", "SHELL", "USER")
_CHILD = Path(__file__).with_name("child.py")
_TAIL_LINES = 10
_PIECE = 64 * 1024
_PROBE_PERIOD_S = 0.02
_STRAGGLERS_S = 1.0  # for a process that left the group and holds the output open
_PORTS = range(10_000, 20_000)  # not where the system lends ports to outgoing connections

LineSink = Callable[[str, str], None]  # stream, line


class Container:
    """Args: grace_s: between SIGTERM and SIGKILL."""

    def __init__(
        self, spec: InstanceSpec, process: asyncio.subprocess.Process, port: int, grace_s: float
    ) -> None:
        self.spec = spec
        self.port = port
        self.busy = 0  # requests on it
        self.is_ready = False
        self.is_ending = False
        self.idle_since = asyncio.get_running_loop().time()
        self._process = process
        self._grace_s = grace_s
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._readers: list[asyncio.Task[None]] = []

    @classmethod
    async def spawn(cls, spec: InstanceSpec, image: Image, sink: LineSink, grace_s: float) -> Container:
        """Start the process; it does not listen yet. Raises StartFailed."""
        port = _free_port()
        command = [*(spec.command or image.command), *spec.args]
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(_CHILD), *command,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                cwd=image.directory, env=_environment(spec, image, port), start_new_session=True, limit=_PIECE,
            )  # fmt: skip
        except OSError as error:
            raise StartFailed("CONTAINER_MISSING", f"{image.directory}: {error.strerror}") from error
        container = cls(spec, process, port, grace_s)
        container._read("stdout", process.stdout, sink)
        container._read("stderr", process.stderr, sink)
        return container

    @property
    def pid(self) -> int:
        """Of the supervisor, which leads the process group."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    @property
    def is_free(self) -> bool:
        """Whether it takes one more request."""
        return self.is_ready and not self.is_ending and self.is_running and self.busy < self.spec.concurrency

    async def until_ready(self) -> None:
        """The TCP startup probe. Raises StartFailed, after the process has ended."""
        try:
            async with asyncio.timeout(self.spec.startup_s):
                while self.is_running and not await self._answers():
                    await asyncio.sleep(_PROBE_PERIOD_S)
        except TimeoutError:
            await self.end()
            raise self._failure(f"it did not listen within {self.spec.startup_s:g} s") from None
        if not self.is_running:
            await self.end()
            raise self._failure(_how_it_ended(self._process.returncode or 0))
        self.is_ready = True

    async def wait(self) -> str:
        """Return when the process has ended: how it ended, in Cloud Run's words."""
        return _how_it_ended(await self._process.wait())

    async def end(self) -> Literal["", "SIGKILL"]:
        """SIGTERM, grace, SIGKILL, and nothing of its group left behind. Says whether it took SIGKILL."""
        self.is_ending = True
        killed: Literal["", "SIGKILL"] = ""
        if self.is_running:
            self._signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), self._grace_s)
            except TimeoutError:
                killed = "SIGKILL"
        self._signal(signal.SIGKILL)
        await self._process.wait()
        await asyncio.wait(self._readers, timeout=_STRAGGLERS_S)
        for reader in self._readers:
            reader.cancel()
        if self._process.stdin:
            self._process.stdin.close()
        return killed

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        return True

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
            os.killpg(self.pid, number)

    def _failure(self, what: str) -> StartFailed:
        tail = "\n".join(self._tail) or "(none)"
        return StartFailed(
            "HEALTH_CHECK_CONTAINER_ERROR",
            f"Revision '{self.spec.revision}' is not ready and cannot serve traffic. The user-provided container failed "
            f"to start and listen on the port defined by the PORT={self.port} environment variable: {what}\n"
            f"Last log lines:\n{tail}",
        )

    def _read(self, stream: str, reader: asyncio.StreamReader | None, sink: LineSink) -> None:
        assert reader is not None

        async def hand_on() -> None:
            async for line in _lines(reader):
                self._tail.append(line[:1000])
                sink(stream, line)

        self._readers.append(asyncio.create_task(hand_on()))


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines without their ends; what is longer than ``MAX_LINE`` is cut off."""
    rest, is_cut = b"", False
    while piece := await reader.read(_PIECE):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if not is_cut:
                yield line[:MAX_LINE].decode("utf-8", "replace").removesuffix("\r")
            is_cut = False
        if len(rest) > MAX_LINE or is_cut:
            if not is_cut:
                yield rest[:MAX_LINE].decode("utf-8", "replace")
            rest, is_cut = b"", True
    if rest:
        yield rest.decode("utf-8", "replace")


def _how_it_ended(code: int) -> str:
    if code > 128 or code < 0:
        return f"Container terminated on signal {code - 128 if code > 128 else -code}."
    return f"Container called exit({code})."


def _environment(spec: InstanceSpec, image: Image, port: int) -> dict[str, str]:
    service = spec.service.rsplit("/", 1)[-1]
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    ours = {"PORT": str(port), "K_SERVICE": service, "K_REVISION": spec.revision, "K_CONFIGURATION": service}
    return {**inherited, **image.env, **spec.env, **ours}


def _free_port() -> int:
    for port in random.sample(_PORTS, k=len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise StartFailed("INTERNAL", "No free port for another instance.")
