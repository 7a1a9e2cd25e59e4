"""Cloud Run as ``ports.Platform``, over Google's own messages and a channel (``rpc/run.py``).

The local Cloud Run and the cloud differ in the channel alone. Traffic is written together with the record
(``rpc/masks.py``), under the etag of the read it was decided on; the operation that comes back is not waited for, because
after a candidate that never got ready the service's terminal condition stays FAILED although traffic moved. What counts
is ``traffic_statuses``, read back.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from pipeline import credentials
from pipeline.cloudrun.documents import (
    Document,
    Seen,
    revision_template,
    service_fields,
    service_template,
    template_message,
)
from pipeline.cloudrun.faults import translated
from pipeline.errors import PlanRefused, RevisionNotFound, UserError
from pipeline.model import (
    NONCE_VARIABLE,
    LiveService,
    Readiness,
    Revision,
    ServiceRef,
    Split,
    Target,
)
from pipeline.redact import SINK
from pipeline.rpc import masks
from pipeline.rpc.run import API, Revisions, Services, run_v2

_LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
_BY_NAME = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
_FAILED = run_v2.Condition.State.CONDITION_FAILED
_SUCCEEDED = run_v2.Condition.State.CONDITION_SUCCEEDED
_CALL_TIMEOUT_S = 15.0
_PAGE = 100  # services in an answer


class CloudRun:
    """One project's Cloud Run, through one channel."""

    def __init__(self, services: Services, revisions: Revisions) -> None:
        self._services = services
        self._revisions = revisions

    @classmethod
    def over(cls, channel: grpc.Channel) -> CloudRun:
        """Through a channel of one's own: the local Cloud Run."""
        return cls(Services(channel), Revisions(channel))

    @classmethod
    def cloud(cls) -> CloudRun:
        """With the default credentials of the environment."""
        with translated("connect to Cloud Run"):
            return cls.over(API.channel())

    @classmethod
    def of(cls, ref: ServiceRef, channel: grpc.Channel | None = None) -> CloudRun:
        """Through a channel of one's own; without one the cloud, or the local Cloud Run that SPILLWAY_LOCAL_DIR names.

        Raises: LocalCloudRunDown, UserError.
        """
        if channel is not None:
            return cls.over(channel)
        if not ref.is_local:
            return cls.cloud()
        from pipeline.local.channel import FollowingChannel

        if not (folder := os.environ.get("SPILLWAY_LOCAL_DIR")):
            raise UserError(
                f"{ref.service} is on a local Cloud Run, and which one is not known",
                "SPILLWAY_LOCAL_DIR is not set.",
                "Let Pulumi run by: spillway local pulumi up",
            )
        return cls.over(FollowingChannel(Path(folder)))

    def read(self, ref: ServiceRef) -> LiveService:
        with translated(f"read {ref.service}"):
            service = self._services.get_service(name=ref.name, timeout=_CALL_TIMEOUT_S)
        return _live(ref, service)

    def services(self, project: str, location: str) -> Mapping[ServiceRef, LiveService]:
        """All of them there, by a few reads for hundreds. Raises as ``read``."""
        parent = f"projects/{project}/locations/{location}"
        with translated(f"list the services of {parent}"):
            found = list(
                self._services.list_services(parent=parent, page_size=_PAGE, timeout=_CALL_TIMEOUT_S)
            )
        refs = (ServiceRef(project, location, each.name.rsplit("/", 1)[-1]) for each in found)
        return {ref: _live(ref, each) for ref, each in zip(refs, found, strict=True)}

    def described(self, ref: ServiceRef) -> tuple[LiveService, Seen, Seen]:
        """One read, also as documents: what a client owns of the service, and the template that it has now."""
        with translated(f"read {ref.service}"):
            service = self._services.get_service(name=ref.name, timeout=_CALL_TIMEOUT_S)
        return _live(ref, service), service_fields(service), service_template(service)

    def template(self, ref: ServiceRef, name: str) -> Seen:
        """The template of a revision, as a document. Raises RevisionNotFound, and as ``read``."""
        with translated(f"read revision {name}", missing=RevisionNotFound):
            found = self._revisions.get_revision(name=ref.revision_name(name), timeout=_CALL_TIMEOUT_S)
        _learn_secrets(found.containers)
        return revision_template(found)

    def write_template(self, ref: ServiceRef, *, etag: str, template: Document) -> None:
        """Replace the template, and nothing else. Raises as ``write``, and PlanRefused for what is no template."""
        service = run_v2.Service(name=ref.name, etag=etag, template=template_message(template))
        self._update(ref, service, masks.TEMPLATE)

    def revisions(self, ref: ServiceRef) -> Sequence[Revision]:
        with translated(f"list the revisions of {ref.service}"):
            found = list(self._revisions.list_revisions(parent=ref.name, timeout=_CALL_TIMEOUT_S))
        return sorted((_revision(r) for r in found), key=lambda r: r.create_time, reverse=True)

    def revision(self, ref: ServiceRef, name: str) -> Revision:
        with translated(f"read revision {name}", missing=RevisionNotFound):
            return _revision(
                self._revisions.get_revision(name=ref.revision_name(name), timeout=_CALL_TIMEOUT_S)
            )

    def write(
        self, ref: ServiceRef, *, etag: str, annotations: Mapping[str, str], split: Split | None = None
    ) -> None:
        traffic = [] if split is None else [_target(t) for t in split.targets]
        service = run_v2.Service(name=ref.name, etag=etag, annotations=dict(annotations), traffic=traffic)
        mask = masks.RECORD if split is None else masks.RECORD_AND_TRAFFIC
        self._update(ref, service, mask)

    def write_put_back(
        self,
        ref: ServiceRef,
        *,
        etag: str,
        annotations: Mapping[str, str],
        split: Split,
        template_of: str,
        name: str,
    ) -> None:
        from infra.compose import unreserved  # of those who write templates

        seen = self.template(ref, template_of)
        if seen.unknown:
            raise PlanRefused(
                f"{template_of} cannot be put back as the latest revision",
                f"Its template has fields that this version has no name for: {', '.join(seen.unknown[:3])}.",
                "Deploy the next image, and delete the bad revision then.",
            )
        service = run_v2.Service(
            name=ref.name, etag=etag, annotations=dict(annotations), traffic=[_target(t) for t in split.targets],
            template=template_message({**unreserved(seen.document), "revision": name}),
        )  # fmt: skip
        self._update(ref, service, masks.RECORD_TRAFFIC_AND_TEMPLATE)

    def _update(self, ref: ServiceRef, service: run_v2.Service, mask: FieldMask) -> None:
        request = run_v2.UpdateServiceRequest(service=service, update_mask=mask)
        with translated(f"write {ref.service}", etag=True):
            self._services.update_service(request=request, timeout=_CALL_TIMEOUT_S)

    def delete_revision(self, ref: ServiceRef, name: str) -> None:
        with translated(f"delete revision {name}", missing=RevisionNotFound):
            self._revisions.delete_revision(name=ref.revision_name(name), timeout=_CALL_TIMEOUT_S)


def _target(target: Target) -> run_v2.TrafficTarget:
    return run_v2.TrafficTarget(
        type_=_BY_NAME if target.revision else _LATEST,
        revision=target.revision or "",
        percent=target.percent,
        tag=target.tag,
    )


def _split(targets: Sequence[Any]) -> Split:
    """Spec or status traffic, as bare protobuf. No spec traffic at all means 100 % to LATEST."""
    return Split(tuple(
        Target(
            revision=None if t.type_ == _LATEST else t.revision.rsplit("/", 1)[-1] or None,
            percent=t.percent,
            tag=t.tag,
            uri=getattr(t, "uri", ""),
        )
        for t in targets
    ))  # fmt: skip


def _live(ref: ServiceRef, service: run_v2.Service) -> LiveService:
    template = service.template
    bare = run_v2.Service.pb(
        service
    )  # values of an API newer than the client's names, and times that are none, come as they are
    condition = bare.terminal_condition
    _learn_secrets(template.containers)
    return LiveService(
        ref=ref,
        uid=service.uid,
        etag=service.etag,
        generation=service.generation,
        wanted=_split(bare.traffic) if bare.traffic else Split((Target(None, 100),)),
        serving=_split(bare.traffic_statuses),
        annotations=dict(service.annotations),
        uri=service.uri,
        labels=dict(service.labels),
        reconciling=service.reconciling,
        observed_generation=service.observed_generation,
        latest_ready=service.latest_ready_revision.rsplit("/", 1)[-1],
        latest_created=service.latest_created_revision.rsplit("/", 1)[-1],
        last_modifier=service.last_modifier,
        update_time=_time(bare.update_time),
        request_timeout=_duration(bare.template.timeout) or timedelta(minutes=5),
        session_affinity=template.session_affinity,
        ingress_all=bare.ingress in (run_v2.IngressTraffic.INGRESS_TRAFFIC_ALL, 0),
        ingress_balanced=bare.ingress == run_v2.IngressTraffic.INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER,
        default_uri_disabled=service.default_uri_disabled,
        http2=any(port.name == "h2c" for container in template.containers for port in container.ports),
        failure=condition.message if condition.state == _FAILED else "",
        template=sha256(bare.template.SerializeToString(deterministic=True)).hexdigest(),
    )


def _revision(revision: run_v2.Revision) -> Revision:
    bare = run_v2.Revision.pb(revision)
    readiness, message = _readiness(bare)
    _learn_secrets(revision.containers)
    container = revision.containers[0] if revision.containers else run_v2.Container()
    return Revision(
        name=revision.name.rsplit("/", 1)[-1],
        uid=revision.uid,
        create_time=_time(bare.create_time) or datetime.fromtimestamp(0, UTC),
        readiness=readiness,
        image=container.image,
        message=message,
        nonce=next((env.value for env in container.env if env.name == NONCE_VARIABLE), ""),
        min_instances=revision.scaling.min_instance_count,
        timeout=_duration(bare.timeout) or timedelta(minutes=5),
    )


def _learn_secrets(containers: Sequence[run_v2.Container]) -> None:
    """What the service was given may come back in what it says: a condition, a log line, a close reason."""
    for container in containers:
        SINK.learn(*credentials.of_environment({env.name: env.value for env in container.env}))


def _readiness(revision: Any) -> tuple[Readiness, str]:
    """From the (bare) revision's own Ready condition: the service's says nothing about one revision."""
    ready = next((c for c in revision.conditions if c.type_ == "Ready"), None)
    if ready is None or ready.state not in (_FAILED, _SUCCEEDED):
        return Readiness.PENDING, ready.message if ready else ""
    return (Readiness.READY if ready.state == _SUCCEEDED else Readiness.FAILED), ready.message


def _time(value: Timestamp) -> datetime | None:
    """None for what is not set, or is no time that a calendar has."""
    try:
        return value.ToDatetime(UTC) if value.ByteSize() else None
    except (ValueError, OverflowError):
        return None


def _duration(value: Duration) -> timedelta | None:
    """None for what is not set, or is longer than can be."""
    try:
        return value.ToTimedelta() or None
    except (ValueError, OverflowError):
        return None
