"""One log entry, and what a line of a service becomes in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, NoReturn

from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Struct, field

#: LogSeverity by name. Source: google.logging.type.LogSeverity.
SEVERITIES = {
    "DEFAULT": 0, "DEBUG": 100, "INFO": 200, "NOTICE": 300, "WARNING": 400,
    "ERROR": 500, "CRITICAL": 600, "ALERT": 700, "EMERGENCY": 800,
}  # fmt: skip
_MAX_DIGITS = 300  # of an integer; in a jsonPayload every number is a double
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
        parsed = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_finite_int)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(parsed, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) and _is_shallow(parsed, _MAX_NESTING) else None


def _is_shallow(value: object, left: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not inner or (left > 0 and all(_is_shallow(one, left - 1) for one in inner))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if isfinite(number) else _refuse(digits)


def _finite_int(digits: str) -> int:
    return int(digits) if len(digits) <= _MAX_DIGITS else _refuse(digits)


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
