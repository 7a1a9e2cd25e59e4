"""The state folder: one JSON file per service and per operation, each replaced in one step.

A killed server finds either the old file or the new one, never half of one. The files are not synced to the disk: what
must survive is the end of a process, not of the machine. One server owns a folder; who starts it sees to that.

When the disk is full (or read-only, or gone), nothing that gives traffic back is refused. A client's write that cannot
be saved is refused only if it makes a revision or gives a newer revision traffic of an older one; every other write,
and all that the control plane itself finds out, is served from memory, told in the log and in ``local status``, and
saved as soon as the disk takes it. Until then a restart finds what was saved last.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec
import structlog

from pipeline import private
from pipeline.errors import SpillwayError
from pipeline.local.control.state import Refused, Service, broken_invariants
from pipeline.local.control.writes import only_gives_back

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Shelf(Generic[T]):
    """Values of one kind on disk, by name. Raises OSError where the disk does not take them."""

    def __init__(self, folder: Path, kind: type[T]) -> None:
        private.make_folder(folder)
        self._folder = folder
        self._read = msgspec.json.Decoder(kind).decode

    def __iter__(self) -> Iterator[T]:
        """Raises SpillwayError for a file that is none of ours."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                yield self._read(path.read_bytes())
            except (ValueError, msgspec.DecodeError, RecursionError) as error:
                raise SpillwayError(
                    f"{path}: not a state file of this version of the local Cloud Run",
                    str(error).splitlines()[0],
                    f"Move it away and start again: mv {path} {path}.bad",
                ) from error

    def save(self, name: str, value: T) -> None:
        private.write(self._path(name), msgspec.json.encode(value))

    def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{quote(name, safe='')}.json"


@contextmanager
def must_be_saved() -> Iterator[None]:
    """Refuse what the disk does not take."""
    try:
        yield
    except OSError as fault:
        raise Refused(
            "RESOURCE_EXHAUSTED", f"The local Cloud Run cannot save its state ({fault})."
        ) from fault


class Registry:
    """The services that exist, by resource name, in order of name; see above for what is on disk of them."""

    def __init__(self, shelf: Shelf[Service]) -> None:
        self._shelf = shelf
        self._services = {service.name: service for service in shelf}
        self._unsaved: dict[str, OSError] = {}

    def __iter__(self) -> Iterator[Service]:
        return iter([self._services[name] for name in sorted(self._services)])

    def __contains__(self, name: str) -> bool:
        return name in self._services

    def __getitem__(self, name: str) -> Service:
        return self._services[name]

    def find(self, name: str) -> Service | None:
        return self._services.get(name)

    @property
    def unsaved(self) -> dict[str, str]:
        """The services of which the disk has an older state, and why."""
        return {name: str(fault) for name, fault in sorted(self._unsaved.items())}

    def accept(self, service: Service) -> None:
        """Publish what a client wrote. Raises Refused when it cannot be saved and must be."""
        before = self.find(service.name)
        fault = self._save(service)
        if fault and (before is None or not only_gives_back(before, service)):
            raise Refused(
                "RESOURCE_EXHAUSTED",
                f"The local Cloud Run cannot save its state ({fault}), so it takes no new revision and raises none."
                " Taking traffic back works.",
            )
        self._show(service, fault)

    def publish(self, service: Service) -> None:
        """From here on this is the service, for every reader and, once it is saved, after a restart."""
        self._show(service, self._save(service))

    def save_again(self) -> None:
        """Try once more to save what the disk did not take."""
        for name in list(self._unsaved):
            self.publish(self._services[name])

    def remove(self, name: str) -> None:
        """Raises Refused."""
        with must_be_saved():
            self._shelf.remove(name)
        del self._services[name]
        self._unsaved.pop(name, None)

    def _save(self, service: Service) -> OSError | None:
        """Why it could not be saved, if so. Never one that breaks S1."""
        broken = list(broken_invariants(service))
        assert not broken, broken
        try:
            self._shelf.save(service.name, service)
        except OSError as fault:
            return fault
        return None

    def _show(self, service: Service, fault: OSError | None) -> None:
        name = service.name
        self._services[name] = service
        if fault and name not in self._unsaved:
            log.error("state not saved: served from memory", service=name, why=str(fault))
        if not fault and name in self._unsaved:
            log.info("state saved again", service=name)
        self._unsaved.pop(name, None)
        if fault:
            self._unsaved[name] = fault
