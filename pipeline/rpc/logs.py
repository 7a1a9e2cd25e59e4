"""Cloud Logging's API v2: Google's messages, and the methods that we call under the names of Google's client."""

from __future__ import annotations

import grpc

from pipeline.rpc.call import Call, Pages, Retries
from pipeline.rpc.cloud import Api
from pipeline.rpc.deferred import defer

defer("google.cloud.logging_v2")
defer("google.cloud.logging_v2.types", "logging", "log_entry")
from google.cloud.logging_v2 import gapic_version  # noqa: E402 - only now it is deferred
from google.cloud.logging_v2 import types as logging_v2  # noqa: E402

__all__ = ["API", "Logs", "logging_v2"]

_AUTH = "https://www.googleapis.com/auth"
API = Api(
    "logging.googleapis.com",
    tuple(
        f"{_AUTH}/{what}"
        for what in ("cloud-platform", "cloud-platform.read-only", "logging.admin", "logging.read", "logging.write")
    ),
    ("google.cloud.logging_v2.services.logging_service_v2", "LoggingServiceV2Client"),
)  # fmt: skip
_SERVICE = "/google.logging.v2.LoggingServiceV2"
_LIST = Retries(
    (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE),
    initial=0.1, maximum=60.0, multiplier=1.3, within=60.0,
)  # fmt: skip


class Logs:
    """``LoggingServiceV2Client``."""

    def __init__(self, channel: grpc.Channel) -> None:
        call = Call(
            channel, f"{_SERVICE}/ListLogEntries", logging_v2.ListLogEntriesRequest,
            logging_v2.ListLogEntriesResponse.deserialize, gapic_version.__version__, retries=_LIST,
        )  # fmt: skip
        self.list_log_entries = Pages(call, "entries")
        self.tail_log_entries = channel.stream_stream(
            f"{_SERVICE}/TailLogEntries",
            request_serializer=logging_v2.TailLogEntriesRequest.serialize,
            response_deserializer=logging_v2.TailLogEntriesResponse.deserialize,
        )
