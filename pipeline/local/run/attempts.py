"""Processes of jobs: one attempt at one task, from its start to its end.

The first container's end is the attempt's. The others, and whatever a container started, are ended with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from secrets import token_hex

from pipeline.local.dataplane import AttemptEnd, AttemptSpec, ContainerSpec
from pipeline.local.entries.store import LogSink
from pipeline.local.images.builds import Build
from pipeline.local.run import inside, secret_variables, strays, volumes
from pipeline.local.run.container import Container, Part

_PREFIX = "run.googleapis.com/"


class Attempt:
    """``run`` it once.

    Args:
        find: the build of an image. Raises StartFailed.
        grace_s: between SIGTERM and SIGKILL; Cloud Run's is 10.
    """

    def __init__(
        self,
        folder: Path,
        logs: LogSink,
        find: Callable[[str], Awaitable[Build]],
        spec: AttemptSpec,
        grace_s: float,
    ) -> None:
        self._folder = folder
        self._logs = logs
        self._find = find
        self._spec = spec
        self._grace_s = grace_s
        self._token = inside.fresh_token(folder) if spec.is_inside else strays.fresh_token(folder)
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
        build = await self._find(container.image)
        secrets = await asyncio.to_thread(secret_variables.read, self._folder, name, container)
        runner = await asyncio.to_thread(volumes.runner, self._folder, self._token, name, container)
        ours = {
            "CLOUD_RUN_JOB": name.rpartition("/")[2],
            "CLOUD_RUN_EXECUTION": spec.execution,
            "CLOUD_RUN_TASK_INDEX": str(spec.index),
            "CLOUD_RUN_TASK_ATTEMPT": str(spec.attempt),
            "CLOUD_RUN_TASK_COUNT": str(spec.count),
        }
        env = {**container.env, **secrets, **ours}
        part = Part(container, build, env, 0, strays.of_container(self._token, number), runner)

        def hand_on(stream: str, line: str) -> None:
            self._logs.line(name, "", stream, line, container.name, self._instance, labels=self._labels)

        return await Container.spawn(part, hand_on, self._grace_s)

    async def _end(self) -> None:
        await asyncio.gather(*(container.end() for container in self._running))
        await asyncio.to_thread(volumes.remove, volumes.place(self._folder, self._token))

    def _tell(self, text: str) -> None:
        self._logs.system(self._spec.job, "", text, "ERROR", self._instance, labels=self._labels)

    @property
    def _labels(self) -> Mapping[str, str]:
        """Of each entry, by which Cloud Run says whose it is."""
        spec = self._spec
        names = ("execution_name", "task_index", "task_attempt")
        values = (spec.execution, str(spec.index), str(spec.attempt))
        return {f"{_PREFIX}{name}": value for name, value in zip(names, values, strict=True)}
