"""Jobs of a schedule: kept as they were written, and started when their time has come.

Theory of operation. ``look`` is told the time, and starts what is due once, however long nobody looked; then the next time
follows from the schedule. Only the server sets times of its own (``schedule_time``, ``last_attempt_time``), and not in the
answer of a write: the real one was recorded to show them a little later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import structlog

from pipeline.local.alerts.collection import Collection
from pipeline.local.control.state import Json, Refused
from pipeline.local.scheduler import cron
from pipeline.local.tasks import Tasks
from pipeline.rpc.scheduler import kind

_EVERY_S = 1.0
_TARGETS = ("httpTarget", "pubsubTarget")
#: What clients cannot set.
_OURS = ("userUpdateTime", "state", "status", "scheduleTime", "lastAttemptTime")

#: Called with the target, as JSON; raises Refused.
Start = Callable[[Json], Awaitable[None]]

log = structlog.get_logger(__name__)


class Scheduler:
    """The schedule of one local Cloud Run. Call from its event loop alone."""

    def __init__(
        self, folder: Path, start: Start, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.jobs = Collection(folder / "schedule.json", kind("Job"), self._written)
        self._start = start
        self._clock = clock
        self._tasks = Tasks("the schedule is looked at no more")

    def begin(self) -> None:
        self._tasks.spawn(self._keep_looking())

    async def close(self) -> None:
        await self._tasks.cancel()

    async def _keep_looking(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """Start what is due as of now."""
        now = self._clock()
        for name, job in list(self.jobs):
            try:
                await self._look_at(name, job, now)
            except Exception as fault:  # one job that cannot be looked at must not stop the others for good
                log.exception("a schedule could not be looked at", job=name, exc_info=fault)

    async def _look_at(self, name: str, job: Json, now: datetime) -> None:
        if job["state"] != "ENABLED":
            return
        due = job.get("scheduleTime")
        if due and datetime.fromisoformat(due) <= now:
            await self.run(name)
        if not due or datetime.fromisoformat(due) <= now:
            self._set(name, scheduleTime=_shown(_schedule(job).after(now)))

    async def run(self, name: str) -> Any:
        """Start it now, whatever its schedule says. Returns the job. Raises Refused when there is none."""
        job = self.jobs.document(name)
        status: dict[str, Any] = {}
        try:
            await self._start(job.get("httpTarget", {}))
        except Refused as refused:
            status = {"code": grpc.StatusCode[refused.code].value[0], "message": refused.message}
            log.warning("a scheduled job was not started", job=name, why=refused.message)
        return self._set(name, lastAttemptTime=_shown(self._clock()), status=status)

    def pause(self, name: str, *, paused: bool) -> Any:
        """Pause or resume it. Raises Refused."""
        self.jobs.document(name)
        return self._set(name, state="PAUSED" if paused else "ENABLED", scheduleTime=None)

    def _set(self, name: str, **ours: Any) -> Any:
        """Write what is the server's; None takes it away. A job that was deleted meanwhile stays so."""
        with suppress(Refused):
            job = {**self.jobs.document(name), **ours}
            return self.jobs.keep(name, {key: value for key, value in job.items() if value is not None})

    def _written(self, document: dict[str, Any], before: Json | None) -> dict[str, Any]:
        """A client's write. Raises Refused."""
        given = {key: value for key, value in document.items() if key not in _OURS}
        if sum(target in given for target in _TARGETS) != 1:
            raise Refused("INVALID_ARGUMENT", "A job has one target: httpTarget or pubsubTarget.")
        _schedule(given)
        state = before["state"] if before else "ENABLED"
        return {**given, "userUpdateTime": _shown(self._clock()), "state": state}


def _schedule(job: Json) -> cron.Schedule:
    try:
        return cron.parsed(job.get("schedule", ""), job.get("timeZone", ""))
    except ValueError as error:
        raise Refused("INVALID_ARGUMENT", f"Schedule or time zone is invalid: {error}.") from error


def _shown(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None
