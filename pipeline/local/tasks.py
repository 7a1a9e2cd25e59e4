"""Work that goes on beside whoever began it, and work that lets others go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Tasks:
    """Tasks that nobody need wait for. asyncio holds a task only weakly; one that fails is told of in the log.

    Args: failed: what the log then says.
    """

    def __init__(self, failed: str) -> None:
        self._failed = failed
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish(self) -> None:
        """Return when all have ended, those too that they begin."""
        while self._running:
            await asyncio.wait(self._running)

    async def cancel(self) -> None:
        while self._running:
            for task in self._running:
                task.cancel()
            await asyncio.wait(self._running)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            log.error(self._failed, exc_info=fault)


class Turn:
    """For long work on the event loop: passes it on every few milliseconds, so that no socket waits for all of it."""

    _LONGEST_S = 0.003

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def is_over(self) -> bool:
        return time.perf_counter() - self._began > self._LONGEST_S

    async def pass_on(self) -> None:
        """Return when everybody who was ready had a turn."""
        await asyncio.sleep(0)
        self._began = time.perf_counter()
