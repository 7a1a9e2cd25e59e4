"""Moves the world until it is as the services say.

Level-triggered: ``reconcile`` derives what to do from the state it finds, may run at any time and any number of times,
and is what a restart calls for every service. What takes time runs beside it: one start per revision, one stop per
deleted revision, and per service one reconciliation at a time.

Order that others rely on: connections follow a split before ``traffic_statuses`` says so, and that is on disk before
the operation is done. A split waits for the revisions that get a share of it, never for a tag: a revision that hangs
must not keep a rollback waiting.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from datetime import datetime

import structlog

from pipeline.local.control import state
from pipeline.local.control.operations import Operation, Operations
from pipeline.local.control.running import instance_spec
from pipeline.local.control.state import Failure, Service
from pipeline.local.control.store import Registry
from pipeline.local.control.views import service_json, settled_json
from pipeline.local.dataplane import Instances, InstanceSpec, Router, Routes, StartFailed
from pipeline.local.tasks import Tasks
from pipeline.model import Readiness

log = structlog.get_logger(__name__)

Key = tuple[str, str]  # service's resource name, revision's short name


class Reconciler:
    """Starts, stops and routes; ends operations."""

    def __init__(
        self,
        registry: Registry,
        operations: Operations,
        instances: Instances,
        router: Router,
        clock: Callable[[], datetime],
        also_used: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._registry = registry
        self._operations = operations
        self._instances = instances
        self._router = router
        self._clock = clock
        self._also_used = also_used
        self._tasks = Tasks("control plane task failed")
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._routed: dict[str, Routes] = {}
        self._starts: dict[Key, asyncio.Task[None]] = {}
        self._stops: dict[Key, asyncio.Task[None]] = {}
        self._started: set[Key] = set()

    async def resume(self) -> None:
        """Route what was served; start what serves and finish what a restart interrupted in the background."""
        for service in self._registry:
            await self._route(service)
            self.kick(service.name)
        for operation in self._operations.unfinished_deletions():
            if operation.target not in self._registry:
                await self._router.forget(operation.target)
            self._operations.finish(operation.name)
        self._collect()

    async def close(self) -> None:
        """Stop working. Instances and addresses belong to whoever made them."""
        await self._tasks.cancel()

    def kick(self, name: str) -> None:
        """A service was written: look at it soon."""
        self._tasks.spawn(self._reconcile(name))

    def forget_service(self, service: Service, operation: Operation) -> None:
        """End everything of a service that no longer exists, then the operation."""
        stops = [self.stop((service.name, r.name)) for r in service.revisions]
        self._tasks.spawn(self._forget(operation, stops))

    def forget_revision(self, key: Key, operation: Operation) -> None:
        """End a revision that no longer exists, once no tag leads to it, then the operation."""
        self._tasks.spawn(self._finish_after(operation, [self.stop(key, is_routed=True)]))

    def stop(self, key: Key, *, is_routed: bool = False) -> asyncio.Task[None]:
        """End a revision that no longer exists; a start of the same name waits for it."""
        if start := self._starts.pop(key, None):
            start.cancel()
        self._started.discard(key)
        task = self._stops[key] = self._tasks.spawn(self._stop(key, is_routed))
        return task

    async def _reconcile(self, name: str) -> None:
        async with self._turns[name]:
            while current := self._registry.find(name):
                goal = state.advance(current, self._clock())
                if not self._is_warm(goal):
                    return  # each start that ends comes back here
                await self._route(goal)
                if self._registry.find(name) is current:  # else it was written meanwhile: once more
                    self._settle(current, goal)
                    return

    def _is_warm(self, goal: Service) -> bool:
        """Whether all that gets a share runs; starts that, what is tagged, and what awaits its readiness check."""
        pending = {r.name for r in goal.revisions if r.readiness is Readiness.PENDING}
        for revision in pending | {line.revision for line in goal.serving}:
            key = (goal.name, revision)
            if key not in self._started and key not in self._starts:
                self._starts[key] = self._tasks.spawn(self._start(key))
        return all((goal.name, line.revision) in self._started for line in goal.serving if line.percent)

    async def _start(self, key: Key) -> None:
        """Run one revision; that is its readiness check if it is pending."""
        if stop := self._stops.get(key):  # of an earlier revision of that name: it still has the instances
            await asyncio.wait([stop])
        failure = None
        try:
            await self._run(key)
        except StartFailed as fault:
            failure = Failure(fault.reason, fault.message)
        except OSError as fault:
            failure = Failure("INTERNAL", f"The local Cloud Run could not start it: {fault}")
        del self._starts[key]
        self._started.add(key)
        self._record_start(key, failure)
        self._collect()
        await self._reconcile(key[0])

    async def _run(self, key: Key) -> None:
        """Start it with the images that it had at its first start, whatever their names mean now."""
        name, revision = key
        spec = self._spec(key)
        async with AsyncExitStack() as stack:
            images = {
                each.image: await stack.enter_async_context(self._instances.pinned(each.image))
                for each in (spec.container, *spec.sidecars)
            }
            found = self._registry[name].revision(revision)
            service = state.pinned(self._registry[name], revision, (found and found.images) or images)
            if service != self._registry[name]:
                self._registry.publish(service)
        await self._instances.start(self._spec(key))

    def _spec(self, key: Key) -> InstanceSpec:
        service = self._registry[key[0]]
        revision = service.revision(key[1])
        assert revision is not None, key
        return instance_spec(service, revision)

    def _collect(self) -> None:
        """Take away the images that no revision names any more, nor any record."""
        self._instances.collect(self._also_used().union(*map(state.digests, self._registry)))

    def _record_start(self, key: Key, failure: Failure | None) -> None:
        name, revision = key
        service = self._registry[name]
        found = service.revision(revision)
        if found and found.readiness is Readiness.PENDING:
            self._registry.publish(state.checked(service, revision, failure, self._clock()))
        elif failure:  # it was ready once and stays so: a failed restart is the ingress's to answer for
            log.warning("revision did not start again", service=name, revision=revision, why=failure.message)

    async def _route(self, service: Service) -> None:
        """Send new connections where ``serving`` and the ingress say, unless they go there already."""
        routes = _routes(service)
        if self._routed.get(service.name) == routes:
            return
        self._routed.pop(service.name, None)  # unknown until the router says so
        await self._router.route(service.name, routes)
        self._routed[service.name] = routes

    def _settle(self, current: Service, goal: Service) -> None:
        if goal != current:
            self._registry.publish(goal)
        idle = {r.name for r in goal.revisions} - goal.addressed
        self._started -= {(goal.name, revision) for revision in idle}  # may be stopped when idle: ask again
        if goal.reconciling:
            return
        failure = goal.failure
        error = ("FAILED_PRECONDITION", failure.message) if failure else None
        self._operations.finish_writes(goal.name, subject=service_json(goal, self._router.uri), error=error)

    async def _forget(self, operation: Operation, stops: Iterable[asyncio.Task[None]]) -> None:
        async with self._turns[operation.target]:
            self._routed.pop(operation.target, None)
            await self._router.forget(operation.target)
        await self._finish_after(operation, stops)

    async def _finish_after(self, operation: Operation, stops: Iterable[asyncio.Task[None]]) -> None:
        await asyncio.gather(*stops)
        self._operations.finish(operation.name, subject=settled_json(operation.subject, self._clock()))

    async def _stop(self, key: Key, is_routed: bool) -> None:
        if is_routed:
            await self._reconcile(key[0])
        await self._instances.stop(*key)
        self._collect()
        if self._stops.get(key) is asyncio.current_task():  # else the name was given and taken away again
            del self._stops[key]


def _routes(service: Service) -> Routes:
    return Routes(
        tuple((+state.shares(service.serving)).items()),  # those that have one
        {line.tag: line.revision for line in service.serving if line.tag},
        is_internal=service.spec.get("ingress") not in (None, "INGRESS_TRAFFIC_ALL"),
        is_disabled=bool(service.spec.get("default_uri_disabled")),
    )
