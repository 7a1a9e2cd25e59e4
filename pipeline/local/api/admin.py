"""The Admin API v2 over gRPC, for the unmodified run_v2 clients.

Messages in, values to the controller, messages out; no decision is made here. Every method of the client package that
is not offered answers UNIMPLEMENTED and says its name.
Source: gapic_metadata.json of google.cloud.run_v2 names the methods.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources

import grpc
from google.cloud import run_v2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from pipeline.local.api.answering import Context, not_offered, seconds, unary
from pipeline.local.api.paging import page
from pipeline.local.control import codec, operations
from pipeline.local.control.controller import Controller
from pipeline.local.control.operations import Operation
from pipeline.local.control.state import Refused, Revision, Service
from pipeline.local.control.views import revision_json, service_json
from pipeline.model import ServiceRef

ACTOR_KEY = "x-spillway-actor"  # metadata: who writes; shown as last_modifier
_PACKAGE = "google.cloud.run.v2"
_LONGEST_WAIT_S = 600.0
_MARGIN_S = 0.2  # a wait ends this long before its caller's deadline, to answer in time
_PARENT = re.compile(r"projects/[^/]+/locations/[^/]+")
_WRITE_OPERATION = operations_pb2.Operation.SerializeToString
_REVISION = re.compile(r"(.+)/revisions/([^/]+)")


def handlers(controller: Controller) -> tuple[grpc.GenericRpcHandler, ...]:
    """Everything to add to a ``grpc.aio`` server."""
    offered = {**_services(controller), **_revisions(controller)}
    text = resources.files("google.cloud.run_v2").joinpath("gapic_metadata.json").read_text()
    known = {
        f"{_PACKAGE}.{name}": service["clients"]["grpc"]["rpcs"]
        for name, service in json.loads(text)["services"].items()
    }
    named = [
        grpc.method_handlers_generic_handler(
            service, {m: offered.get(f"{service}/{m}") or not_offered(f"{service}/{m}") for m in methods}
        )
        for service, methods in known.items()
    ]
    return (*named, _longrunning(controller))


def _services(controller: Controller) -> Mapping[str, grpc.RpcMethodHandler]:
    async def create(request: run_v2.CreateServiceRequest, context: Context) -> operations_pb2.Operation:
        ref = _service_ref(f"{_location(request.parent)}/services/{request.service_id}")
        spec = codec.spec_of(request.service)
        return _operation(controller.create_service(
            ref, spec, actor=_actor(context), validate_only=request.validate_only
        ))  # fmt: skip

    async def get(request: run_v2.GetServiceRequest, _: Context) -> run_v2.Service:
        return shown(controller.service(_service_ref(request.name)))

    async def list_(request: run_v2.ListServicesRequest, _: Context) -> run_v2.ListServicesResponse:
        found = controller.services(_location(request.parent))
        some, token = page(found, lambda s: s.name, size=request.page_size, token=request.page_token)
        return run_v2.ListServicesResponse(services=list(map(shown, some)), next_page_token=token)

    async def update(request: run_v2.UpdateServiceRequest, context: Context) -> operations_pb2.Operation:
        return _operation(controller.update_service(
            _service_ref(request.service.name),
            codec.spec_of(request.service),
            codec.paths_of(request.update_mask),
            etag=request.service.etag,
            actor=_actor(context),
            validate_only=request.validate_only,
            allow_missing=request.allow_missing,
        ))  # fmt: skip

    async def delete(request: run_v2.DeleteServiceRequest, _: Context) -> operations_pb2.Operation:
        ref = _service_ref(request.name)
        return _operation(
            controller.delete_service(ref, etag=request.etag, validate_only=request.validate_only)
        )

    def shown(service: Service) -> run_v2.Service:
        return codec.message(run_v2.Service, service_json(service, controller.uri))

    service = f"{_PACKAGE}.Services"
    return {
        f"{service}/CreateService": unary(create, run_v2.CreateServiceRequest.deserialize, _WRITE_OPERATION),
        f"{service}/GetService": unary(get, run_v2.GetServiceRequest.deserialize, run_v2.Service.serialize),
        f"{service}/ListServices": unary(
            list_, run_v2.ListServicesRequest.deserialize, run_v2.ListServicesResponse.serialize
        ),
        f"{service}/UpdateService": unary(update, run_v2.UpdateServiceRequest.deserialize, _WRITE_OPERATION),
        f"{service}/DeleteService": unary(delete, run_v2.DeleteServiceRequest.deserialize, _WRITE_OPERATION),
    }


def _revisions(controller: Controller) -> Mapping[str, grpc.RpcMethodHandler]:
    async def get(request: run_v2.GetRevisionRequest, _: Context) -> run_v2.Revision:
        return shown(controller.revision(*_revision_ref(request.name)))

    async def list_(request: run_v2.ListRevisionsRequest, _: Context) -> run_v2.ListRevisionsResponse:
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
        return run_v2.ListRevisionsResponse(revisions=list(map(shown, some)), next_page_token=token)

    async def delete(request: run_v2.DeleteRevisionRequest, context: Context) -> operations_pb2.Operation:
        ref, name = _revision_ref(request.name)
        return _operation(controller.delete_revision(
            ref, name, etag=request.etag, actor=_actor(context), validate_only=request.validate_only
        ))  # fmt: skip

    def shown(found: tuple[Service, Revision]) -> run_v2.Revision:
        return codec.message(run_v2.Revision, revision_json(*found))

    service = f"{_PACKAGE}.Revisions"
    return {
        f"{service}/GetRevision": unary(
            get, run_v2.GetRevisionRequest.deserialize, run_v2.Revision.serialize
        ),
        f"{service}/ListRevisions": unary(
            list_, run_v2.ListRevisionsRequest.deserialize, run_v2.ListRevisionsResponse.serialize
        ),
        f"{service}/DeleteRevision": unary(
            delete, run_v2.DeleteRevisionRequest.deserialize, _WRITE_OPERATION
        ),
    }


def _longrunning(controller: Controller) -> grpc.GenericRpcHandler:
    async def get(request: operations_pb2.GetOperationRequest, _: Context) -> operations_pb2.Operation:
        return _operation(controller.operations.get(request.name))

    async def list_(
        request: operations_pb2.ListOperationsRequest, _: Context
    ) -> operations_pb2.ListOperationsResponse:
        if request.filter:
            raise Refused("INVALID_ARGUMENT", f"filter: '{request.filter}' is not supported.")
        found = controller.operations.under(_location(request.name.removesuffix("/operations")))
        some, token = page(
            found,
            lambda o: f"{o.create_time.isoformat()} {o.name}",
            size=request.page_size,
            token=request.page_token,
        )
        return operations_pb2.ListOperationsResponse(
            operations=list(map(_operation, some)), next_page_token=token
        )

    async def wait(
        request: operations_pb2.WaitOperationRequest, context: Context
    ) -> operations_pb2.Operation:
        asked = seconds("timeout", request.timeout) if request.HasField("timeout") else _LONGEST_WAIT_S
        left = context.time_remaining()
        limit = _LONGEST_WAIT_S if left is None else max(left - _MARGIN_S, 0.0)
        return _operation(await controller.operations.wait(request.name, min(asked, limit)))

    async def delete(request: operations_pb2.DeleteOperationRequest, _: Context) -> empty_pb2.Empty:
        controller.operations.delete(request.name)
        return empty_pb2.Empty()

    pb = operations_pb2
    service = "google.longrunning.Operations"
    methods = {
        "GetOperation": unary(get, pb.GetOperationRequest.FromString, _WRITE_OPERATION),
        "ListOperations": unary(
            list_, pb.ListOperationsRequest.FromString, pb.ListOperationsResponse.SerializeToString
        ),
        "WaitOperation": unary(wait, pb.WaitOperationRequest.FromString, _WRITE_OPERATION),
        "DeleteOperation": unary(
            delete, pb.DeleteOperationRequest.FromString, empty_pb2.Empty.SerializeToString
        ),
        "CancelOperation": not_offered(f"{service}/CancelOperation"),
    }
    return grpc.method_handlers_generic_handler(service, methods)


def _operation(operation: Operation) -> operations_pb2.Operation:
    """As the API shows it: metadata is the resource when the write was accepted, or at the end."""
    kind = run_v2.Revision if operation.kind == operations.REVISION else run_v2.Service
    subject = kind.pb(codec.message(kind, operation.subject))
    shown = operations_pb2.Operation(name=operation.name, done=operation.is_done)
    shown.metadata.Pack(subject)
    if operation.error:
        code, shown.error.message = operation.error
        shown.error.code = getattr(grpc.StatusCode, code).value[0]
    elif operation.is_done:
        shown.response.Pack(subject)
    return shown


def _actor(context: Context) -> str:
    return str(dict(context.invocation_metadata() or ()).get(ACTOR_KEY, "local"))


def _location(parent: str) -> str:
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
