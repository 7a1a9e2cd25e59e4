"""Google's client errors, as ours: one place, for services, revisions and logs alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from google.api_core import exceptions as google
from google.auth import exceptions as auth

from pipeline.errors import (
    AccessError,
    PlatformError,
    PlatformUnavailable,
    RequestRejected,
    RevisionNotFound,
    ServiceNotFound,
    StaleWrite,
)


@contextmanager
def translated(what: str, *, etag: bool = False) -> Iterator[None]:
    """Raise our error for whatever a Google client raises inside.

    Args:
        what: the call and its object, for the message ("read agent-chat").
        etag: a conflict means a stale etag. (ABORTED by AIP-154; other conflicts are a taken name.)
    """
    try:
        yield
    except (google.GoogleAPICallError, google.RetryError, auth.GoogleAuthError) as error:
        _raise(error, what, etag)


def _raise(error: Exception, what: str, etag: bool) -> NoReturn:
    message = str(getattr(error, "message", "") or error)
    if isinstance(error, google.NotFound):
        kind = RevisionNotFound if "/revisions/" in message or "revision" in what else ServiceNotFound
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
