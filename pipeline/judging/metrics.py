"""What can be counted: each metric, what one failure of it is, and of what it is a share.  PURE."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

ERROR_PATTERNS = ("is not JSON serializable",)
LATENCY_NEEDS_PERCENT = 25


class Unit(StrEnum):
    """What one trial of a metric is."""

    RUN = "run"  # an agent run, or a socket that came to none
    ASKED = "asked"  # an agent run that was asked for, also where its user left it
    INSTANCE = "instance"  # one container instance, in one block
    REQUEST = "request"  # of the request log: sockets that ended, and requests that were refused
    SOCKET = "socket"  # of the request log: sockets that ended


METRICS: Mapping[str, str] = {
    "agent_completed": "an agent run whose expected events did not all come in time",
    "server_error_1011": "a run whose socket the server closed with 1011 (keepalive time-outs apart)",
    "abnormal_1006": "a run whose socket the server dropped without a close frame",
    "first_event": "a run whose first event came later than slower-than",
    "log_serialisation_errors": "a session whose service said that a value was not JSON serialisable",
    "abandoned": "a run that its user left before its end and before its deadline",
    "container_exits": "an instance whose container ended though nobody asked it to",
    "refused_requests": "a request that was answered with 5xx or 429",
    "ended_early": "a socket that ended before its deadline (for services without telemetry)",
}
_UNITS: Mapping[str, Unit] = {
    "abandoned": Unit.ASKED,
    "container_exits": Unit.INSTANCE,
    "refused_requests": Unit.REQUEST,
    "ended_early": Unit.SOCKET,
}
#: Told by the platform itself, for any service: judged whether the service writes telemetry or not.
PLATFORM_METRICS = ("container_exits", "refused_requests")
#: Judged where the configuration does not name them; they say nothing of how many runs were judged.
UNASKED_METRICS = (*PLATFORM_METRICS, "abandoned")


def unit_of(metric: str) -> Unit:
    return _UNITS.get(metric, Unit.RUN)
