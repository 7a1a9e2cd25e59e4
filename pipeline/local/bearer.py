"""The token of the local Cloud Run: put on every call by its clients, asked of every call by the server."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import grpc.aio

_KEY = "authorization"


class BearerToken(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Puts the token on every call of a channel; the APIs have no methods of other kinds."""

    def __init__(self, token: str) -> None:
        self._line = (_KEY, f"Bearer {token}")

    def intercept_unary_unary(self, continuation: Any, call: Any, request: Any) -> Any:
        return continuation(call._replace(metadata=[*(call.metadata or ()), self._line]), request)

    intercept_stream_stream = intercept_unary_unary


class Access(grpc.aio.ServerInterceptor):
    """Who may call: holders of the token, and no web page. The REST face asks it; gRPC's server is guarded by it."""

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()

    def refusal(self, headers: Mapping[str, str | bytes]) -> tuple[str, str] | None:
        """Why not: (name of a grpc.StatusCode, text); None for those who may. ``headers`` are in lower case."""
        if "origin" in headers:
            return "PERMISSION_DENIED", "Calls from web pages are not answered."
        given = headers.get(_KEY, "")
        given = given if isinstance(given, bytes) else given.encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._expected):
            return "UNAUTHENTICATED", "The token of endpoint.json is needed."
        return None

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        if refusal := self.refusal(dict(handler_call_details.invocation_metadata or ())):
            return _refusal(*refusal)
        return await continuation(handler_call_details)


def _refusal(code: str, text: str) -> grpc.RpcMethodHandler:
    async def refuse(_: Any, context: Any) -> None:
        await context.abort(getattr(grpc.StatusCode, code), text)

    return grpc.unary_unary_rpc_method_handler(refuse)
