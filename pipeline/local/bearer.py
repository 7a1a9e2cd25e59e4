"""The token of the local Cloud Run: put on every call by its clients, asked of every call by the server."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

_KEY = "authorization"


class BearerToken(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Puts the token on every call of a channel; the APIs have no methods of other kinds."""

    def __init__(self, token: str) -> None:
        self._line = (_KEY, f"Bearer {token}")

    def intercept_unary_unary(self, continuation: Any, call: Any, request: Any) -> Any:
        return continuation(call._replace(metadata=[*(call.metadata or ()), self._line]), request)

    intercept_stream_stream = intercept_unary_unary


class Guard(grpc.aio.ServerInterceptor):
    """Refuses calls without the token, and any that a web page made."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        metadata = dict(handler_call_details.invocation_metadata or ())
        if "origin" in metadata:
            return _refusal(grpc.StatusCode.PERMISSION_DENIED, "Calls from web pages are not answered.")
        given = metadata.get(_KEY, "")
        given = given if isinstance(given, bytes) else given.encode()
        if not hmac.compare_digest(given, self._expected):
            return _refusal(grpc.StatusCode.UNAUTHENTICATED, "The token of endpoint.json is needed.")
        return await continuation(handler_call_details)


def _refusal(code: grpc.StatusCode, text: str) -> grpc.RpcMethodHandler:
    async def refuse(_: Any, context: Any) -> None:
        await context.abort(code, text)

    return grpc.unary_unary_rpc_method_handler(refuse)
