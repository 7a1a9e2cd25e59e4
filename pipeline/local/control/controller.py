"""The control plane: accepts or refuses each request.

A write is synchronous, decide, store, publish, with no await between, so no request sees half of another. What follows
from it is ``reconciler.py``'s; the operation that is answered ends when that has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pipeline.local.control import validate, writes
from pipeline.local.control.operations import REVISION, SERVICE, Operation, Operations
from pipeline.local.control.reconciler import Reconciler
from pipeline.local.control.state import Json, Refused, Revision, Service, there
from pipeline.local.control.store import Registry, Shelf
from pipeline.local.control.views import accepted_json, deleted_json, revision_json, service_json, summary
from pipeline.local.dataplane import Instances, Router
from pipeline.local.tasks import Tasks
from pipeline.model import ServiceRef

_SAVE_AGAIN_S = 1.0


class Controller:
    """Services, revisions and operations of one local Cloud Run. Call from its event loop alone.

    Args:
        folder: of the server; what is accepted is kept there.
        revision_limit: of each service; beyond it the oldest that nothing can reach are deleted.
        also_used: digests of images that others than services name.
    """

    def __init__(
        self,
        folder: Path,
        instances: Instances,
        router: Router,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        ids: Callable[[], str] = lambda: str(uuid4()),
        revision_limit: int = 1000,
        also_used: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self._registry = Registry(Shelf(folder / "services", Service))
        self.operations = Operations(Shelf(folder / "operations", Operation), clock=clock, ids=ids)
        self._reconciler = Reconciler(self._registry, self.operations, instances, router, clock, also_used)
        self._router = router
        self._revision_limit = revision_limit
        self._tasks = Tasks("the state is saved no more")

    async def resume(self) -> None:
        """Take up where the last server of this state folder ended, however it ended."""
        await self._reconciler.resume()
        self._tasks.spawn(self._keep_saving())

    async def close(self) -> None:
        """Stop working; what is unfinished is taken up by the next ``resume``."""
        await self._tasks.cancel()
        await self._reconciler.close()
        self._registry.save_again()

    async def _keep_saving(self) -> None:
        """What a full disk did not take is saved when there is room."""
        while True:
            await asyncio.sleep(_SAVE_AGAIN_S)
            self._registry.save_again()

    def service(self, ref: ServiceRef, etag: str = "") -> Service:
        """Args: etag: that it must have, if any. Raises Refused."""
        found = there(
            self._registry.find(ref.name),
            f"Resource '{ref.service}' of kind 'SERVICE' in region '{ref.location}' in project '{ref.project}'"
            " does not exist.",
        )
        writes.check_etag(ref.service, etag, found.etag)
        return found

    def annotations(self, name: str) -> Mapping[str, str] | None:
        """Of a service by its resource name; None where there is none."""
        found = self._registry.find(name)
        return found.spec.get("annotations", {}) if found else None

    def services(self, parent: str) -> tuple[Service, ...]:
        """All services of ``projects/P/locations/L``."""
        return tuple(service for service in self._registry if service.ref.parent == parent)

    def revision(self, ref: ServiceRef, name: str) -> tuple[Service, Revision]:
        service = self._registry.find(ref.name)
        if service and (found := service.revision(name)):
            return service, found
        raise Refused("NOT_FOUND", f"Resource '{ref.revision_name(name)}' of kind 'REVISION' does not exist.")

    def uri(self, service: str, tag: str = "") -> str:
        """The address of a service that exists; empty for one that was only validated."""
        return self._router.uri(service, tag) if service in self._registry else ""

    def snapshot(self) -> Json:
        """What ``local status`` prints, as plain values."""
        return {
            "services": [summary(service, self.uri) for service in self._registry],
            "unsaved": self._registry.unsaved,
        }

    def create_service(
        self, ref: ServiceRef, spec: Json, *, actor: str, validate_only: bool = False
    ) -> Operation:
        validate.check_id("service_id", ref.service)
        if ref.name in self._registry:
            raise Refused("ALREADY_EXISTS", f"Resource '{ref.service}' already exists.")
        return self._accept(
            writes.create(ref, _checked(ref, spec), self.operations.stamp(actor)), validate_only
        )

    def update_service(
        self,
        ref: ServiceRef,
        change: Json,
        paths: Sequence[str] | None,
        *,
        etag: str,
        actor: str,
        validate_only: bool = False,
        allow_missing: bool = False,
    ) -> Operation:
        """Replace the fields that ``paths`` name; None replaces all that a client owns."""
        if allow_missing and ref.name not in self._registry:
            return self.create_service(ref, change, actor=actor, validate_only=validate_only)
        current = self.service(ref, etag)
        spec = _checked(ref, change if paths is None else writes.merge(current.spec, change, paths))
        stamp = self.operations.stamp(actor)
        return self._accept(
            writes.update(current, spec, stamp, revision_limit=self._revision_limit), validate_only
        )

    def delete_service(
        self, ref: ServiceRef, *, etag: str, actor: str = "local", validate_only: bool = False
    ) -> Operation:
        service = self.service(ref, etag)
        subject = deleted_json(service, writes.delete(service, self.operations.stamp(actor)), self.uri)
        operation = self.operations.new(ref.parent, SERVICE, ref.name, subject, deletes=True)

        def remove() -> None:
            self.operations.finish_writes(
                ref.name, error=("ABORTED", f"{ref.service} was deleted meanwhile.")
            )
            self._registry.remove(ref.name)
            self._reconciler.forget_service(service, operation)

        return self.operations.accept(operation, remove, validate_only=validate_only)

    def delete_revision(
        self, ref: ServiceRef, name: str, *, etag: str, actor: str, validate_only: bool = False
    ) -> Operation:
        service, revision = self.revision(ref, name)
        writes.check_etag(name, etag, revision.etag)
        remaining = writes.drop_revision(service, name, self.operations.stamp(actor))
        subject = {**revision_json(service, revision), "delete_time": self.operations.clock().isoformat()}
        operation = self.operations.new(ref.parent, REVISION, ref.name, subject, deletes=True)

        def remove() -> None:
            self._registry.accept(remaining)
            self._reconciler.forget_revision((ref.name, name), operation)

        return self.operations.accept(operation, remove, validate_only=validate_only)

    def _accept(self, service: Service, validate_only: bool) -> Operation:
        """Store the write and begin its operation; or, if it is only to be validated, show what it would give."""
        before = self._registry.find(service.name)
        shown = service_json(service, self.uri) if validate_only else accepted_json(before, service, self.uri)

        def publish() -> None:
            self._registry.accept(service)
            for revision in before.revisions if before else ():
                if not service.revision(revision.name):
                    self._reconciler.stop((service.name, revision.name))
            self._reconciler.kick(service.name)

        operation = self.operations.new(service.ref.parent, SERVICE, service.name, shown)
        return self.operations.accept(operation, publish, validate_only=validate_only)


def _checked(ref: ServiceRef, spec: Json) -> Json:
    spec = writes.with_defaults(ref, spec)
    validate.check_spec(ref, spec)
    return spec
