"""Processes of jobs: one attempt at one task, from its start to its end.

The first container's end is the attempt's. The others, and whatever a container started, are ended with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from secrets import token_hex

from pipeline.local.dataplane import AttemptEnd, AttemptSpec, ContainerSpec
from pipeline.local.entries.store import LogSink
from pipeline.local.run.container import Container, Part, Site

_PREFIX = "run.googleapis.com/"


class Attempt:
    """``run`` it once."""

    def __init__(self, site: Site, logs: LogSink, spec: AttemptSpec) -> None:
        self._site = site
        self._logs = logs
        self._spec = spec
        self._instance = token_hex(20)
        self._running: list[Container] = []

    async def run(self) -> AttemptEnd:
        """Raises StartFailed."""
        starting = asyncio.create_task(self._start_all())
        try:
            await asyncio.shield(starting)
            main = self._running[0]
            try:
                async with asyncio.timeout(self._spec.timeout_s):
                    how = await main.wait()
            except TimeoutError:
                await self._end()
                text = f"The task was ended: it had run for {self._spec.timeout_s:g} s, its time-out."
                self._tell(text)
                return AttemptEnd(signal=main.signal or 15, message=text)
        finally:
            # Whoever waits may be cancelled while a process is being made: it is one of ours too.
            await asyncio.wait([starting])
            await self._end()
        if main.exit_code == 0:
            return AttemptEnd()
        self._tell(how)
        return AttemptEnd(main.exit_code, main.signal, how)

    async def _start_all(self) -> None:
        for number, container in enumerate(self._spec.containers):
            self._running.append(await self._start(number, container))

    async def _start(self, number: int, container: ContainerSpec) -> Container:
        spec, name = self._spec, self._spec.job
        ours = {
            "CLOUD_RUN_JOB": name.rpartition("/")[2],
            "CLOUD_RUN_EXECUTION": spec.execution,
            "CLOUD_RUN_TASK_INDEX": str(spec.index),
            "CLOUD_RUN_TASK_ATTEMPT": str(spec.attempt),
            "CLOUD_RUN_TASK_COUNT": str(spec.count),
        }
        part = await Part.made(self._site, name, number, container, ours)
        sink = partial(
            self._logs.line, name, "", container=container.name, instance=self._instance, labels=self._labels
        )
        return await Container.spawn(part, sink, self._site.grace_s)

    async def _end(self) -> None:
        await asyncio.gather(*(container.end() for container in self._running))
        await self._site.clear()

    def _tell(self, text: str) -> None:
        self._logs.system(self._spec.job, "", text, "ERROR", self._instance, labels=self._labels)

    @property
    def _labels(self) -> Mapping[str, str]:
        """Of each entry, by which Cloud Run says whose it is."""
        spec = self._spec
        return {
            f"{_PREFIX}execution_name": spec.execution,
            f"{_PREFIX}task_index": str(spec.index),
            f"{_PREFIX}task_attempt": str(spec.attempt),
        }
