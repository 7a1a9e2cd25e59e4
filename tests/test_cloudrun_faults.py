"""Google's errors as ours: what is tried again, what is read again, what a person has to mend."""

from __future__ import annotations

import pytest
from google.api_core import exceptions as google
from google.auth import exceptions as auth
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from pipeline.cloudrun.faults import translated
from pipeline.errors import (
    AccessError,
    PlatformError,
    PlatformUnavailable,
    RequestRejected,
    RevisionNotFound,
    ServiceNotFound,
    SpillwayError,
    StaleWrite,
)

VERSIONS = "Conflict for resource 'S': version '17869' was specified but current version is '17866'."
TAKEN = "Revision named 'X' with different configuration already exists."


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (google.Aborted(VERSIONS), StaleWrite),
        (google.Conflict(VERSIONS), StaleWrite),
        (google.Conflict("the etag does not match"), StaleWrite),
        (google.Conflict(TAKEN), RequestRejected),
        (google.AlreadyExists(TAKEN), RequestRejected),
        (google.TooManyRequests("slow down"), PlatformUnavailable),
        (google.Forbidden("Quota exceeded for quota metric 'Write requests'"), PlatformUnavailable),
        (google.PermissionDenied("Quota exceeded for quota metric 'Read requests'"), PlatformUnavailable),
        (google.ResourceExhausted("Quota exceeded for quota metric 'Read requests'"), PlatformUnavailable),
        (google.Forbidden("Rate Limit Exceeded"), PlatformUnavailable),
        (
            google.Forbidden("no", errors=[{"reason": "rateLimitExceeded", "domain": "usageLimits"}]),
            PlatformUnavailable,
        ),
        (
            google.Forbidden("no", error_info=error_details_pb2.ErrorInfo(reason="RATE_LIMIT_EXCEEDED")),
            PlatformUnavailable,
        ),
        (
            google.Forbidden("no", error_info=error_details_pb2.ErrorInfo(reason="SERVICE_DISABLED")),
            AccessError,
        ),
        (google.Forbidden("The run.googleapis.com API requires a quota project"), AccessError),
        (google.from_http_status(409, VERSIONS), StaleWrite),
        (google.from_http_status(409, TAKEN), RequestRejected),
        (google.from_http_status(403, "Quota exceeded"), PlatformUnavailable),
        (google.from_http_status(429, "Quota exceeded"), PlatformUnavailable),
        (google.FailedPrecondition("the etag does not match"), StaleWrite),
        (google.from_http_status(412, "the etag does not match"), StaleWrite),
        (google.FailedPrecondition("the revision serves traffic"), RequestRejected),
        (auth.TransportError("no route"), PlatformUnavailable),
        (auth.RefreshError("503 from the token server", retryable=True), PlatformUnavailable),
        (
            google.ServiceUnavailable(
                "Getting metadata from plugin failed with error: ('invalid_grant: Bad Request')"
            ),
            AccessError,
        ),
        (
            google.ServiceUnavailable(
                "Getting metadata from plugin failed with error: Reauthentication is needed."
            ),
            AccessError,
        ),
        (google.Forbidden("Permission 'run.services.update' denied"), AccessError),
        (google.Unauthenticated("no token"), AccessError),
        (auth.RefreshError("expired"), AccessError),
        (google.ServiceUnavailable("503"), PlatformUnavailable),
        (google.InternalServerError("500"), PlatformUnavailable),
        (google.DeadlineExceeded("504"), PlatformUnavailable),
        (google.Cancelled("the answer was lost"), PlatformUnavailable),
        (google.RetryError("gave up", None), PlatformUnavailable),
        (google.InvalidArgument("400"), RequestRejected),
        (google.MethodNotImplemented("501"), PlatformError),
        (google.NotFound("no projects/p/locations/l/services/s"), ServiceNotFound),
        (google.NotFound("no .../services/s/revisions/r"), RevisionNotFound),
    ],
)
def test_translation(error: Exception, kind: type[SpillwayError]) -> None:
    with pytest.raises(SpillwayError) as told, translated("write chat", etag=True):
        raise error
    assert type(told.value) is kind
    assert told.value.why
    assert told.value.fix


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        (google.NotFound("Resource 'projects/acme/locations/eu/services/nope' was not found."),
         "See which there are: gcloud run services list --project acme --region eu"),
        (google.NotFound("projects/acme/locations/eu/services/s/revisions/nope"),
         "See which there are: gcloud run revisions list --service s --project acme --region eu"),
        (google.NotFound("Resource 'projects/local/locations/local/services/nope'"), "See which there are: spillway local status"),
        (google.PermissionDenied("Permission 'run.services.update' denied on resource"), "Give the account the role roles/run.developer"),
        (google.Forbidden("Permission 'logging.logEntries.list' denied"), "Give the account the role roles/logging.viewer"),
        (google.Forbidden("The caller does not have permission"), "Give the account what it lacks"),
        (google.Unauthenticated(""), "Log in: gcloud auth application-default login"),
        (google.ServiceUnavailable(""), "Give the same command again"),
        (google.Unknown(""), "Give the same command again"),
    ],
)  # fmt: skip
def test_three_lines(error: Exception, fix: str) -> None:
    with pytest.raises(SpillwayError) as told, translated("read nope"):
        raise error
    assert told.value.fix.startswith(fix)
    assert len(str(told.value).splitlines()) == 3


def test_without_an_etag_a_conflict_is_a_refusal() -> None:
    with pytest.raises(RequestRejected), translated("make chat"):
        raise google.Conflict(VERSIONS)


@pytest.mark.parametrize(
    ("asked", "pause"), [(None, 5.0), (Duration(seconds=12), 12.0), (Duration(nanos=1), 5.0), (Duration(seconds=9000), 60.0)]
)  # fmt: skip
@pytest.mark.parametrize("kind", [google.TooManyRequests, google.PermissionDenied])
def test_who_is_throttled_rests_as_long_as_is_asked(
    kind: type[google.GoogleAPICallError], asked: Duration | None, pause: float
) -> None:
    details = [error_details_pb2.RetryInfo(retry_delay=asked)] if asked is not None else []
    with pytest.raises(PlatformUnavailable) as told, translated("read chat"):
        raise kind("Quota exceeded", details=details)
    assert told.value.retry_after_s == pause
    assert "Log in" not in str(told.value)
