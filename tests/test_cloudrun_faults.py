"""Google's errors as ours: what is tried again, what is read again, what a person has to mend."""

from __future__ import annotations

import pytest
from google.api_core import exceptions as google
from google.auth import exceptions as auth

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


def test_without_an_etag_a_conflict_is_a_refusal() -> None:
    with pytest.raises(RequestRejected), translated("make chat"):
        raise google.Conflict(VERSIONS)
