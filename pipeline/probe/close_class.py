"""Close codes by what they say about the service; the judge counts by these.  PURE."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class CloseClass(StrEnum):
    """What a close says."""

    NORMAL = "normal"
    SERVER_ERROR_1011 = "server_error_1011"
    KEEPALIVE_1011 = "keepalive_1011"  # "keepalive ping timeout": the client's doing, told by the reason
    ABNORMAL_1006 = "abnormal_1006"  # no close frame: crash, bug, time-out or network
    RESTART_1012 = "restart_1012"
    OTHER = "other"


#: Source: RFC 6455 section 7.4.1; https://www.iana.org/assignments/websocket (1012).
_CLASSES: Mapping[int | None, CloseClass] = {
    1000: CloseClass.NORMAL,
    1001: CloseClass.NORMAL,
    1005: CloseClass.NORMAL,
    1006: CloseClass.ABNORMAL_1006,
    1011: CloseClass.SERVER_ERROR_1011,
    1012: CloseClass.RESTART_1012,
    None: CloseClass.ABNORMAL_1006,
}


def close_class(code: int | None, reason: str = "") -> CloseClass:
    if code == 1011 and "keepalive ping timeout" in reason:
        return CloseClass.KEEPALIVE_1011
    return _CLASSES.get(code, CloseClass.OTHER)
