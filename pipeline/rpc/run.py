"""Cloud Run's Admin API v2: Google's messages, and the methods that we call under the names of Google's clients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

import grpc

from pipeline.rpc.call import Call, Pages, Retries
from pipeline.rpc.cloud import Api
from pipeline.rpc.deferred import defer

defer("google.cloud.run_v2")
defer(
    "google.cloud.run_v2.types", "service", "revision", "revision_template", "k8s_min", "vendor_settings",
    "traffic_target", "condition",
)  # fmt: skip
from google.cloud.run_v2 import gapic_version  # noqa: E402 - only now it is deferred
from google.cloud.run_v2 import types as run_v2  # noqa: E402

__all__ = ["API", "Executions", "Jobs", "Revisions", "Services", "run_v2"]

API = Api(
    "run.googleapis.com", ("https://www.googleapis.com/auth/cloud-platform",),
    ("google.cloud.run_v2.services.services", "ServicesClient"),
)  # fmt: skip
_GET = Retries((grpc.StatusCode.UNAVAILABLE,), initial=1.0, maximum=10.0, multiplier=1.3, within=10.0)


class Services:
    """``run_v2.ServicesClient``. Nobody waits for operations: what writes answer with stays bytes."""

    def __init__(self, channel: grpc.Channel) -> None:
        call = partial(_call, channel, "Services")
        self.get_service = call("GetService", "name", run_v2.Service.deserialize, retries=_GET)
        self.list_services = Pages(
            call("ListServices", "parent", run_v2.ListServicesResponse.deserialize, retries=_GET), "services"
        )
        self.create_service = call("CreateService", "parent")
        self.update_service = call("UpdateService", "service.name")
        self.delete_service = call("DeleteService", "name")


class Revisions:
    """``run_v2.RevisionsClient``, likewise."""

    def __init__(self, channel: grpc.Channel) -> None:
        call = partial(_call, channel, "Revisions")
        self.get_revision = call("GetRevision", "name", run_v2.Revision.deserialize)
        pages = call("ListRevisions", "parent", run_v2.ListRevisionsResponse.deserialize)
        self.list_revisions = Pages(pages, "revisions")
        self.delete_revision = call("DeleteRevision", "name")


class Jobs:
    """``run_v2.JobsClient``, likewise."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.get_job = _call(channel, "Jobs", "GetJob", "name", run_v2.Job.deserialize, retries=_GET)
        self.run_job = _call(channel, "Jobs", "RunJob", "name")
        self.update_job = _call(channel, "Jobs", "UpdateJob", "job.name")


class Executions:
    """``run_v2.ExecutionsClient``, likewise."""

    def __init__(self, channel: grpc.Channel) -> None:
        call = partial(_call, channel, "Executions")
        self.get_execution = call("GetExecution", "name", run_v2.Execution.deserialize)
        self.cancel_execution = call("CancelExecution", "name")


def _call(
    channel: grpc.Channel,
    service: str,
    method: str,
    place: str,
    answer: Callable[[bytes], Any] = bytes,
    **options: Any,
) -> Call:
    return Call(
        channel, f"/google.cloud.run.v2.{service}/{method}", getattr(run_v2, f"{method}Request"), answer,
        gapic_version.__version__, attrgetter(place), **options,
    )  # fmt: skip
