"""Long-running operations: begun with a write, done when its reconciliation ended, listed until forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from pipeline.local.control.state import Json, Stamp, there
from pipeline.local.control.store import Shelf

SERVICE = "Service"
REVISION = "Revision"
JOB = "Job"
EXECUTION = "Execution"
_KEPT = 200


class Operation(Struct, frozen=True):
    """One accepted write.

    Args:
        kind: message type of metadata and response: one of the names above.
        target: resource name of the service or job whose reconciliation, or of the execution whose end, it waits for.
        deletes: it is over when what it deletes has stopped, whatever the service does.
        subject: the resource as proto JSON, when accepted and, once done, at the end.
        error: (name of a grpc.StatusCode, message) when it failed.
    """

    name: str
    kind: str
    target: str
    create_time: datetime
    subject: Json
    deletes: bool = False
    is_done: bool = False
    error: tuple[str, str] | None = None

    @property
    def parent(self) -> str:
        return self.name.rpartition("/operations/")[0]


class Operations:
    """All operations that are known, oldest first; of the finished ones the newest ``kept``.

    One that the disk does not take is known until the server ends: it only tells of a write, it is none.

    Args:
        clock, ids: of all writes.
    """

    def __init__(
        self,
        shelf: Shelf[Operation],
        *,
        kept: int = _KEPT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        ids: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._shelf = shelf
        self._kept = kept
        self.clock = clock
        self._ids = ids
        self._known = {o.name: o for o in sorted(shelf, key=lambda o: (o.create_time, o.name))}
        self._ends = {o.name: asyncio.Event() for o in self._known.values() if not o.is_done}

    def stamp(self, actor: str) -> Stamp:
        """For what a client's write makes."""
        return Stamp(actor, self.clock(), self._ids)

    def new(self, parent: str, kind: str, target: str, subject: Json, *, deletes: bool = False) -> Operation:
        """Of a write that may be accepted: then ``begin`` it."""
        return Operation(f"{parent}/operations/{self._ids()}", kind, target, self.clock(), subject, deletes)

    def accept(self, operation: Operation, act: Callable[[], object], *, validate_only: bool) -> Operation:
        """Carry out a write, which may raise Refused, and begin its operation.

        Of one that is only to be validated, the operation as it would end.
        """
        if validate_only:
            return replace(operation, is_done=True)
        act()
        return self.begin(operation)

    def begin(self, operation: Operation) -> Operation:
        self._keep(operation)
        self._ends[operation.name] = asyncio.Event()
        self._forget_oldest()
        return operation

    def finish(self, name: str, *, subject: Json | None = None, error: tuple[str, str] | None = None) -> None:
        """End one; a no-op if its client deleted it."""
        operation = self._known.get(name)
        if operation is None or operation.is_done:
            return
        self._keep(replace(operation, is_done=True, subject=subject or operation.subject, error=error))
        self._ends.pop(name).set()

    def finish_writes(
        self, target: str, *, subject: Json | None = None, error: tuple[str, str] | None = None
    ) -> None:
        """End all that wait for one resource, but for its deletion."""
        for name in [o.name for o in self._known.values() if o.target == target and not o.deletes]:
            self.finish(name, subject=subject, error=error)

    def unfinished_deletions(self) -> tuple[Operation, ...]:
        return tuple(o for o in self._known.values() if o.deletes and not o.is_done)

    def under(self, parent: str) -> tuple[Operation, ...]:
        return tuple(o for o in self._known.values() if o.parent == parent)

    def get(self, name: str) -> Operation:
        return there(self._known.get(name), f"Operation '{name}' does not exist.")

    async def wait(self, name: str, timeout_s: float) -> Operation:
        """The operation when it is done, or as it is after so many seconds."""
        self.get(name)
        if end := self._ends.get(name):
            with suppress(TimeoutError):
                await asyncio.wait_for(end.wait(), timeout_s)
        return self.get(name)

    def delete(self, name: str) -> None:
        """Forget it; what it does goes on."""
        self.get(name)
        self._drop(name)

    def _keep(self, operation: Operation) -> None:
        self._known[operation.name] = operation
        with suppress(OSError):
            self._shelf.save(operation.name, operation)

    def _forget_oldest(self) -> None:
        done = [o.name for o in self._known.values() if o.is_done]
        for name in done[: max(len(done) - self._kept, 0)]:
            self._drop(name)

    def _drop(self, name: str) -> None:
        del self._known[name]
        if end := self._ends.pop(name, None):
            end.set()
        with suppress(OSError):
            self._shelf.remove(name)
