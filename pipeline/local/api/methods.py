"""The methods of the Admin API v2 that are offered, as rows: bare request message in, bare response message out.

Both faces, gRPC (``admin.py``) and REST (``rest.py``), are made of these rows and of those of ``alerts.py`` and ``jobs.py``. Messages
in, values to the controller, messages out; no decision is made here.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import resources
from typing import Any, TypeVar

import grpc
from google.cloud import run_v2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2
from google.protobuf.message import Message
from msgspec import Struct

from pipeline.local.api.answering import seconds
from pipeline.local.control import codec
from pipeline.local.control.controller import Controller
from pipeline.local.control.operations import Operation
from pipeline.local.control.state import Json, Revision, Service, invalid
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
DEFAULT_SIZE, MAX_SIZE = 100, 1000  # of a page
_PARENT = re.compile(r"projects/[^/]+/locations/[^/]+")

T = TypeVar("T")


class Caller(Struct, frozen=True):
    """What a face knows of whoever calls.

    Args:
        time_left_s: until the caller no longer listens; None if it does not say.
    """

    actor: str = "local"
    time_left_s: float | None = None


Call = Callable[[Any, Caller], Awaitable[Message]]


class Method(Struct, frozen=True):
    """One row.

    Args:
        name: as in ``google.cloud.run.v2.Services/GetService``.
        call: raises Refused.
    """

    name: str
    request: type[Message]
    response: type[Message]
    call: Call


def at_once(act: Callable[[Any], Message]) -> Call:
    """A call that waits for nothing, whoever calls."""

    async def call(request: Any, _: Caller) -> Message:
        return act(request)

    return call


def paged(
    answer: type[Message],
    find: Callable[[Any], Iterable[T]],
    key: Callable[[T], str],
    show: Callable[[T], Message],
    *,
    newest_first: bool = False,
) -> Call:
    """A call that answers with a page of what is found for a request, in order of ``key``."""
    repeated = next(field.name for field in answer.DESCRIPTOR.fields if field.message_type)

    def act(request: Any) -> Message:
        some, following = page(
            find(request), key, size=request.page_size, token=request.page_token, descending=newest_first
        )
        return answer(**{repeated: map(show, some)}, next_page_token=following)

    return at_once(act)


def page(
    items: Iterable[T], key: Callable[[T], str], *, size: int, token: str, descending: bool = False
) -> tuple[list[T], str]:
    """One page in order of ``key``, and the token of the next (empty on the last).

    A token names the last item seen, not a position: what comes or goes meanwhile repeats and hides nothing.
    """
    if size < 0:
        raise invalid(f"page_size: {size} is negative.")
    wanted = min(size or DEFAULT_SIZE, MAX_SIZE)
    ordered = sorted(items, key=key, reverse=descending)
    if token:
        last = _decoded(token)
        ordered = [item for item in ordered if (key(item) < last if descending else key(item) > last)]
    shown = ordered[:wanted]
    return shown, _encoded(key(shown[-1])) if len(ordered) > wanted else ""


def _encoded(last: str) -> str:
    return urlsafe_b64encode(last.encode()).decode()


def _decoded(token: str) -> str:
    with suppress(ValueError):
        last = urlsafe_b64decode(token.encode()).decode()
        if _encoded(last) == token:  # decoding skips what is not base64
            return last
    raise invalid(f"page_token: '{token}' was not given out here.")


def row(name: str, response: type[Message], call: Call) -> Method:
    """A method of Cloud Run's own API. Args: name: as in ``Services/GetService``."""
    request = getattr(run_v2, f"{name.partition('/')[2]}Request")
    return Method(f"{PACKAGE}.{name}", request.pb(), response, call)


def reads(name: str, kind: Any, show: Callable[[Any], Json]) -> Method:
    """A method of it that answers with one resource. Args: show: the resource that a request names."""
    return row(name, kind.pb(), at_once(lambda request: codec.message(kind.pb(), show(request))))


def lists(
    name: str,
    kind: Any,
    find: Callable[[Any], Iterable[T]],
    key: Callable[[T], str],
    show: Callable[[T], Json],
    *,
    newest_first: bool = False,
) -> Method:
    """A method of it that answers with a page of resources; see ``paged``."""
    answer = getattr(run_v2, f"{name.partition('/')[2]}Response").pb()

    def shown(found: T) -> Message:
        return codec.message(kind.pb(), show(found))

    return row(name, answer, paged(answer, find, key, shown, newest_first=newest_first))


def writes(name: str, write: Callable[[Any, Caller], Operation]) -> Method:
    """A method of it that answers with an operation."""

    async def call(request: Any, caller: Caller) -> Message:
        return operation_message(write(request, caller))

    return row(name, operations_pb2.Operation, call)


def offered(controller: Controller, *, strict_masks: bool = False) -> tuple[Method, ...]:
    """Every row of services, revisions and operations.

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
            found[f"{known['protoPackage']}.{name}"] = [*known["services"][name]["clients"]["grpc"]["rpcs"]]
    return found


def _services(controller: Controller, strict_masks: bool) -> tuple[Method, ...]:
    def create(request: Any, caller: Caller) -> Operation:
        return controller.create_service(
            _service_ref(f"{location(request.parent)}/services/{request.service_id}"),
            codec.spec_of(request.service),
            actor=caller.actor,
            validate_only=request.validate_only,
        )

    def update(request: Any, caller: Caller) -> Operation:
        return controller.update_service(
            _service_ref(request.service.name),
            codec.spec_of(request.service),
            codec.paths_of(request.update_mask, is_strict=strict_masks),
            etag=request.service.etag,
            actor=caller.actor,
            validate_only=request.validate_only,
            allow_missing=request.allow_missing,
        )

    def delete(request: Any, caller: Caller) -> Operation:
        return controller.delete_service(
            _service_ref(request.name),
            etag=request.etag,
            actor=caller.actor,
            validate_only=request.validate_only,
        )

    def shown(service: Service) -> Json:
        return service_json(service, controller.uri)

    return (
        writes("Services/CreateService", create),
        reads("Services/GetService", run_v2.Service, lambda r: shown(controller.service(_service_ref(r.name)))),
        lists(
            "Services/ListServices", run_v2.Service, lambda r: controller.services(location(r.parent)),
            lambda service: service.name, shown,
        ),
        writes("Services/UpdateService", update),
        writes("Services/DeleteService", delete),
    )  # fmt: skip


def _revisions(controller: Controller) -> tuple[Method, ...]:
    def found(request: Any) -> Iterable[tuple[Service, Revision]]:
        ref = _service_ref(request.parent)
        services = controller.services(ref.parent) if ref.service == "-" else (controller.service(ref),)
        return ((service, revision) for service in services for revision in service.revisions)

    def age(pair: tuple[Service, Revision]) -> str:
        return f"{pair[1].create_time.isoformat()} {pair[1].generation:09d} {pair[1].name}"

    def delete(request: Any, caller: Caller) -> Operation:
        ref, name = _revision_ref(request.name)
        return controller.delete_revision(
            ref, name, etag=request.etag, actor=caller.actor, validate_only=request.validate_only
        )

    return (
        reads(
            "Revisions/GetRevision", run_v2.Revision,
            lambda r: revision_json(*controller.revision(*_revision_ref(r.name))),
        ),
        lists(
            "Revisions/ListRevisions", run_v2.Revision, found, age, lambda pair: revision_json(*pair), newest_first=True
        ),
        writes("Revisions/DeleteRevision", delete),
    )  # fmt: skip


def _operations(controller: Controller) -> tuple[Method, ...]:
    pb = operations_pb2

    def found(request: Any) -> Iterable[Operation]:
        if request.filter:
            raise invalid(f"filter: '{request.filter}' is not supported.")
        return controller.operations.under(location(request.name.removesuffix("/operations")))

    async def wait(request: Any, caller: Caller) -> Message:
        asked = seconds("timeout", request.timeout) if request.HasField("timeout") else _LONGEST_WAIT_S
        limit = _LONGEST_WAIT_S if caller.time_left_s is None else caller.time_left_s
        return operation_message(await controller.operations.wait(request.name, min(asked, limit)))

    def delete(request: Any) -> Message:
        controller.operations.delete(request.name)
        return empty_pb2.Empty()

    get = at_once(lambda request: operation_message(controller.operations.get(request.name)))
    pages = paged(
        pb.ListOperationsResponse, found, lambda o: f"{o.create_time.isoformat()} {o.name}", operation_message
    )
    return (
        Method(f"{LONGRUNNING}/GetOperation", pb.GetOperationRequest, pb.Operation, get),
        Method(f"{LONGRUNNING}/ListOperations", pb.ListOperationsRequest, pb.ListOperationsResponse, pages),
        Method(f"{LONGRUNNING}/WaitOperation", pb.WaitOperationRequest, pb.Operation, wait),
        Method(f"{LONGRUNNING}/DeleteOperation", pb.DeleteOperationRequest, empty_pb2.Empty, at_once(delete)),
    )


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
        raise invalid(f"parent: '{parent}' is not projects/PROJECT/locations/LOCATION.")
    return parent


def _service_ref(name: str) -> ServiceRef:
    if ref := ServiceRef.parse(name):
        return ref
    raise invalid(f"name: '{name}' is not projects/P/locations/L/services/S.")


def _revision_ref(name: str) -> tuple[ServiceRef, str]:
    service, _, revision = name.rpartition("/revisions/")
    ref = ServiceRef.parse(service)
    if ref is None or not revision or "/" in revision:
        raise invalid(f"name: '{name}' is not projects/P/locations/L/services/S/revisions/R.")  # fmt: skip
    return ref, revision
