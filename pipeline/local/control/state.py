"""A service and its revisions as the Admin API v2 keeps them.  PURE.

Theory of operation. What a client may write is the *spec*: proto JSON with snake_case keys, carried as it came so
that every field of the API survives the way through. Everything else about a service is derived or is one of few
typed fields. (``type_`` is how the client package spells the field ``type``.) A service lives in a cycle:

    create / update / drop_revision   accept a write: spec, generation and etag change, ``reconciling`` is True
    mark_ready / mark_failed          one revision's readiness check ended
    advance                           what may be served now is served; when nothing is pending the cycle ends

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
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pipeline.model import Readiness, ServiceRef

LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
BY_NAME = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
DEFAULT_TIMEOUT = "300s"
DEFAULT_CONCURRENCY = 80

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz"  # no vowels: no words

Json = Mapping[str, Any]


class Refused(Exception):
    """The API's answer to a request that it does not accept.

    Args:
        code: name of a grpc.StatusCode.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who writes, when, and where fresh unique ids come from."""

    actor: str
    at: datetime
    new_id: Callable[[], str]

    def etag(self) -> str:
        return f'"{self.new_id()}"'


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a revision is not ready. ``reason`` is a CommonReason or RevisionReason of run_v2.Condition."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Revision:
    """One immutable template. ``template`` lacks ``revision``: the name is beside it.

    Args:
        image: its image by digest, whatever the template's name of it means later; empty before the first start.
    """

    name: str
    uid: str
    etag: str
    generation: int
    create_time: datetime
    creator: str
    template: Json
    readiness: Readiness = Readiness.PENDING
    failure: Failure | None = None
    settled_time: datetime | None = None
    image: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of traffic, resolved: LATEST says which revision that is; ``""`` is none yet."""

    revision: str
    percent: int = 0
    tag: str = ""
    is_latest: bool = False


@dataclass(frozen=True, slots=True)
class Service:
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
        ready = (r.name for r in reversed(self.revisions) if r.readiness is Readiness.READY)
        return next(ready, "")

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


def merge(spec: Json, change: Json, paths: Sequence[str]) -> Json:
    """``spec`` with the fields that ``paths`` name taken from ``change``; absent there means cleared."""
    merged = dict(spec)
    for path in paths:
        head, _, rest = path.partition(".")
        if rest:
            merged[head] = merge(merged.get(head, {}), change.get(head, {}), [rest])
        elif head in change:
            merged[head] = change[head]
        else:
            merged.pop(head, None)
    return merged


def with_defaults(spec: Json) -> Json:
    """``spec`` with the values that Cloud Run fills in when a client leaves them out."""
    template = {
        "timeout": DEFAULT_TIMEOUT,
        "max_instance_request_concurrency": DEFAULT_CONCURRENCY,
        **spec.get("template", {}),
    }
    traffic = spec.get("traffic") or [{"type_": LATEST, "percent": 100}]
    return {"ingress": "INGRESS_TRAFFIC_ALL", "launch_stage": "GA", **spec, "template": template, "traffic": traffic}  # fmt: skip


def create(ref: ServiceRef, spec: Json, stamp: Stamp) -> Service:
    """A new service with its first revision pending."""
    empty = Service(
        ref=ref,
        uid=stamp.new_id(),
        etag=stamp.etag(),
        generation=1,
        create_time=stamp.at,
        update_time=stamp.at,
        creator=stamp.actor,
        last_modifier=stamp.actor,
        spec=spec,
    )
    return _with_known_targets(_revised(empty, stamp))


def update(service: Service, spec: Json, stamp: Stamp, *, revision_limit: int = 1000) -> Service:
    """The service with a new spec; with a new revision if the template changed."""
    written = replace(_touched(service, stamp), spec=spec, generation=service.generation + 1)
    if spec["template"] != service.spec["template"]:
        written = _revised(written, stamp)
    return _collected(_with_known_targets(written), revision_limit)


def drop_revision(service: Service, name: str, stamp: Stamp) -> Service:
    """The service without one revision and without the tags on it. Raises Refused while it is needed."""
    if name == service.latest_created:
        only = "only" if len(service.revisions) == 1 else "latest"
        raise Refused("FAILED_PRECONDITION", f"Revision '{name}' is the {only} revision of its service and cannot be deleted.")  # fmt: skip
    if any(line.percent and line.revision == name for line in (*service.serving, *service.wanted)):
        raise Refused("FAILED_PRECONDITION", f"Revision '{name}' is serving traffic and cannot be deleted.")
    traffic = [target for target in service.spec["traffic"] if target.get("revision") != name]
    return replace(
        _touched(service, stamp),
        spec={**service.spec, "traffic": traffic},
        revisions=tuple(r for r in service.revisions if r.name != name),
        serving=tuple(line for line in service.serving if line.revision != name),
    )


def mark_ready(service: Service, name: str, at: datetime) -> Service:
    """The service with one revision found ready."""
    return _marked(service, name, readiness=Readiness.READY, failure=None, settled_time=at)


def mark_failed(service: Service, name: str, failure: Failure, at: datetime) -> Service:
    """The service with one revision found unable to start."""
    return _marked(service, name, readiness=Readiness.FAILED, failure=failure, settled_time=at)


def pinned(service: Service, name: str, image: str) -> Service:
    """The service with one revision's image resolved to a digest, for good."""
    return _marked(service, name, image=image)


def digests(service: Service) -> frozenset[str]:
    """Image digests (64 hex digits) that any text of the service names: its revisions', its template's, its record's."""
    texts = (json.dumps(service.spec), *(r.image for r in service.revisions), *(json.dumps(r.template) for r in service.revisions))  # fmt: skip
    return frozenset(found for text in texts for found in _DIGEST.findall(text))


def advance(service: Service, at: datetime) -> Service:
    """The service as far as it can get now: traffic moved if it may, the cycle ended if nothing is pending."""
    if not service.reconciling:
        return service
    wanted = service.wanted
    if all(service.is_ready(line.revision) for line in wanted if line.percent):
        service = replace(service, serving=tuple(line for line in wanted if service.is_ready(line.revision)))
    awaited = {service.latest_created, *(line.revision for line in wanted)}
    if any(r.readiness is Readiness.PENDING for r in service.revisions if r.name in awaited):
        return service
    settled = replace(service, reconciling=False, settled_time=at)
    return settled if settled.failure else replace(settled, observed_generation=settled.generation)


def only_gives_back(before: Service, after: Service) -> bool:
    """Whether a write makes no revision and gives none more traffic at the cost of one that is older.

    Older is what the template named earlier: a candidate is always the last, and a roll-back goes to an older one.
    """
    age = {r.name: number for number, r in enumerate(after.revisions)}
    if list(age) != [r.name for r in before.revisions if r.name in age]:
        return False
    had, gets = _shares(before), _shares(after)
    gains = [age.get(name, len(age)) for name in gets if gets[name] > had[name]]
    losses = [age.get(name, len(age)) for name in had if gets[name] < had[name]]
    return not gains or max(gains) < min(losses, default=len(age))


def broken_invariants(service: Service) -> tuple[str, ...]:
    """What of S1 does not hold; empty for a sound service."""
    return tuple(_broken(service))


def _broken(service: Service) -> Iterator[str]:
    total = sum(line.percent for line in service.serving)
    if service.serving and total != 100:
        yield f"status traffic of {service.name} sums to {total}"
    for line in service.serving:
        if not service.is_ready(line.revision):
            yield f"status traffic of {service.name} names '{line.revision}', which is not a ready revision"
    tags = [line.tag for line in service.serving if line.tag]
    if len(tags) != len(set(tags)):
        yield f"status traffic of {service.name} has a tag twice: {tags}"
    if service.observed_generation > service.generation:
        yield f"{service.name} observed generation {service.observed_generation} of {service.generation}"


def _shares(service: Service) -> Counter[str]:
    """Percent by revision, as spec traffic wants it."""
    shares: Counter[str] = Counter()
    for line in service.wanted:
        shares[line.revision] += line.percent
    return shares


def _line(target: Json, latest_ready: str) -> Line:
    is_latest = target["type_"] == LATEST
    name = latest_ready if is_latest else target["revision"]
    return Line(name, target.get("percent", 0), target.get("tag", ""), is_latest)


def _touched(service: Service, stamp: Stamp) -> Service:
    return replace(
        service, etag=stamp.etag(), update_time=stamp.at, last_modifier=stamp.actor, reconciling=True
    )


def _revised(service: Service, stamp: Stamp) -> Service:
    """The service whose template's revision exists and stands last. Raises Refused if the name is taken."""
    template = {key: value for key, value in service.spec["template"].items() if key != "revision"}
    name = service.spec["template"].get("revision") or _fresh_name(service, stamp)
    known = service.revision(name)
    if known and known.template != template:
        raise Refused("ALREADY_EXISTS", f"Revision named '{name}' with different configuration already exists.")  # fmt: skip
    latest = known or Revision(
        name=name,
        uid=stamp.new_id(),
        etag=stamp.etag(),
        generation=service.generation,
        create_time=stamp.at,
        creator=stamp.actor,
        template=template,
    )
    others = tuple(r for r in service.revisions if r.name != name)
    return replace(service, revisions=(*others, latest))


def _fresh_name(service: Service, stamp: Stamp) -> str:
    letters = (_SUFFIX_LETTERS[ord(char) % len(_SUFFIX_LETTERS)] for char in stamp.new_id()[-3:])
    return f"{service.ref.service}-{service.generation:05d}-{''.join(letters)}"


def _with_known_targets(service: Service) -> Service:
    for target in service.spec["traffic"]:
        if target["type_"] == BY_NAME and not service.revision(target["revision"]):
            raise Refused("FAILED_PRECONDITION", f"Revision {target['revision']} does not exist or is deleted.")  # fmt: skip
    return service


def _collected(service: Service, limit: int) -> Service:
    """The service with at most ``limit`` revisions: the oldest that nothing can reach go first."""
    surplus = len(service.revisions) - limit
    needed = service.addressed | {service.latest_created, service.latest_ready}
    spare = [
        r.name for r in service.revisions if r.name not in needed and r.readiness is not Readiness.PENDING
    ]
    gone = set(spare[: max(surplus, 0)])
    return replace(service, revisions=tuple(r for r in service.revisions if r.name not in gone))


def _marked(service: Service, name: str, **changes: Any) -> Service:
    revisions: Iterable[Revision] = (
        replace(r, **changes) if r.name == name else r for r in service.revisions
    )
    return replace(service, revisions=tuple(revisions))
