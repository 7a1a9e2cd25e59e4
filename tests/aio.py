"""Asynchronous channels to a local Cloud Run: ours are synchronous, but anybody's client shall do."""

from __future__ import annotations

from typing import Any

import grpc.aio

from pipeline.local.endpoint import Endpoint

_KINDS = {
    "unary_unary": grpc.aio.UnaryUnaryClientInterceptor,
    "unary_stream": grpc.aio.UnaryStreamClientInterceptor,
    "stream_unary": grpc.aio.StreamUnaryClientInterceptor,
    "stream_stream": grpc.aio.StreamStreamClientInterceptor,
}


def aio_channel(endpoint: Endpoint) -> grpc.aio.Channel:
    """It carries the token; close it. Call inside the loop that uses it."""

    async def carry(self: object, continuation: Any, call: Any, request: Any) -> Any:
        metadata = grpc.aio.Metadata(*(call.metadata or ()), ("authorization", f"Bearer {endpoint.token}"))
        return await continuation(call._replace(metadata=metadata), request)

    # Each kind of call needs an interceptor of its own.
    carriers = [
        type(f"Bearer_{kind}", (base,), {f"intercept_{kind}": carry})() for kind, base in _KINDS.items()
    ]
    options = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
    return grpc.aio.insecure_channel(endpoint.address, options=options, interceptors=carriers)
