"""A service and its revisions as the Admin API v2 keeps them.  PURE.

Theory of operation. What a client may write is the *spec*: proto JSON with snake_case keys, carried as it came so
that every field of the API survives the way through. Everything else about a service is derived or is one of few
typed fields. (``type_`` is how the client package spells the field ``type``.) A service lives in a cycle:

    writes.py     accepts a write: spec, generation and etag change, ``reconciling`` is True
    checked       one revision's readiness check ended
    advance       what may be served now is served; when nothing is pending the cycle ends

``revisions`` is ordered by when the template last named them: the last is the latest created, the last ready one is
what LATEST means. ``serving`` is status traffic and changes in ``advance`` alone: a line that carries percent must
be ready or the whole split waits (and stays as it was if that revision fails); a tag without percent on a revision
that is not ready is left out until it is. So S1 holds after every step, and ``broken_invariants`` says so.

Routing does not wait for unrelated revisions: a rollback takes effect while a new revision is still starting.
Source: docstring of google.cloud.run_v2.Service.reconciling.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from pipeline.local.control.etags import etag_of
from pipeline.model import Readiness, ServiceRef

LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
BY_NAME = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
DEFAULT_TIMEOUT = "300s"
DEFAULT_CONCURRENCY = 80

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")

Json = Mapping[str, Any]
T = TypeVar("T")


class Refused(Exception):
    """The API's answer to a request that it does not accept.

    Args:
        code: name of a grpc.StatusCode.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def there(found: T | None, missing: str) -> T:
    """What was found. Raises Refused where nothing was."""
    if found is None:
        raise Refused("NOT_FOUND", missing)
    return found


def said(*rows: tuple[object, str]) -> Iterator[str]:
    """Of rows of what must not be and what is said of it, what is said of what is."""
    return (text for is_wrong, text in rows if is_wrong)


def seconds(duration: str) -> float:
    """Of a duration in proto JSON: ``300s``."""
    return float(duration.removesuffix("s"))


def invalid(message: str) -> Refused:
    """For a request that is wrong whatever the state."""
    return Refused("INVALID_ARGUMENT", message)


class Stamp(Struct, frozen=True):
    """Who writes, when, and where fresh unique ids come from."""

    actor: str
    at: datetime
    new_id: Callable[[], str]

    def etag(self, name: str) -> str:
        """Of what is written now under this resource name."""
        return etag_of(self.at, name)


class Failure(Struct, frozen=True):
    """Why a revision is not ready. ``reason`` is a CommonReason or RevisionReason of run_v2.Condition."""

    reason: str
    message: str


class Written(Struct, frozen=True):
    """What is kept of each resource's first write."""

    name: str
    uid: str
    etag: str
    create_time: datetime
    creator: str

    @property
    def short(self) -> str:
        return self.name.rpartition("/")[2]


class Revision(Written, frozen=True):
    """One immutable template. ``template`` lacks ``revision``: the name is beside it, and is the short one.

    Args:
        images: by the template's names of them, by digest, whatever those names mean later; empty before the first start.
    """

    generation: int
    template: Json
    readiness: Readiness = Readiness.PENDING
    failure: Failure | None = None
    settled_time: datetime | None = None
    images: Mapping[str, str] = field(default_factory=dict)


class Line(Struct, frozen=True):
    """One line of traffic, resolved: LATEST says which revision that is; ``""`` is none yet."""

    revision: str
    percent: int = 0
    tag: str = ""
    is_latest: bool = False


class Service(Struct, frozen=True):
    """One service. See the module docstring for what changes when."""

    ref: ServiceRef
    uid: str
    etag: str
    generation: int
    create_time: datetime
    update_time: datetime
    creator: str
    last_modifier: str
    spec: Json
    revisions: tuple[Revision, ...] = ()
    serving: tuple[Line, ...] = ()
    reconciling: bool = True
    observed_generation: int = 0
    settled_time: datetime | None = None

    @property
    def name(self) -> str:
        return self.ref.name

    @property
    def latest_created(self) -> str:
        return self.revisions[-1].name if self.revisions else ""

    @property
    def latest_ready(self) -> str:
        return next((r.name for r in reversed(self.revisions) if r.readiness is Readiness.READY), "")

    @property
    def wanted(self) -> tuple[Line, ...]:
        """Spec traffic, with LATEST resolved as of now."""
        return tuple(_line(target, self.latest_ready) for target in self.spec["traffic"])

    @property
    def addressed(self) -> frozenset[str]:
        """Revisions that a connection can reach, or could if they were ready."""
        return frozenset(line.revision for line in (*self.serving, *self.wanted) if line.revision)

    def revision(self, name: str) -> Revision | None:
        return next((r for r in self.revisions if r.name == name), None)

    def is_ready(self, revision: str) -> bool:
        found = self.revision(revision)
        return found is not None and found.readiness is Readiness.READY

    @property
    def template_failure(self) -> Failure | None:
        """Why the latest created revision is not ready."""
        return self._failure_of(self.latest_created)

    @property
    def traffic_failure(self) -> Failure | None:
        """Why spec traffic is not what is served."""
        names = (line.revision or self.latest_created for line in self.wanted)
        return next((failure for name in names if (failure := self._failure_of(name))), None)

    @property
    def failure(self) -> Failure | None:
        """Why the terminal condition is FAILED; None while reconciling and on success."""
        return None if self.reconciling else self.template_failure or self.traffic_failure

    def _failure_of(self, name: str) -> Failure | None:
        found = self.revision(name)
        if found is None or found.failure is None:
            return None
        return Failure(
            "REVISION_FAILED",
            f"Revision '{name}' is not ready and cannot serve traffic. {found.failure.message}",
        )


def checked(service: Service, name: str, failure: Failure | None, at: datetime) -> Service:
    """The service with one revision found ready or, with a failure, unable to start."""
    readiness = Readiness.FAILED if failure else Readiness.READY
    return _changed(service, name, readiness=readiness, failure=failure, settled_time=at)


def pinned(service: Service, name: str, images: Mapping[str, str]) -> Service:
    """The service with one revision's images resolved to digests, for good."""
    return _changed(service, name, images=images)


def shares(lines: Iterable[Line]) -> Counter[str]:
    """Percent by revision."""
    summed: Counter[str] = Counter()
    for line in lines:
        summed[line.revision] += line.percent
    return summed


def serving(containers: Sequence[Json]) -> int:
    """Which of a template's containers takes requests: the one with a port, or the first where none says so."""
    return next((number for number, each in enumerate(containers) if each.get("ports")), 0)


def digests(service: Service) -> frozenset[str]:
    """Image digests (64 hex digits) that any text of the service names: its revisions', its template's, its record's."""
    return digests_in(service.spec, *((r.template, dict(r.images)) for r in service.revisions))


def digests_in(*kept: object) -> frozenset[str]:
    """Image digests in any text of these values of JSON."""
    return frozenset(_DIGEST.findall(json.dumps(kept)))


def advance(service: Service, at: datetime) -> Service:
    """The service as far as it can get now: traffic moved if it may, the cycle ended if nothing is pending."""
    if not service.reconciling:
        return service
    wanted = service.wanted
    # All or nothing: a split of which a part is not ready would not sum to 100. A tag alone is nobody's share.
    if all(service.is_ready(line.revision) for line in wanted if line.percent):
        service = replace(service, serving=tuple(line for line in wanted if service.is_ready(line.revision)))
    # Other revisions may be pending for as long as they like: they are neither wanted nor the newest.
    awaited = {service.latest_created, *(line.revision for line in wanted)}
    if any(r.readiness is Readiness.PENDING for r in service.revisions if r.name in awaited):
        return service
    settled = replace(service, reconciling=False, settled_time=at)
    return settled if settled.failure else replace(settled, observed_generation=settled.generation)


def broken_invariants(service: Service) -> Iterator[str]:
    """What of S1 does not hold; nothing for a sound service."""
    at = f"status traffic of {service.name}"
    total = sum(line.percent for line in service.serving)
    tags = [line.tag for line in service.serving if line.tag]
    return said(
        (service.serving and total != 100, f"{at} sums to {total}"),
        *(
            (
                not service.is_ready(line.revision),
                f"{at} names '{line.revision}', which is not a ready revision",
            )
            for line in service.serving
        ),
        (len(tags) != len(set(tags)), f"{at} has a tag twice: {tags}"),
        (
            service.observed_generation > service.generation,
            f"{service.name} observed generation {service.observed_generation} of {service.generation}",
        ),
    )


def _line(target: Json, latest_ready: str) -> Line:
    is_latest = target["type_"] == LATEST
    name = latest_ready if is_latest else target["revision"]
    return Line(name, target.get("percent", 0), target.get("tag", ""), is_latest)


def _changed(service: Service, name: str, **changes: Any) -> Service:
    revisions = tuple(replace(r, **changes) if r.name == name else r for r in service.revisions)
    return replace(service, revisions=revisions)
