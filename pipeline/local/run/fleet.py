"""The processes of all revisions: started, restarted when they die, added under load, ended when idle or no longer wanted."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog
from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.errors import UserError
from pipeline.local.dataplane import AttemptEnd, AttemptSpec, InstanceSpec, StartFailed
from pipeline.local.entries.store import LogSink
from pipeline.local.images import builds, catalogue
from pipeline.local.run import inside, strays, volumes
from pipeline.local.run.attempts import Attempt
from pipeline.local.run.container import Site
from pipeline.local.run.instance import Instance
from pipeline.local.tasks import Tasks

MAX_ON_ONE_MACHINE = 4  # whatever max-instances says
_LONGEST_BACKOFF_S = 30.0
_LONGEST_PENDING_S = 10.0
_STEADY_S = 60.0  # an instance that lived so long did not crash at start

_ROLLOUT = (
    "DEPLOYMENT_ROLLOUT - Instance started due to traffic shifting between revisions due to deployment, traffic split "
    "adjustment, or deployment health check."
)
_DEMAND = "AUTOSCALING - Instance started due to no existing capacity for current traffic."
_RESTART = "AUTOSCALING - Instance started to replace one that ended."

Environment = Callable[[str, Mapping[str, str]], Mapping[str, str]]

log = structlog.get_logger(__name__)


class NoInstance(Exception):
    """No instance can take the request, and none may be started: 429."""


class _Group(Struct):
    """The instances of one revision. ``turn``: one start at a time; ``crashes``: in a row; ``stopped``: for good."""

    spec: InstanceSpec
    instances: list[Instance] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    crashes: int = 0
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def least(self) -> int:
        """How many run even when idle."""
        return min(self.spec.min_instances, MAX_ON_ONE_MACHINE)

    @property
    def most(self) -> int:
        return max(1, self.least, min(self.spec.max_instances, MAX_ON_ONE_MACHINE))

    @property
    def alive(self) -> list[Instance]:
        return [c for c in self.instances if c.is_running and not c.is_ending]

    def free(self, port: int | None = None) -> Instance | None:
        """The least busy instance with room; the one at ``port`` if that has."""
        room = [c for c in self.instances if c.is_free]
        return min(room, key=lambda c: (c.port != port, c.busy), default=None)


class Fleet:
    """Implements ``dataplane.Instances`` and ``dataplane.Attempts``.

    Args:
        folder: of the server; holds the image catalogue and the builds.
        grace_s: between SIGTERM and SIGKILL; Cloud Run's is 10.
        idle_s: after so long without a request, a revision with min-instances 0 runs nothing.
        backoff_s: before the first restart after a crash; doubles with each, up to 30 s.
        environment: of an instance of a service, from what its template says.
    """

    def __init__(
        self,
        folder: Path,
        logs: LogSink,
        *,
        grace_s: float = 10.0,
        idle_s: float = 900.0,
        backoff_s: float = 0.2,
        environment: Environment = lambda _, env: env,
    ) -> None:
        self._folder = folder
        self._logs = logs
        self._grace_s = grace_s
        self._idle_s = idle_s
        self._backoff_s = backoff_s
        self._environment = environment
        self._groups: dict[tuple[str, str], _Group] = {}
        self._instances: set[Instance] = set()
        self._verified: set[str] = set()  # images whose copy was compared with its digest since the start
        self._tasks = Tasks("instance task failed")
        self._sweeper: asyncio.Task[None] | None = None

    async def end_strays(self) -> None:
        """End what an earlier server of the folder left behind. Call before anything is started."""
        if count := await asyncio.to_thread(strays.end, strays.folder_token(self._folder)):
            log.warning("ended processes of an earlier server", count=count)
        await asyncio.to_thread(volumes.remove, volumes.place(self._folder))

    @asynccontextmanager
    async def pinned(self, image: str) -> AsyncIterator[str]:
        if "@" in image:
            yield image
            return
        try:
            lease = await asyncio.to_thread(
                lambda: builds.pin(self._folder, image, catalogue.named(self._folder, image))
            )
        except UserError as error:
            raise StartFailed("CONTAINER_MISSING", f"Image '{image}': {error}") from error
        with lease as reference:
            yield reference

    def collect(self, used: Collection[str]) -> None:
        # The instances of a revision that was deleted may still run, for the 10 s that they have.
        self._instances = {each for each in self._instances if not each.is_gone}
        used = {*used, *(digest for each in self._instances for digest in each.digests)}
        for left in builds.collect(self._folder, used):
            self._tasks.spawn(asyncio.to_thread(shutil.rmtree, left, ignore_errors=True))

    async def start(self, spec: InstanceSpec) -> None:
        self._sweeper = self._sweeper or asyncio.create_task(self._sweep())
        key = (spec.service, spec.revision)
        is_new = key not in self._groups
        group = self._groups.setdefault(key, _Group(spec))
        group.spec = spec
        async with group.turn:
            if is_new:
                await self._tell_left_out(spec)
            while len(group.alive) < max(1, group.least):
                await self._launch(group, _ROLLOUT)

    async def _tell_left_out(self, spec: InstanceSpec) -> None:
        left, unmounted = list(spec.left_out), volumes.not_mounted(spec)
        if unmounted and not await asyncio.to_thread(volumes.are_possible):
            left += [f"{each} (nothing can be mounted for one process here)" for each in unmounted]
        if left:
            text = f"Not acted out by the local Cloud Run: {', '.join(left)}."
            self._logs.system(spec.service, spec.revision, text, "NOTICE")

    async def attempt(self, spec: AttemptSpec) -> AttemptEnd:
        token = inside.fresh_token(self._folder) if spec.is_inside else strays.fresh_token(self._folder)
        return await Attempt(self._site(token), self._logs, spec).run()

    def _site(self, token: str) -> Site:
        return Site(self._folder, token, self._build, self._grace_s)

    async def stop(self, service: str, revision: str) -> None:
        group = self._groups.pop((service, revision), None)
        if group is not None:
            group.stopped.set()
            if ends := [self._tasks.spawn(self._end(instance)) for instance in group.instances]:
                await asyncio.wait(ends)  # they go on when whoever waits is cancelled

    async def close(self) -> None:
        """End everything, all at once."""
        if self._sweeper:
            self._sweeper.cancel()
        await asyncio.gather(*(self.stop(*key) for key in list(self._groups)))
        await self._tasks.finish()

    async def acquire(self, service: str, revision: str, *, port: int | None = None) -> Instance:
        """A place for one request, to be given back by ``release``: on the least busy instance, on the one at ``port`` if possible; starts one more when all are full.

        Raises: NoInstance, StartFailed.
        """
        group = self._groups.get((service, revision))
        if group is None:
            raise NoInstance
        instance = group.free(port)
        if instance is None:
            await _turn_of(group)
            try:
                instance = group.free(port)  # one may have started, or become free, while this one waited
                if instance is None:
                    if len(group.alive) >= group.most or group.stopped.is_set():
                        raise NoInstance
                    instance = await self._launch(group, _DEMAND)
            finally:
                group.turn.release()
        instance.busy += 1
        return instance

    def has_affinity(self, service: str, revision: str) -> bool:
        group = self._groups.get((service, revision))
        return group is not None and group.spec.session_affinity

    def pids(self) -> dict[tuple[str, str], list[int]]:
        """Leaders of the running process groups, by (service, revision)."""
        return {
            key: [pid for each in group.alive for pid in each.pids] for key, group in self._groups.items()
        }

    async def _launch(self, group: _Group, reason: str) -> Instance:
        """Start an instance and wait until it listens. Call with the turn. Raises StartFailed."""
        spec = group.spec
        _must_not_be_stopped(group)
        env = self._environment(spec.service, spec.container.env)
        spec = replace(spec, container=replace(spec.container, env=env))
        instance = Instance(self._site(strays.fresh_token(self._folder)), spec, self._logs)
        parts = await instance.parts()
        _must_not_be_stopped(group)  # from here on, whoever stops it ends the instance
        instance.tell(f"Starting new instance. Reason: {reason}", "INFO")
        group.instances.append(instance)
        self._instances.add(instance)
        try:
            await instance.start(parts)
        except StartFailed as failure:
            group.instances.remove(instance)
            instance.tell(failure.message.partition("\n")[0], "ERROR")
            raise
        except asyncio.CancelledError:
            group.instances.remove(instance)
            self._tasks.spawn(self._end(instance))
            raise
        self._tasks.spawn(self._watch(group, instance))
        return instance

    async def _build(self, image: str) -> builds.Build:
        found = await asyncio.to_thread(builds.find, self._folder, image, verify=image not in self._verified)
        self._verified.add(image)
        return found

    async def _watch(self, group: _Group, instance: Instance) -> None:
        """Restart what died by itself, later each time."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        how = await instance.wait()
        group.instances.remove(instance)
        if instance.is_ending:
            return
        await instance.end()
        instance.tell(how, "ERROR")
        group.crashes = 1 if loop.time() - started > _STEADY_S else group.crashes + 1
        async with group.turn:  # requests wait for the restart, as they do for a start
            await self._restart(group)

    async def _restart(self, group: _Group) -> None:
        while not group.stopped.is_set() and len(group.alive) < max(1, group.least):
            with suppress(TimeoutError):  # the back-off, cut short when the revision is stopped
                await asyncio.wait_for(group.stopped.wait(), backoff(group.crashes, self._backoff_s))
            try:
                await self._launch(group, _RESTART)
            except StartFailed as failure:
                group.crashes += 1
                log.warning("restart failed", revision=group.spec.revision, why=failure.message)

    async def _sweep(self) -> None:
        """End what has been idle for long, down to min-instances."""
        while True:
            await asyncio.sleep(min(self._idle_s / 4, 30.0))
            since = asyncio.get_running_loop().time() - self._idle_s
            for group in list(self._groups.values()):
                idle = [c for c in group.alive if c.is_ready and not c.busy and c.idle_since < since]
                for instance in idle[: max(0, len(group.alive) - group.least)]:
                    self._tasks.spawn(self._end(instance))

    async def _end(self, instance: Instance) -> None:
        if await instance.end():
            instance.tell("Container terminated on signal 9.")


def backoff(crashes: int, first_s: float) -> float:
    """Seconds before the restart after so many crashes in a row (from 1): doubles with each, up to 30."""
    return min(_LONGEST_BACKOFF_S, first_s * 2 ** min(crashes - 1, 32))


def _must_not_be_stopped(group: _Group) -> None:
    """Raises StartFailed."""
    if group.stopped.is_set():
        raise StartFailed("RETIRED", f"Revision '{group.spec.revision}' was stopped meanwhile.")


async def _turn_of(group: _Group) -> None:
    """Requests pend while an instance starts, but not for ever. Raises NoInstance."""
    try:
        await asyncio.wait_for(group.turn.acquire(), _LONGEST_PENDING_S)
    except TimeoutError as error:
        raise NoInstance from error
