"""A data plane without processes: images that start, do not start, or start when a test says so."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from pipeline.local.dataplane import AttemptEnd, AttemptSpec, InstanceSpec, Routes, StartFailed


class FakeInstances:
    """Starts ``good`` at once, ``slow`` when ``let_go`` is set; ``never-listens`` and ``missing`` never."""

    def __init__(self) -> None:
        self.running: dict[tuple[str, str], InstanceSpec] = {}
        self.starts: Counter[str] = Counter()
        self.stopped: list[str] = []
        self.let_go = asyncio.Event()
        self.broken = False
        self.used: Collection[str] = ()

    @asynccontextmanager
    async def pinned(self, image: str) -> AsyncIterator[str]:
        yield image

    def collect(self, used: Collection[str]) -> None:
        self.used = used

    async def attempt(self, spec: AttemptSpec) -> AttemptEnd:
        raise AssertionError(f"there are no processes here: {spec}")

    async def start(self, spec: InstanceSpec) -> None:
        image = spec.container.image
        self.starts[spec.revision] += 1
        await asyncio.sleep(0)
        if image == "slow":
            await self.let_go.wait()
        if image == "missing":
            raise StartFailed("CONTAINER_MISSING", f"Image '{image}' not found.")
        if image == "never-listens" or self.broken:
            raise StartFailed(
                "HEALTH_CHECK_CONTAINER_ERROR",
                "The user-provided container failed to start and listen on the port defined provided by the PORT"
                " environment variable. Last lines of its log:\nTraceback: boom",
            )
        self.running[spec.service, spec.revision] = spec

    async def stop(self, service: str, revision: str) -> None:
        await asyncio.sleep(0)
        self.running.pop((service, revision), None)
        self.stopped.append(revision)


class FakeRouter:
    """Keeps what it was told last, and every address it gave out."""

    def __init__(self, on_route: Callable[[str, Routes], None] = lambda _service, _routes: None) -> None:
        self.routes: dict[str, Routes] = {}
        self.calls: list[Routes] = []
        self._ports: dict[tuple[str, str], int] = {}
        self._on_route = on_route

    async def route(self, service: str, routes: Routes) -> None:
        await asyncio.sleep(0)
        self._on_route(service, routes)
        self.routes[service] = routes
        self.calls.append(routes)

    async def forget(self, service: str) -> None:
        await asyncio.sleep(0)
        self.routes.pop(service, None)
        self._ports = {key: port for key, port in self._ports.items() if key[0] != service}

    def uri(self, service: str, tag: str = "") -> str:
        port = self._ports.setdefault((service, tag), 20_000 + len(self._ports))
        return f"http://127.0.0.1:{port}"
