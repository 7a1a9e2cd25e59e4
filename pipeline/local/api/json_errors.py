"""Errors as Google's APIs say them over HTTP.  The HTTP code of each gRPC code is the client library's own."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import grpc
from google.api_core.exceptions import exception_class_for_grpc_status
from msgspec import Struct

from pipeline.local.control.state import Refused

Document = dict[str, Any]


class Violation(Struct, frozen=True):
    """What is wrong with one field of a payload, or with a query parameter.

    Args:
        field: dotted path of the message that it stands in; empty for the request itself.
    """

    field: str
    description: str


class BadPayload(Refused):
    """A body or query that is not a request of the method; all that is wrong with it at once."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("INVALID_ARGUMENT", "\n".join(each.description for each in violations))
        self.violations = violations


def http_code(code: str) -> int:
    """The HTTP code that belongs to the name of a grpc.StatusCode."""
    kind = exception_class_for_grpc_status(getattr(grpc.StatusCode, code))
    return int(kind.code or HTTPStatus.INTERNAL_SERVER_ERROR)


def document(refused: Refused) -> Document:
    """``{"error": {"code", "message", "status", "details"}}``."""
    details: list[Document] = []
    if isinstance(refused, BadPayload):
        violations = [{"field": each.field, "description": each.description} for each in refused.violations]
        details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}]
    return {
        "error": {
            "code": http_code(refused.code),
            "message": refused.message,
            "status": refused.code,
            "details": details,
        }
    }
