"""Which of our errors each error of a Google client is."""

from __future__ import annotations

import re

from google.api_core import exceptions as google
from google.auth import exceptions as auth

from pipeline.errors import (
    AccessError,
    PlatformError,
    PlatformUnavailable,
    RequestRejected,
    RevisionNotFound,
    StaleWrite,
)
from pipeline.model import ServiceRef
from pipeline.rpc import login

_QUOTA_WORDS = (
    "quota exceeded",
    "quotaexceeded",
    "rate limit exceeded",
    "ratelimitexceeded",
    "rate_limit_exceeded",
)
_NO_CREDENTIALS = ("invalid_grant", "Reauthentication is needed")  # Source: google.auth, google.oauth2
_AGAIN = "Give the same command again; what is there now: spillway status (of a local Cloud Run: spillway local status)"
_LOOK = "Look who wrote it: spillway status; then give the same command again."
_CHANGE = "Change what is named there, then give the same command again."
_ELSEWHERE = "Leave it out, or use a Cloud Run that offers it."
_SERVICE = re.compile(
    r"(?P<name>projects/[^/\s'\"]+/locations/[^/\s'\"]+/services/[\w-]+)(?P<revision>/revisions/)?"
)
_PERMISSION = re.compile(r"\b(run|logging|monitoring|iam)\.[a-zA-Z]+\.[a-zA-Z]+")
#: By the service of a permission, the least role of Google's own that has all that is asked of it here.
_ROLES = {
    "run": "roles/run.developer",
    "logging": "roles/logging.viewer",
    "monitoring": "roles/monitoring.alertPolicyEditor",
    "iam": "roles/iam.serviceAccountUser",
}
_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 60.0
_THROTTLED = (
    "It is tried again by itself. Whoever else calls this API in the project draws on the same quota."
)


def raise_ours(error: Exception, what: str, *, etag: bool, missing: type[PlatformError]) -> None:
    """Raise our error for one of a Google client; for any other, return. See ``faults.translated``."""
    if not isinstance(error, google.GoogleAPICallError | google.RetryError | auth.GoogleAuthError):
        return
    message = _said(error)
    if isinstance(error, google.NotFound):
        kind = RevisionNotFound if "/revisions/" in message else missing
        raise kind(f"{what}: not found", message, _names_of(message)) from error
    if _is_throttled(error, message):
        raise PlatformUnavailable(
            f"{what}: too many calls", message, _THROTTLED, retry_after_s=_asked_pause(error)
        ) from error
    if _is_for_later(error, message):
        raise PlatformUnavailable(f"{what}: no answer", message, _AGAIN, retry_after_s=1.0) from error
    # gRPC tells of credentials that are no good any more as of a server that is not there.
    if isinstance(
        error, google.Unauthenticated | google.Forbidden | google.ServiceUnavailable | auth.GoogleAuthError
    ):
        raise AccessError(f"{what}: not allowed", message, _way_in(error, message)) from error
    if isinstance(error, google.Aborted) or (etag and _is_stale(error, message)):
        raise StaleWrite(f"{what}: the service changed since it was read", message, _LOOK) from error
    if isinstance(error, google.MethodNotImplemented):
        raise PlatformError(f"{what}: not offered here", message, _ELSEWHERE) from error
    if isinstance(error, google.ClientError):
        raise RequestRejected(f"{what}: refused", message, _CHANGE) from error
    raise PlatformUnavailable(f"{what}: {type(error).__name__}", message, _AGAIN) from error


def _said(error: Exception) -> str:
    """What the API said, in one line at least."""
    if isinstance(error, auth.GoogleAuthError):
        return login.said(error)
    return (
        str(getattr(error, "message", "") or error).strip()
        or f"{type(error).__name__}, and no more was said."
    )


def _names_of(message: str) -> str:
    """How to see what there is, where the message names a service."""
    found = _SERVICE.search(message)
    ref = ServiceRef.parse(found["name"]) if found else None
    if found is None or ref is None or ref.is_local:
        return "See which there are: spillway local status"
    where = f"--project {ref.project} --region {ref.location}"
    if found["revision"]:
        return f"See which there are: gcloud run revisions list --service {ref.service} {where}"
    return f"See which there are: gcloud run services list {where}"


def _way_in(error: Exception, message: str) -> str:
    """The role for a permission that is missing; a login for credentials that are no good."""
    if not isinstance(error, google.Forbidden):
        return login.way_in()
    permission = _PERMISSION.search(message)
    role = _ROLES.get(permission[1], "") if permission else ""
    which = f"the role {role}" if role else "what it lacks"
    return f"Give the account {which}; as another account: gcloud auth application-default login"


def _is_throttled(error: Exception, message: str) -> bool:
    """A quota that is used up: 429, or a 403 that says so in its reason or, over either transport, by its words alone."""
    if isinstance(error, google.TooManyRequests):
        return True
    if not isinstance(error, google.Forbidden):
        return False
    said = (
        message.lower(),
        str(error.reason or "").lower(),
        *(str(each).lower() for each in error.errors or ()),
    )
    return any(words in text for text in said for words in _QUOTA_WORDS)


def _asked_pause(error: Exception) -> float:
    """Seconds until another try, as the server asks; else enough for a quota of a minute to come back a little."""
    delays = (getattr(detail, "retry_delay", None) for detail in getattr(error, "details", None) or ())
    asked = next((delay.seconds + delay.nanos / 1e9 for delay in delays if delay is not None), _PAUSE_S)
    return min(_LONGEST_PAUSE_S, max(_PAUSE_S, asked))


def _is_for_later(error: Exception, message: str) -> bool:
    """No answer, or one that says "later"; credentials that could not be renewed just now among them."""
    if isinstance(error, google.MethodNotImplemented):
        return False
    if isinstance(error, auth.GoogleAuthError):
        return isinstance(error, auth.TransportError) or error.retryable
    if isinstance(error, google.ServiceUnavailable) and any(words in message for words in _NO_CREDENTIALS):
        return False
    return isinstance(error, google.ServerError | google.RetryError | google.Cancelled)


def _is_stale(error: Exception, message: str) -> bool:
    """A conflict of a write with an etag, but for a name that is taken. Over REST it has no code of its own."""
    if isinstance(error, google.PreconditionFailed | google.FailedPrecondition):
        return "etag" in message.lower()  # as it was before AIP-154 asked for ABORTED
    if not isinstance(error, google.Conflict) or isinstance(error, google.AlreadyExists):
        return False
    return "already exists" not in message.lower()
