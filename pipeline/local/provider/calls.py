"""Calls to a local Cloud Run, as a provider makes them: errors come out as the client raises them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
from google.api_core import exceptions
from google.longrunning import operations_pb2

CALL_TIMEOUT_S = 15.0
_SETTLE_TIMEOUT_S = 20 * 60.0  # the real provider's
_POLL_S = 0.1


def send(channel: grpc.Channel, method: str, request: Any, read: Callable[[bytes], Any]) -> Any:
    """What is answered to a bare message. Raises GoogleAPICallError."""
    call = channel.unary_unary(
        f"/{method}", request_serializer=type(request).SerializeToString, response_deserializer=read
    )
    try:
        return call(request, timeout=CALL_TIMEOUT_S)
    except grpc.RpcError as error:
        raise exceptions.from_grpc_error(error) from error


def settle(channel: grpc.Channel, operation: str) -> None:
    """Wait for what was accepted, as the real provider does. Raises GoogleAPICallError as the operation ended."""
    give_up = time.monotonic() + _SETTLE_TIMEOUT_S
    request = operations_pb2.GetOperationRequest(name=operation)
    method, read = "google.longrunning.Operations/GetOperation", operations_pb2.Operation.FromString
    while not (found := send(channel, method, request, read)).done:
        if time.monotonic() >= give_up:
            raise exceptions.DeadlineExceeded(f"{operation} did not end within 20 minutes")
        time.sleep(_POLL_S)
    if found.HasField("error"):
        raise exceptions.from_grpc_status(found.error.code, found.error.message)
