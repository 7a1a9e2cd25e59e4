"""The methods of the Admin API v2 that are offered, as rows: bare request message in, bare response message out.

Both faces, gRPC (``admin.py``) and REST (``rest.py``), are made of these rows and of those of ``alerts.py`` and ``jobs.py``. Messages
in, values to the controller, messages out; no decision is made here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import grpc
from google.cloud import run_v2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message

from pipeline.local.api.answering import seconds
from pipeline.local.api.paging import page
from pipeline.local.control import codec
from pipeline.local.control.controller import Controller
from pipeline.local.control.operations import Operation
from pipeline.local.control.state import Refused, Revision, Service
from pipeline.local.control.views import revision_json, service_json
from pipeline.model import ServiceRef

ACTOR_KEY = "x-spillway-actor"  # metadata or header: who writes; shown as last_modifier
PACKAGE = "google.cloud.run.v2"
LONGRUNNING = "google.longrunning.Operations"
#: Client packages, and which of their services there are here: all where none is named.
_PACKAGES: Mapping[str, Sequence[str]] = {
    "google.cloud.run_v2": (),
    "google.cloud.logging_v2": ("MetricsServiceV2",),
    "google.cloud.monitoring_v3": ("AlertPolicyService", "NotificationChannelService"),
}
_LONGEST_WAIT_S = 600.0
_PARENT = re.compile(r"projects/[^/]+/locations/[^/]+")
_REVISION = re.compile(r"(.+)/revisions/([^/]+)")


@dataclass(frozen=True, slots=True)
class Caller:
    """What a face knows of whoever calls.

    Args:
        time_left_s: until the caller no longer listens; None if it does not say.
    """

    actor: str = "local"
    time_left_s: float | None = None


@dataclass(frozen=True, slots=True)
class Method:
    """One row.

    Args:
        name: as in ``google.cloud.run.v2.Services/GetService``.
        call: raises Refused.
    """

    name: str
    request: type[Message]
    response: type[Message]
    call: Callable[[Any, Caller], Awaitable[Message]]


def offered(controller: Controller, *, strict_masks: bool = False) -> tuple[Method, ...]:
    """Every row.

    Args:
        strict_masks: refuse an update mask with a path that a service does not have, where the cloud drops the path.
    """
    return (*_services(controller, strict_masks), *_revisions(controller), *_operations(controller))


def client_methods() -> Mapping[str, Sequence[str]]:
    """Each service of the client packages with its methods, whether they are offered or not."""
    found = {}
    for package, names in _PACKAGES.items():
        known = json.loads(resources.files(package).joinpath("gapic_metadata.json").read_text())
        for name in names or known["services"]:
            rpcs = known["services"][name]["clients"]["grpc"]["rpcs"]
            found[f"{known['protoPackage']}.{name}"] = list(rpcs)
    return found


def _services(controller: Controller, strict_masks: bool) -> Iterator[Method]:
    async def create(request: Any, caller: Caller) -> Message:
        ref = _service_ref(f"{location(request.parent)}/services/{request.service_id}")
        return operation_message(
            controller.create_service(
                ref, codec.spec_of(request.service), actor=caller.actor, validate_only=request.validate_only
            )
        )

    async def get(request: Any, _: Caller) -> Message:
        return shown(controller.service(_service_ref(request.name)))

    async def list_(request: Any, _: Caller) -> Message:
        found = controller.services(location(request.parent))
        some, token = page(found, lambda s: s.name, size=request.page_size, token=request.page_token)
        return run_v2.ListServicesResponse.pb()(services=map(shown, some), next_page_token=token)

    async def update(request: Any, caller: Caller) -> Message:
        return operation_message(
            controller.update_service(
                _service_ref(request.service.name),
                codec.spec_of(request.service),
                codec.paths_of(request.update_mask, is_strict=strict_masks),
                etag=request.service.etag,
                actor=caller.actor,
                validate_only=request.validate_only,
                allow_missing=request.allow_missing,
            )
        )

    async def delete(request: Any, caller: Caller) -> Message:
        ref = _service_ref(request.name)
        return operation_message(
            controller.delete_service(
                ref, etag=request.etag, actor=caller.actor, validate_only=request.validate_only
            )
        )

    def shown(service: Service) -> Message:
        return codec.message(run_v2.Service.pb(), service_json(service, controller.uri))

    yield row("Services/CreateService", run_v2.CreateServiceRequest, operations_pb2.Operation, create)
    yield row("Services/GetService", run_v2.GetServiceRequest, run_v2.Service.pb(), get)
    yield row("Services/ListServices", run_v2.ListServicesRequest, run_v2.ListServicesResponse.pb(), list_)
    yield row("Services/UpdateService", run_v2.UpdateServiceRequest, operations_pb2.Operation, update)
    yield row("Services/DeleteService", run_v2.DeleteServiceRequest, operations_pb2.Operation, delete)


def _revisions(controller: Controller) -> Iterator[Method]:
    async def get(request: Any, _: Caller) -> Message:
        return shown(controller.revision(*_revision_ref(request.name)))

    async def list_(request: Any, _: Caller) -> Message:
        """Newest first."""
        ref = _service_ref(request.parent)
        services = controller.services(ref.parent) if ref.service == "-" else (controller.service(ref),)
        some, token = page(
            [(service, revision) for service in services for revision in service.revisions],
            lambda pair: f"{pair[1].create_time.isoformat()} {pair[1].generation:09d} {pair[1].name}",
            size=request.page_size,
            token=request.page_token,
            descending=True,
        )
        return run_v2.ListRevisionsResponse.pb()(revisions=map(shown, some), next_page_token=token)

    async def delete(request: Any, caller: Caller) -> Message:
        ref, name = _revision_ref(request.name)
        return operation_message(
            controller.delete_revision(
                ref, name, etag=request.etag, actor=caller.actor, validate_only=request.validate_only
            )
        )

    def shown(found: tuple[Service, Revision]) -> Message:
        return codec.message(run_v2.Revision.pb(), revision_json(*found))

    yield row("Revisions/GetRevision", run_v2.GetRevisionRequest, run_v2.Revision.pb(), get)
    yield row(
        "Revisions/ListRevisions", run_v2.ListRevisionsRequest, run_v2.ListRevisionsResponse.pb(), list_
    )
    yield row("Revisions/DeleteRevision", run_v2.DeleteRevisionRequest, operations_pb2.Operation, delete)


def _operations(controller: Controller) -> Iterator[Method]:
    async def get(request: Any, _: Caller) -> Message:
        return operation_message(controller.operations.get(request.name))

    async def list_(request: Any, _: Caller) -> Message:
        if request.filter:
            raise Refused("INVALID_ARGUMENT", f"filter: '{request.filter}' is not supported.")
        some, token = page(
            controller.operations.under(location(request.name.removesuffix("/operations"))),
            lambda o: f"{o.create_time.isoformat()} {o.name}",
            size=request.page_size,
            token=request.page_token,
        )
        return pb.ListOperationsResponse(operations=map(operation_message, some), next_page_token=token)

    async def wait(request: Any, caller: Caller) -> Message:
        asked = seconds("timeout", request.timeout) if request.HasField("timeout") else _LONGEST_WAIT_S
        limit = _LONGEST_WAIT_S if caller.time_left_s is None else caller.time_left_s
        return operation_message(await controller.operations.wait(request.name, min(asked, limit)))

    async def delete(request: Any, _: Caller) -> Message:
        controller.operations.delete(request.name)
        return empty_pb2.Empty()

    pb = operations_pb2
    yield Method(f"{LONGRUNNING}/GetOperation", pb.GetOperationRequest, pb.Operation, get)
    yield Method(f"{LONGRUNNING}/ListOperations", pb.ListOperationsRequest, pb.ListOperationsResponse, list_)
    yield Method(f"{LONGRUNNING}/WaitOperation", pb.WaitOperationRequest, pb.Operation, wait)
    yield Method(f"{LONGRUNNING}/DeleteOperation", pb.DeleteOperationRequest, empty_pb2.Empty, delete)


def row(name: str, request: Any, response: type[Message], call: Any) -> Method:
    """Of Cloud Run's own API."""
    return Method(f"{PACKAGE}.{name}", request.pb(), response, call)


def operation_message(operation: Operation) -> operations_pb2.Operation:
    """As the API shows it: metadata is the resource when the write was accepted, or at the end."""
    subject = codec.message(getattr(run_v2, operation.kind).pb(), operation.subject)
    shown = operations_pb2.Operation(name=operation.name, done=operation.is_done)
    shown.metadata.Pack(subject)
    if operation.error:
        code, shown.error.message = operation.error
        shown.error.code = getattr(grpc.StatusCode, code).value[0]
    elif operation.is_done:
        shown.response.Pack(subject)
    return shown


def location(parent: str) -> str:
    """The same, if it is the name of a place. Raises Refused."""
    if not _PARENT.fullmatch(parent) or parent.endswith("/-"):
        raise Refused("INVALID_ARGUMENT", f"parent: '{parent}' is not projects/PROJECT/locations/LOCATION.")
    return parent


def _service_ref(name: str) -> ServiceRef:
    if ref := ServiceRef.parse(name):
        return ref
    raise Refused("INVALID_ARGUMENT", f"name: '{name}' is not projects/P/locations/L/services/S.")


def _revision_ref(name: str) -> tuple[ServiceRef, str]:
    match = _REVISION.fullmatch(name)
    ref = ServiceRef.parse(match[1]) if match else None
    if match is None or ref is None:
        raise Refused("INVALID_ARGUMENT", f"name: '{name}' is not projects/P/locations/L/services/S/revisions/R.")  # fmt: skip
    return ref, match[2]
