"""Which of our errors each error of a Google client is."""

from __future__ import annotations

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


def raise_ours(error: Exception, what: str, *, etag: bool, missing: type[PlatformError]) -> None:
    """Raise our error for one of a Google client; for any other, return. See ``faults.translated``."""
    if not isinstance(error, google.GoogleAPICallError | google.RetryError | auth.GoogleAuthError):
        return
    message = str(getattr(error, "message", "") or error)
    if isinstance(error, google.NotFound):
        kind = RevisionNotFound if "/revisions/" in message else missing
        raise kind(f"{what}: not found", message) from error
    if _is_for_later(error, message):
        raise PlatformUnavailable(f"{what}: no answer", message, retry_after_s=1.0) from error
    if isinstance(error, google.Unauthenticated | google.Forbidden | auth.GoogleAuthError):
        raise AccessError(
            f"{what}: not allowed", message, "Log in: gcloud auth application-default login"
        ) from error
    if isinstance(error, google.Aborted) or (etag and _is_stale(error, message)):
        raise StaleWrite(f"{what}: the service changed since it was read", message) from error
    if isinstance(error, google.MethodNotImplemented):
        raise PlatformError(f"{what}: not offered here", message) from error
    if isinstance(error, google.ClientError):
        raise RequestRejected(f"{what}: refused", message) from error
    raise PlatformUnavailable(f"{what}: {type(error).__name__}", message) from error


def _is_for_later(error: Exception, message: str) -> bool:
    """No answer, or one that says "later". A quota that is used up comes as 429, or as 403 by its words alone."""
    if isinstance(error, google.MethodNotImplemented):
        return False
    if isinstance(error, google.Forbidden):
        return "quota exceeded" in message.lower()
    later = google.TooManyRequests | google.ServerError | google.RetryError | google.Cancelled
    return isinstance(error, later)


def _is_stale(error: Exception, message: str) -> bool:
    """A conflict of a write with an etag, but for a name that is taken. Over REST it has no code of its own."""
    if not isinstance(error, google.Conflict) or isinstance(error, google.AlreadyExists):
        return False
    return "already exists" not in message.lower()
