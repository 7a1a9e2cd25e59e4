"""The gRPC face, for the unmodified clients of the Admin API, of log-based metrics and of alerts.

Every method of these services that is not offered answers UNIMPLEMENTED and says its name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any

import grpc
from google.longrunning import operations_pb2
from google.protobuf.message import Message

from pipeline.local.api.answering import Context, not_offered, unary
from pipeline.local.api.methods import ACTOR_KEY, LONGRUNNING, Caller, Method, client_methods

_MARGIN_S = 0.2  # a wait ends this long before its caller's deadline, to answer in time


def handlers(methods: Iterable[Method]) -> tuple[grpc.GenericRpcHandler, ...]:
    """Everything to add to a ``grpc.aio`` server."""
    offered = {method.name: _handler(method) for method in methods}
    every = {
        **client_methods(),
        LONGRUNNING: list(operations_pb2.DESCRIPTOR.services_by_name["Operations"].methods_by_name),
    }
    for name in offered:  # what no client package that is here tells of
        service, _, rpc = name.partition("/")
        if rpc not in every.setdefault(service, []):
            every[service] = [*every[service], rpc]
    return tuple(
        grpc.method_handlers_generic_handler(
            service, {m: offered.get(f"{service}/{m}") or not_offered(f"{service}/{m}") for m in names}
        )
        for service, names in every.items()
    )


def _handler(method: Method) -> grpc.RpcMethodHandler:
    def call(request: Any, context: Context) -> Awaitable[Message]:
        return method.call(request, _caller(context))

    return unary(call, method.request.FromString, method.response.SerializeToString)


def _caller(context: Context) -> Caller:
    actor = dict(context.invocation_metadata() or ()).get(ACTOR_KEY, "local")
    left = context.time_remaining()
    return Caller(str(actor), None if left is None else max(left - _MARGIN_S, 0.0))
