"""The messages of ``google.cloud.scheduler.v1``, as far as they are spoken here.

Their client package is not among the dependencies, so that what it would bring is declared: names, numbers and types of
the public API, in a pool of its own, beside which the package may be installed.
Source: google/cloud/scheduler/v1/job.proto, target.proto and cloudscheduler.proto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    json_format,
    message_factory,
    timestamp_pb2,
)
from google.rpc import status_pb2

PACKAGE = "google.cloud.scheduler.v1"
_FILE = "spillway/cloud_scheduler.proto"
_TIME, _LENGTH, _MASK = "google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"
_NEEDED = (timestamp_pb2, duration_pb2, field_mask_pb2, empty_pb2, any_pb2, status_pb2)
_SCALARS = ("string", "bytes", "int32")
_METHODS = ("HTTP_METHOD_UNSPECIFIED", "POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")
_STATES = ("STATE_UNSPECIFIED", "ENABLED", "PAUSED", "DISABLED", "UPDATE_FAILED")
_ENUMS = {"HttpMethod": _METHODS, "State": _STATES}
_MAP = "map"

#: Message by name: each field's number and type.
_MESSAGES: Mapping[str, Mapping[str, tuple[int, str]]] = {
    "OAuthToken": {"service_account_email": (1, "string"), "scope": (2, "string")},
    "OidcToken": {"service_account_email": (1, "string"), "audience": (2, "string")},
    "HttpTarget": {
        "uri": (1, "string"), "http_method": (2, "HttpMethod"), "headers": (3, _MAP), "body": (4, "bytes"),
        "oauth_token": (5, "OAuthToken"), "oidc_token": (6, "OidcToken"),
    },
    "PubsubTarget": {"topic_name": (1, "string"), "data": (3, "bytes"), "attributes": (4, _MAP)},
    "RetryConfig": {
        "retry_count": (1, "int32"), "max_retry_duration": (2, _LENGTH), "min_backoff_duration": (3, _LENGTH),
        "max_backoff_duration": (4, _LENGTH), "max_doublings": (5, "int32"),
    },
    "Job": {
        "name": (1, "string"), "description": (2, "string"), "pubsub_target": (4, "PubsubTarget"),
        "http_target": (6, "HttpTarget"), "user_update_time": (9, _TIME), "state": (10, "State"),
        "status": (11, "google.rpc.Status"), "schedule_time": (17, _TIME), "last_attempt_time": (18, _TIME),
        "retry_config": (19, "RetryConfig"), "schedule": (20, "string"), "time_zone": (21, "string"),
        "attempt_deadline": (22, _LENGTH),
    },
    "ListJobsRequest": {"parent": (1, "string"), "page_size": (5, "int32"), "page_token": (6, "string")},
    "ListJobsResponse": {"jobs": (1, "Job*"), "next_page_token": (2, "string")},
    "CreateJobRequest": {"parent": (1, "string"), "job": (2, "Job")},
    "UpdateJobRequest": {"job": (1, "Job"), "update_mask": (2, _MASK)},
    **{f"{verb}JobRequest": {"name": (1, "string")} for verb in ("Get", "Delete", "Pause", "Resume", "Run")},
}  # fmt: skip


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for needed in _NEEDED:
        pool.AddSerializedFile(needed.DESCRIPTOR.serialized_pb)
    file = {
        "name": _FILE,
        "package": PACKAGE,
        "syntax": "proto3",
        "dependency": [needed.DESCRIPTOR.name for needed in _NEEDED],
        "enumType": [
            {"name": name, "value": [{"name": word, "number": number} for number, word in enumerate(values)]}
            for name, values in _ENUMS.items()
        ],
        "messageType": [
            {
                "name": name,
                "field": [_field(name, field, number, kind) for field, (number, kind) in fields.items()],
                "nestedType": [_entry(field) for field, (_, kind) in fields.items() if kind == _MAP],
            }
            for name, fields in _MESSAGES.items()
        ],
    }
    pool.Add(json_format.ParseDict(file, descriptor_pb2.FileDescriptorProto()))
    return pool


def _field(message: str, name: str, number: int, kind: str) -> Mapping[str, Any]:
    """A field as descriptor.proto has it; one of a map is of entries that are a message in its own."""
    is_many = kind.endswith("*") or kind == _MAP
    field = {"name": name, "number": number, "label": "LABEL_REPEATED" if is_many else "LABEL_OPTIONAL"}
    if kind in _SCALARS:
        return {**field, "type": f"TYPE_{kind.upper()}"}
    bare = f"{message}.{_entry_name(name)}" if kind == _MAP else kind.removesuffix("*")
    full = bare if bare.startswith("google.") else f"{PACKAGE}.{bare}"
    return {**field, "type": "TYPE_ENUM" if kind in _ENUMS else "TYPE_MESSAGE", "typeName": f".{full}"}


def _entry(field: str) -> Mapping[str, Any]:
    """The message of a map's entries: texts by texts."""
    parts = [_field("", part, number, "string") for number, part in enumerate(("key", "value"), start=1)]
    return {"name": _entry_name(field), "field": parts, "options": {"mapEntry": True}}


def _entry_name(field: str) -> str:
    return f"{field.title()}Entry"


#: Made at once, not when one is first asked for: of two threads that ask, each would have messages of its own.
_POOL = _pool()
_KINDS: Mapping[str, Any] = {
    name: message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
    for name in _MESSAGES
}


def kind(name: str) -> Any:
    """The class of a message."""
    return _KINDS[name]
