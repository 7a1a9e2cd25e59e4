"""The state folder: one JSON file per service and per operation, each replaced in one step.

A killed server finds either the old file or the new one, never half of one. The files are not synced to the disk: what
must survive is the end of a process, not of the machine. One server owns a folder; who starts it sees to that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from pipeline import private
from pipeline.errors import SpillwayError
from pipeline.local.operations import Operation
from pipeline.local.state import Service, broken_invariants

_SERVICES = TypeAdapter(Service)
_OPERATIONS = TypeAdapter(Operation)

T = TypeVar("T")


class Store:
    """Services and operations on disk."""

    def __init__(self, folder: Path) -> None:
        self._services = folder / "services"
        self._operations = folder / "operations"
        for part in (self._services, self._operations):
            private.make_folder(part)

    def services(self) -> tuple[Service, ...]:
        return tuple(_read_all(self._services, _SERVICES))

    def operations(self) -> tuple[Operation, ...]:
        return tuple(_read_all(self._operations, _OPERATIONS))

    def save_service(self, service: Service) -> None:
        _replace(_path(self._services, service.name), _SERVICES.dump_json(service))

    def remove_service(self, name: str) -> None:
        _path(self._services, name).unlink(missing_ok=True)

    def save_operation(self, operation: Operation) -> None:
        _replace(_path(self._operations, operation.name), _OPERATIONS.dump_json(operation))

    def remove_operation(self, name: str) -> None:
        _path(self._operations, name).unlink(missing_ok=True)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{quote(name, safe='')}.json"


def _replace(path: Path, content: bytes) -> None:
    private.write(path, content)


def _read_all(folder: Path, kind: TypeAdapter[T]) -> Iterator[T]:
    for path in sorted(folder.glob("*.json")):
        try:
            yield kind.validate_json(path.read_bytes())
        except ValidationError as error:
            raise SpillwayError(
                f"{path}: not a state file of this version of the local Cloud Run",
                str(error).splitlines()[0],
                f"Move it away and start again: mv {path} {path}.bad",
            ) from error


class Registry:
    """The services that exist, by resource name, in order of name; each on disk before anyone sees it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._services = {service.name: service for service in store.services()}

    def __iter__(self) -> Iterator[Service]:
        return iter([self._services[name] for name in sorted(self._services)])

    def __contains__(self, name: str) -> bool:
        return name in self._services

    def __getitem__(self, name: str) -> Service:
        return self._services[name]

    def find(self, name: str) -> Service | None:
        return self._services.get(name)

    def publish(self, service: Service) -> None:
        """From here on this is the service, for every reader and after a restart. Never one that breaks S1."""
        broken = broken_invariants(service)
        assert not broken, broken
        self._store.save_service(service)
        self._services[service.name] = service

    def remove(self, name: str) -> None:
        self._store.remove_service(name)
        del self._services[name]
