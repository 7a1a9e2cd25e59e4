"""One container of an instance: a real process that is started, watched until it listens, read from, and ended.

The process gets the container's environment (``instance.py``), the token by which its family is found (``strays.py``), and of the server's environment only what a program needs to run at all
(``INHERITED``): no token or credential of the server comes along, and no PYTHONPATH or VIRTUAL_ENV, so that a command
means the same wherever the server was started.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from msgspec import Struct

from pipeline.local.dataplane import ContainerSpec, Probe, StartFailed
from pipeline.local.entries.store import MAX_LINE
from pipeline.local.images.builds import Build
from pipeline.local.run import listening, probes, secret_variables, strays, volumes
from pipeline.local.run.output_lines import LineCutter
from pipeline.redact import SINK

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TMPDIR", "TZ", "SHELL", "USER")
_CHILD = Path(__file__).with_name("child.py")
_TAIL_LINES = 10
_TAIL_WIDTH = 1000
_STREAMS = {1: "stdout", 2: "stderr"}
_PAUSE_S = {"tcp": 0.02, "http": 0.2, "grpc": 0.2}  # between two questions of a startup probe
_STRAGGLERS_S = 1.0  # for whoever still holds the output open
_REAPING_S = 2.0  # for the supervisor to end the family
_NO_FILES = " (it runs without files: the image has no directory)"
_PORTS = range(10_000, 20_000)  # not where the system lends ports to outgoing connections

LineSink = Callable[[str, str], None]  # stream, line


class _Process(asyncio.SubprocessProtocol):
    """What is heard of a process. Its end is its own: who inherited its output may hold that open."""

    def __init__(self, on_line: LineSink) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self.silent: asyncio.Future[None] = loop.create_future()  # nobody holds its output any more
        self._on_line = on_line
        self._cutters = {fd: LineCutter(MAX_LINE) for fd in _STREAMS}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        for line in self._cutters[fd].feed(data):
            self._on_line(_STREAMS[fd], line)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002
        if fd in _STREAMS:
            for line in self._cutters[fd].end():
                self._on_line(_STREAMS[fd], line)

    def tell_to_kill(self) -> None:
        """See ``child.py``."""
        pipe = self.transport.get_pipe_transport(0)
        if pipe is not None:
            cast("asyncio.WriteTransport", pipe).write(b"\n")

    def process_exited(self) -> None:
        self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.silent.set_result(None)


class Site(Struct, frozen=True):
    """Where the containers of an instance, or of a job's attempt, are run.

    Args:
        folder: of the server.
        token: which nobody else has.
        find: the build of an image. Raises StartFailed.
        grace_s: between SIGTERM and SIGKILL; Cloud Run's is 10.
    """

    folder: Path
    token: str
    find: Callable[[str], Awaitable[Build]]
    grace_s: float

    async def clear(self) -> None:
        """Take their volumes away."""
        await asyncio.to_thread(volumes.remove, volumes.place(self.folder, self.token))


class Part(Struct, frozen=True):
    """What one container of an instance is started with.

    Args:
        env: of the container, beside what its image sets.
        port: at which it takes requests; 0 for a sidecar.
        token: which no other container has.
        runner: what the command is run by, if not directly.
    """

    spec: ContainerSpec
    build: Build
    env: Mapping[str, str]
    port: int
    token: str
    runner: tuple[str, ...] = ()

    @classmethod
    async def made(
        cls, site: Site, owner: str, number: int, spec: ContainerSpec, ours: Mapping[str, str], port: int = 0
    ) -> Part:
        """With its build, its secrets and its volumes at hand. Raises StartFailed.

        Args:
            owner: resource name of the service or the job.
            ours: variables that the platform sets.
        """
        build = await site.find(spec.image)
        secrets = await asyncio.to_thread(secret_variables.read, site.folder, owner, spec)
        runner = await asyncio.to_thread(volumes.runner, site.folder, site.token, owner, spec)
        env = {**spec.env, **secrets, **ours}
        return cls(spec, build, env, port, f"{site.token}-{number}", runner)  # each is ended by itself

    @property
    def command(self) -> list[str]:
        return [*self.runner, *(self.spec.command or self.build.command), *self.spec.args]


class Container:
    """Args: grace_s: between SIGTERM and SIGKILL."""

    def __init__(self, part: Part, sink: LineSink, grace_s: float) -> None:
        self.spec = part.spec
        self._part = part
        self._is_ended = False
        self._grace_s = grace_s
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._sink = sink
        self._process = _Process(self._hand_on)

    @classmethod
    async def spawn(cls, part: Part, sink: LineSink, grace_s: float) -> Container:
        """Start the process; it does not listen yet. Raises StartFailed."""
        container, folder = cls(part, sink, grace_s), part.build.directory
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: container._process, sys.executable, "-I", "-S", str(_CHILD), *part.command,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                cwd=folder, env=_environment(part), start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise StartFailed("CONTAINER_MISSING", f"{folder}: {error.strerror}") from error
        return container

    @property
    def pid(self) -> int:
        """Of the supervisor, which leads the process group."""
        return int(self._process.transport.get_pid())

    @property
    def is_running(self) -> bool:
        return not self._process.exited.done()

    async def until_ready(self) -> None:
        """The startup probe, asked more often than it says. Raises StartFailed, after the process has ended."""
        probe = self.spec.startup
        if probe is None:
            return
        patience_s = probe.delay_s + probe.period_s * probe.failures
        try:
            async with asyncio.timeout(patience_s):
                await asyncio.sleep(probe.delay_s)
                while self.is_running and not await probes.answers(probe, self._part.port):
                    await asyncio.sleep(_PAUSE_S[probe.kind])
        except TimeoutError:
            seen = await self._listens_elsewhere()
            await self.end()
            raise self.failure(self._not_ready(probe, seen, patience_s)) from None
        if not self.is_running:
            await self.end()
            raise self.failure(self.how_it_ended())

    async def _listens_elsewhere(self) -> str:
        """Where, if not where requests come."""
        if not self._part.port or await probes.answers(Probe(), self._part.port):
            return ""
        return await asyncio.to_thread(listening.elsewhere, self._part.token, self._part.port)

    def _not_ready(self, probe: Probe, seen: str, patience_s: float) -> str:
        waited = f"within {patience_s:g} s"
        if seen:
            return f"{seen} ({waited})"
        if probe.kind == "tcp":
            return f"it did not listen {waited}"
        return f"STARTUP {probes.described(probe, self.spec.name, self._part.port)} ({waited})"

    async def wait(self) -> str:
        """Return when the process has ended: how it ended, in Cloud Run's words."""
        await asyncio.shield(self._process.exited)
        return self.how_it_ended()

    async def end(self) -> bool:
        """SIGTERM, grace, SIGKILL, and nothing of its family left behind. Says whether it took SIGKILL."""
        if self._is_ended:
            return False
        if self.is_running:
            self._signal(signal.SIGTERM)
            await asyncio.wait([self._process.exited], timeout=self._grace_s)
        if killed := self.is_running:
            self._process.tell_to_kill()
            await asyncio.wait([self._process.exited], timeout=_REAPING_S)
        self._signal(signal.SIGKILL)  # a supervisor that is stopped, or the group of one that was killed
        await asyncio.shield(self._process.exited)
        await asyncio.to_thread(strays.end, self._part.token)
        await asyncio.wait([self._process.silent], timeout=_STRAGGLERS_S)
        self._process.transport.close()
        self._is_ended = True
        return killed

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
            os.killpg(self.pid, number)

    @property
    def exit_code(self) -> int:
        """Of a process that has ended; 128 and more where a signal ended it."""
        code = self._process.transport.get_returncode() or 0
        return code if code >= 0 else 128 - code

    @property
    def signal(self) -> int:
        """That ended it; 0 for none."""
        return max(self.exit_code - 128, 0)

    def how_it_ended(self) -> str:
        if self.signal:
            return f"Container terminated on signal {self.signal}."
        return f"Container called exit({self.exit_code})."

    def failure(self, what: str) -> StartFailed:
        """That it did not start, or did not stay, with its last lines."""
        tail = SINK.text("\n".join(self._tail)) or "(none)"  # a condition is kept in the state folder
        started = f" '{self.spec.name}' failed to start"
        if port := self._part.port:
            started = (
                f" failed to start and listen on the port defined by the PORT={port} environment variable"
            )
        hint = "" if self._part.build.is_copy else _NO_FILES
        text = f"The user-provided container{started}: {what}{hint}\nLast log lines:\n{tail}"
        return StartFailed("HEALTH_CHECK_CONTAINER_ERROR", text)

    def _hand_on(self, stream: str, line: str) -> None:
        self._tail.append(line[:_TAIL_WIDTH])
        self._sink(stream, line)


def _environment(part: Part) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**inherited, **part.build.env, **part.env, strays.VARIABLE: part.token}


def free_port() -> int:
    for port in random.sample(_PORTS, k=len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise StartFailed("INTERNAL", "No free port for another instance.")
