"""What a client's write makes of a service, or why it is refused.  PURE.

Each function takes the service as it is (``state.py``) and gives the one that it becomes: spec, generation and etag
change, and ``reconciling`` is True. Whether the spec is one at all is ``validate.py``'s to say, before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from msgspec.structs import replace

from pipeline.local.control.etags import TICK, version_of
from pipeline.local.control.state import (
    BY_NAME,
    DEFAULT_CONCURRENCY,
    DEFAULT_TIMEOUT,
    LATEST,
    Json,
    Refused,
    Revision,
    Service,
    Stamp,
    serving,
    shares,
)
from pipeline.model import Readiness, ServiceRef

DEFAULT_PORT = 8080
_STARTUP_PROBE = {"timeout_seconds": 240, "period_seconds": 240, "failure_threshold": 1}
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz"  # no vowels: no words


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


def with_defaults(ref: ServiceRef, spec: Json) -> Json:
    """``spec`` with the values that Cloud Run fills in when a client leaves them out, as they were recorded."""
    template = {
        "timeout": DEFAULT_TIMEOUT,
        "max_instance_request_concurrency": DEFAULT_CONCURRENCY,
        "service_account": default_account(ref.project),
        **spec.get("template", {}),
    }
    if containers := template.get("containers"):
        template["containers"] = _containers_with_defaults(containers)
    traffic = spec.get("traffic") or [{"type_": LATEST, "percent": 100}]
    return {"ingress": "INGRESS_TRAFFIC_ALL", "launch_stage": "GA", **spec, "template": template, "traffic": traffic}  # fmt: skip


def default_account(project: str) -> str:
    """Of a project that names none. It has the project's number, which follows from the name here."""
    return f"{10**11 + crc32(project.encode())}-compute@developer.gserviceaccount.com"


def _containers_with_defaults(containers: Sequence[Json]) -> Sequence[Json]:
    """The one that takes requests listens on 8080 and is asked by TCP until it does; each has a CPU and 512 MiB."""
    made: list[dict[str, Any]] = [
        {**each, "resources": resources_with_defaults(each.get("resources"))} for each in containers
    ]
    main = made[serving(made)]
    if len(made) == 1:
        main.setdefault("ports", [{"name": "http1", "container_port": DEFAULT_PORT}])
    if main.get("ports"):
        tcp = {"port": main["ports"][0].get("container_port", DEFAULT_PORT)}
        main.setdefault("startup_probe", {**_STARTUP_PROBE, "tcp_socket": tcp})
    return made


def resources_with_defaults(given: Json | None) -> Json:
    """Who says nothing of resources gets a CPU between requests that is throttled; who does, says that too."""
    limits = {"cpu": "1000m", "memory": "512Mi", **(given or {}).get("limits", {})}
    return {"limits": limits, "cpu_idle": True} if given is None else {**given, "limits": limits}


def check_etag(name: str, asked: str, current: str) -> None:
    """Refuse a write that was decided on another state than there is."""
    if asked and asked != current:
        raise Refused(
            "ABORTED",
            f"Conflict for resource '{name}': version '{version_of(asked)}' was specified but current version is"
            f" '{version_of(current)}'.",
        )


def create(ref: ServiceRef, spec: Json, stamp: Stamp) -> Service:
    """A new service with its first revision pending."""
    empty = Service(
        ref=ref,
        uid=stamp.new_id(),
        etag=stamp.etag(ref.name),
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


def delete(service: Service, stamp: Stamp) -> Service:
    """The service as it goes: one write more."""
    return replace(_touched(service, stamp), generation=service.generation + 1)


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


def only_gives_back(before: Service, after: Service) -> bool:
    """Whether a write makes no revision and gives none more traffic at the cost of one that is older.

    Older is what the template named earlier: a candidate is always the last, and a roll-back goes to an older one.
    """
    age = {r.name: number for number, r in enumerate(after.revisions)}
    if list(age) != [r.name for r in before.revisions if r.name in age]:
        return False
    had, gets = shares(before.wanted), shares(after.wanted)
    gains = [age.get(name, len(age)) for name in gets if gets[name] > had[name]]
    losses = [age.get(name, len(age)) for name in had if gets[name] < had[name]]
    return not gains or max(gains) < min(losses, default=len(age))


def _touched(service: Service, stamp: Stamp) -> Service:
    """Written now, and after the write before: a version is never given twice, whatever the clock does."""
    stamp = replace(stamp, at=max(stamp.at, service.update_time + TICK))
    return replace(
        service,
        etag=stamp.etag(service.name),
        update_time=stamp.at,
        last_modifier=stamp.actor,
        reconciling=True,
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
        etag=stamp.etag(service.ref.revision_name(name)),
        generation=service.generation,
        create_time=stamp.at,
        creator=stamp.actor,
        template=template,
    )
    return replace(service, revisions=(*(r for r in service.revisions if r.name != name), latest))


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
