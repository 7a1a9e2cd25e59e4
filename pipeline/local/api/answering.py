"""How a method of the local Cloud Run is answered over gRPC: bytes in, bytes out, and every fault as a status.

What cannot be read is the caller's fault (INVALID_ARGUMENT). What goes wrong here is ours: it is in the server's log,
and the caller hears INTERNAL and nothing of our insides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import wraps
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from pipeline.local.control.state import Refused

#: Bytes of one request; gRPC refuses a larger one by its announced length, before it is read.
MAX_REQUEST = 4 * 1024 * 1024

Context = Any  # grpc.aio.ServicerContext
Method = Callable[[Any, Context], Awaitable[Any]]
Read = Callable[[bytes], Any]

log = structlog.get_logger(__name__)


def unary(method: Method, read: Read, write: Callable[[Any], bytes]) -> grpc.RpcMethodHandler:
    """A handler of one request and one answer."""

    @wraps(method)
    async def answer(request: bytes, context: Context) -> Any:
        async with told(context):
            return await method(message(read, request), context)

    return grpc.unary_unary_rpc_method_handler(answer, None, write)


def not_offered_text(what: str) -> str:
    return f"{what} is not offered by the local Cloud Run."


def not_offered(method: str) -> grpc.RpcMethodHandler:
    async def refuse(_: bytes, __: Context) -> NoReturn:
        raise Refused("UNIMPLEMENTED", not_offered_text(method))

    return unary(refuse, bytes, bytes)


@asynccontextmanager
async def told(context: Context) -> AsyncIterator[None]:
    """Whatever is raised inside ends the call with a status."""
    try:
        yield
    except grpc.aio.AbortError:
        raise
    except Exception as fault:  # noqa: BLE001 - told as one of ours
        refused = as_refused(fault)
        await context.abort(getattr(grpc.StatusCode, refused.code), refused.message)


def as_refused(fault: Exception) -> Refused:
    """What a caller is told of it."""
    if isinstance(fault, Refused):
        return fault
    log.error("a call failed", exc_info=fault)
    return Refused("INTERNAL", "The local Cloud Run failed; its log says why.")


def message(read: Read, request: bytes) -> Any:
    """The request. gRPC does not read it, since its own answer to what cannot be read is UNKNOWN. Raises Refused."""
    try:
        return read(request)
    except DecodeError as error:
        raise Refused("INVALID_ARGUMENT", "The request is not a message of this method.") from error


def seconds(name: str, duration: Duration) -> float:
    """Raises Refused when it is none that can be counted."""
    try:
        return duration.ToTimedelta().total_seconds()
    except (OverflowError, ValueError) as error:
        raise Refused("INVALID_ARGUMENT", f"{name}: not a duration.") from error
