"""One log entry, and what a line of a service becomes in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Struct, field

#: LogSeverity by name. Source: google.logging.type.LogSeverity.
SEVERITIES = {
    "DEFAULT": 0, "DEBUG": 100, "INFO": 200, "NOTICE": 300, "WARNING": 400,
    "ERROR": 500, "CRITICAL": 600, "ALERT": 700, "EMERGENCY": 800,
}  # fmt: skip
_LARGEST = 10**300  # of an integer; in a jsonPayload every number is a double
_MAX_NESTING = 25  # of a jsonPayload; protobuf readers give up beyond some 30


class Entry(Struct, frozen=True):
    """One entry. Times in nanoseconds since the epoch; ``resource`` are its labels, ``log`` is the logName."""

    at_ns: int
    insert_id: str
    log: str
    resource: Mapping[str, str]
    received_ns: int
    severity: str = "DEFAULT"
    text: str | None = None
    payload: Mapping[str, Any] | None = None
    request: Mapping[str, Any] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    trace: str = ""

    @property
    def resource_type(self) -> str:
        """The monitored resource's: of a service's entries, or of a job's."""
        return "cloud_run_job" if "job_name" in self.resource else "cloud_run_revision"

    @property
    def owner(self) -> str:
        """Name of the service or of the job."""
        return self.resource.get("service_name") or self.resource["job_name"]

    @property
    def key(self) -> tuple[int, str]:
        """The order that clients see."""
        return self.at_ns, self.insert_id


def json_object(text: str) -> dict[str, Any] | None:
    """The object that a line is, if it is one that every reader of the entry can take."""
    if not text.startswith("{"):
        return None
    try:
        parsed = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return parsed if _is_taken(parsed, _MAX_NESTING) else None


def _is_taken(value: object, left: int) -> bool:
    """Whether it is not nested too deep, and has no integer that no double comes near."""
    if isinstance(value, int):
        return abs(value) < _LARGEST
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not inner or (left > 0 and all(_is_taken(one, left - 1) for one in inner))


def moment(fields: dict[str, Any]) -> int | None:
    """The ``time`` of a structured line, taken out of it if it is one."""
    try:
        at_ns = nanoseconds(fields["time"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    del fields["time"]
    return at_ns


def nanoseconds(text: str) -> int:
    """Of an RFC 3339 time, since the epoch. Raises ValueError."""
    moment = Timestamp()
    moment.FromJsonString(text)
    return moment.ToNanoseconds()
