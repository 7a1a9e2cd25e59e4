"""One instance of a revision: its containers, started in the order that they ask for, alive together and ended together.

They are processes of one machine, so they reach each other on its loopback address, as containers of an instance do. The
one that takes requests gets PORT; a sidecar's port is the machine's, and two instances cannot have the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from secrets import token_hex

from pipeline.local.dataplane import ContainerSpec, InstanceSpec, Probe, StartFailed
from pipeline.local.entries.store import LogSink
from pipeline.local.run import probes
from pipeline.local.run.container import Container, Part, Site, free_port
from pipeline.local.tasks import Tasks


class Instance:
    """``start`` it once, then ``wait`` for its end or ``end`` it. Args: logs: hear what its containers say."""

    def __init__(self, site: Site, spec: InstanceSpec, logs: LogSink) -> None:
        self.spec = spec
        self.id = token_hex(20)  # as its log entries are labelled
        self.port = free_port()
        self.busy = 0  # requests on it
        self.is_ready = False
        self.is_ending = False
        self.idle_since = asyncio.get_running_loop().time()
        self._site = site
        self._logs = logs
        self._running: list[Container] = []
        self._readiness = [True] * len(self._specs)  # each starts as ready: its startup probe has passed
        self._unwell: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tasks = Tasks("probe failed")

    @property
    def _specs(self) -> tuple[ContainerSpec, ...]:
        return self.spec.container, *self.spec.sidecars

    @property
    def digests(self) -> list[str]:
        """Of its images."""
        return [spec.image.partition("@sha256:")[2] for spec in self._specs]

    @property
    def pids(self) -> list[int]:
        """Of the supervisors, each of which leads a process group."""
        return [container.pid for container in self._running]

    @property
    def is_running(self) -> bool:
        """It ends with the first of its containers."""
        return all(container.is_running for container in self._running)

    @property
    def is_gone(self) -> bool:
        """Whether nothing of it runs, nor will."""
        return self.is_ending and not any(container.is_running for container in self._running)

    @property
    def is_free(self) -> bool:
        """Whether it takes one more request."""
        is_well = self.is_ready and all(self._readiness)
        return is_well and not self.is_ending and self.is_running and self.busy < self.spec.concurrency

    def tell(self, text: str, severity: str = "WARNING") -> None:
        """Log what the platform has to say of it."""
        self._logs.system(self.spec.service, self.spec.revision, text, severity, self.id)

    def release(self) -> None:
        """One request less on it."""
        self.busy -= 1
        self.idle_since = asyncio.get_running_loop().time()

    async def parts(self) -> list[Part]:
        """What its containers are started with: the one that takes requests, then the sidecars. Raises StartFailed."""
        name, service = self.spec.service, self.spec.service.rsplit("/", 1)[-1]
        ours = {"K_SERVICE": service, "K_REVISION": self.spec.revision, "K_CONFIGURATION": service}
        main = {**ours, "PORT": str(self.port)}
        first = await Part.made(self._site, name, 0, self.spec.container, main, self.port)
        sidecars = enumerate(self.spec.sidecars, start=1)
        return [first, *[await Part.made(self._site, name, number, spec, ours) for number, spec in sidecars]]

    async def start(self, parts: Sequence[Part]) -> None:
        """Return when every container has started. Raises StartFailed, after all of them have ended."""
        started = {part.token: asyncio.Event() for part in parts}
        by_name = {part.spec.name: started[part.token] for part in parts}
        try:
            async with asyncio.TaskGroup() as tasks:
                lives = [
                    tasks.create_task(
                        self._live(
                            part, started[part.token], [by_name[name] for name in part.spec.depends_on]
                        )
                    )
                    for part in parts
                ]
                for event in started.values():
                    await event.wait()
                for life in lives:
                    life.cancel()
        except ExceptionGroup as failures:
            await self.end()
            raise _first(failures) from None
        self.is_ready = True
        for number, spec in enumerate(self._specs):
            if spec.liveness:
                self._tasks.spawn(self._ask_liveness(spec.name, spec.liveness))
            if spec.readiness:
                self._tasks.spawn(self._ask_readiness(number, spec.readiness))

    async def _ask_liveness(self, name: str, probe: Probe) -> None:
        """Until it has failed as often as it may."""
        async for failed in probes.failures(probe, self.port):
            if failed >= probe.failures and not self._unwell.done():
                text = probes.described(probe, name, self.port)
                self._unwell.set_result(f"LIVENESS {text}. The instance has been shut down.")

    async def _ask_readiness(self, number: int, probe: Probe) -> None:
        """One success makes it ready again."""
        text = probes.described(probe, self._specs[number].name, self.port)
        async for failed in probes.failures(probe, self.port):
            was_ready = self._readiness[number]
            is_ready = not failed or (was_ready and failed < probe.failures)
            self._readiness[number] = is_ready
            if was_ready and not is_ready:
                self.tell(f"READINESS {text}. The instance gets no new requests until it succeeds.")

    async def _live(self, part: Part, started: asyncio.Event, before: Sequence[asyncio.Event]) -> None:
        """Start one container and see to it that it stays, until all of them have started. Raises StartFailed."""
        for other in before:
            await other.wait()

        spec, name = self.spec, part.spec.name
        sink = partial(self._logs.line, spec.service, spec.revision, container=name, instance=self.id)
        container = await Container.spawn(part, sink, self._site.grace_s)
        self._running.append(container)
        if self.is_ending:  # whoever ended it did not know of this one yet
            await container.end()
        await container.until_ready()
        started.set()
        await container.wait()
        await container.end()
        raise container.failure(container.how_it_ended())

    async def wait(self) -> str:
        """Return when a container has ended, or its liveness probe has failed: how, in Cloud Run's words."""
        ends = {asyncio.ensure_future(container.wait()): container for container in self._running}
        done, others = await asyncio.wait({*ends, self._unwell}, return_when=asyncio.FIRST_COMPLETED)
        for other in others & ends.keys():
            other.cancel()
        if self._unwell in done:
            return self._unwell.result()
        first = next(each for each in ends if each in done)
        which = f" It was container '{ends[first].spec.name}'." if len(ends) > 1 else ""
        return f"{first.result()}{which}"

    async def end(self) -> bool:
        """SIGTERM, grace, SIGKILL, and nothing of its families left behind. Says whether it took SIGKILL."""
        self.is_ending = True
        await self._tasks.cancel()
        killed = any(await asyncio.gather(*(container.end() for container in self._running)))
        await self._site.clear()
        return killed


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure of a start where there is one: the others may have followed from it."""
    every = failures.exceptions
    return next((each for each in every if isinstance(each, StartFailed)), every[0])
