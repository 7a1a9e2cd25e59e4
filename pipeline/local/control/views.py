"""What clients are shown of a service or a revision, as proto JSON with snake_case keys.

Conditions are derived here, from readiness and traffic; nothing of this is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from pipeline.local.control.etags import etag_of
from pipeline.local.control.state import BY_NAME, LATEST, Failure, Json, Line, Revision, Service, serving
from pipeline.model import Readiness

#: ``uri(service, tag)``; empty when there is no address, as for a service that was only validated.
Uri = Callable[[str, str], str]

_PENDING = "CONDITION_PENDING"
_STATES = {
    Readiness.READY: "CONDITION_SUCCEEDED",
    Readiness.PENDING: "CONDITION_RECONCILING",
    Readiness.FAILED: "CONDITION_FAILED",
}
_UNSHOWN = frozenset({"health_check_disabled"})  # of a template, and not to be seen on its revision
_COMMON_REASONS = frozenset({
    "REVISION_FAILED", "PROGRESS_DEADLINE_EXCEEDED", "CONTAINER_MISSING", "CONTAINER_PERMISSION_DENIED",
    "SECRETS_ACCESS_CHECK_FAILED", "INTERNAL",
})  # fmt: skip
_REVISION_REASONS = frozenset({"HEALTH_CHECK_CONTAINER_ERROR", "MIN_INSTANCES_NOT_PROVISIONED", "RETIRED"})


def service_json(service: Service, uri: Uri) -> Json:
    """A ``run_v2.Service``: what the client wrote, and what became of it."""
    address = uri(service.name, "")
    ready = service.latest_ready
    return {
        **service.spec,
        "name": service.name,
        "uid": service.uid,
        "generation": service.generation,
        "observed_generation": service.observed_generation,
        "create_time": service.create_time.isoformat(),
        "update_time": service.update_time.isoformat(),
        "creator": service.creator,
        "last_modifier": service.last_modifier,
        "latest_created_revision": service.ref.revision_name(service.latest_created),
        "latest_ready_revision": service.ref.revision_name(ready) if ready else "",
        "traffic_statuses": [_status(service, line, uri) for line in service.serving],
        "uri": address,
        "urls": [address] if address else [],
        "reconciling": service.reconciling,
        "terminal_condition": _service_condition("Ready", service, service.failure),
        "conditions": [
            _service_condition("RoutesReady", service, service.traffic_failure),
            _service_condition("ConfigurationsReady", service, service.template_failure),
        ],
        "etag": service.etag,
    }


#: What follows from a write, and is still what it was when the write is answered.
_OBSERVED = (
    "observed_generation", "conditions", "latest_created_revision", "latest_ready_revision", "traffic_statuses",
    "uri", "urls",
)  # fmt: skip
_KEPT_DELETED = timedelta(days=30)


def accepted_json(before: Service | None, service: Service, uri: Uri) -> Json:
    """What a write is answered with: what was asked, over the status that was there before. Nobody has looked yet."""
    shown = service_json(service, uri)
    if before is None:
        asked = {key: value for key, value in shown.items() if key not in (*_OBSERVED, "ingress")}
        return {**asked, "terminal_condition": {"state": _PENDING}}
    old = service_json(before, uri)
    ready = old["terminal_condition"]
    pending = {"type_": "Ready", "state": _PENDING, "last_transition_time": ready["last_transition_time"]}
    return {**shown, **{key: old[key] for key in _OBSERVED}, "terminal_condition": pending}


def deleted_json(before: Service, gone: Service, uri: Uri) -> Json:
    """What a deletion is answered with. ``settled_json`` is what its operation ends with."""
    return {
        **accepted_json(before, gone, uri),
        "delete_time": gone.update_time.isoformat(),
        "expire_time": (gone.update_time + _KEPT_DELETED).isoformat(),
    }


def settled_json(deleted: Json, at: datetime) -> Json:
    """A deleted service once all of it has stopped. A revision says nothing of this."""
    if "terminal_condition" not in deleted:
        return deleted
    return {
        **deleted,
        "update_time": at.isoformat(),
        "etag": etag_of(at, deleted["name"]),
        "observed_generation": deleted["generation"],
        "reconciling": False,
        "terminal_condition": condition("Ready", "CONDITION_SUCCEEDED", at, {}),
    }


def revision_json(service: Service, revision: Revision) -> Json:
    """A ``run_v2.Revision``: its template, and whether it can serve."""
    settled = revision.readiness is not Readiness.PENDING
    return {
        **{key: value for key, value in revision.template.items() if key not in _UNSHOWN},
        "name": service.ref.revision_name(revision.name),
        "uid": revision.uid,
        "service": service.ref.service,
        "generation": revision.generation,
        "observed_generation": revision.generation if settled else 0,
        "create_time": revision.create_time.isoformat(),
        "update_time": (revision.settled_time or revision.create_time).isoformat(),
        "creator": revision.creator,
        "launch_stage": service.spec["launch_stage"],
        "reconciling": not settled,
        "conditions": _revision_conditions(service, revision),
        "etag": revision.etag,
    }


def summary(service: Service, uri: Uri) -> Json:
    """One service as ``local status`` shows it."""
    failure = service.failure
    return {
        "name": service.name,
        "uri": uri(service.name, ""),
        "generation": service.generation,
        "reconciling": service.reconciling,
        "failure": failure.message if failure else "",
        "serving": [
            {
                "revision": line.revision,
                "percent": line.percent,
                "tag": line.tag,
                "uri": uri(service.name, line.tag) if line.tag else "",
            }
            for line in service.serving
        ],
        "revisions": [
            {
                "name": revision.name,
                "readiness": str(revision.readiness),
                "message": revision.failure.message if revision.failure else "",
                "image": revision.template["containers"][serving(revision.template["containers"])]["image"],
            }
            for revision in service.revisions
        ],
    }


def _status(service: Service, line: Line, uri: Uri) -> Json:
    return {
        "type_": LATEST if line.is_latest else BY_NAME,
        "revision": "" if line.is_latest else line.revision,
        "percent": line.percent,
        "tag": line.tag,
        "uri": uri(service.name, line.tag) if line.tag else "",
    }


def _service_condition(kind: str, service: Service, failure: Failure | None) -> Json:
    otherwise = Readiness.PENDING if service.reconciling else Readiness.READY
    state = Readiness.FAILED if failure else otherwise
    return _condition(kind, state, failure, service.settled_time or service.update_time)


def _revision_conditions(service: Service, revision: Revision) -> list[Json]:
    """Ready first. A missing image is a container that is not there; any other failure is one that is not healthy."""
    at = revision.settled_time or revision.create_time
    failure = revision.failure
    is_missing = failure is not None and failure.reason == "CONTAINER_MISSING"
    container = revision.readiness if is_missing or failure is None else Readiness.READY
    healthy = Readiness.PENDING if is_missing else revision.readiness
    return [
        _condition("Ready", revision.readiness, failure, at),
        _active(service, revision, at),
        _condition("ContainerReady", container, failure if is_missing else None, at),
        _condition("ContainerHealthy", healthy, None if is_missing else failure, at),
        _condition("ResourcesAvailable", container, None, at),
    ]


def _active(service: Service, revision: Revision, at: datetime) -> Json:
    """Whether connections can reach it. Retired is no fault: severity INFO."""
    if revision.readiness is not Readiness.READY or revision.name in service.addressed:
        return _condition("Active", revision.readiness, None, at)
    retired = Failure("RETIRED", "Revision retired.")
    return {**_condition("Active", Readiness.FAILED, retired, at), "severity": "INFO"}


def _condition(kind: str, state: Readiness, failure: Failure | None, at: datetime) -> Json:
    return condition(kind, _STATES[state], at, why(failure) if failure else {})


def condition(kind: str, state: str, at: datetime, more: Json) -> Json:
    return {"type_": kind, "state": state, "last_transition_time": at.isoformat(), **more}


def why(failure: Failure) -> Json:
    """What a condition says of it."""
    return {"message": failure.message, "severity": "ERROR", **_reason(failure.reason)}


def _reason(name: str) -> Json:
    """The reason in its member of the oneof; one that the API has no word for is UNKNOWN."""
    if name in _REVISION_REASONS:
        return {"revision_reason": name}
    return {"reason": name if name in _COMMON_REASONS else "UNKNOWN"}
