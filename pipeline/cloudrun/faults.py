"""Google's client errors, as ours: one place, for services, revisions and logs alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import PlatformError, ServiceNotFound


@contextmanager
def translated(
    what: str, *, etag: bool = False, missing: type[PlatformError] = ServiceNotFound
) -> Iterator[None]:
    """Raise our error for whatever a Google client raises inside.

    Args:
        what: the call and its object, for the message ("read agent-chat").
        missing: what NOT_FOUND means, where its message names no revision.
        etag: a conflict means a stale etag. (ABORTED by AIP-154; other conflicts are a taken name.)
    """
    try:
        yield
    except Exception as error:
        from pipeline.cloudrun import client_errors  # here, because most calls raise nothing

        client_errors.raise_ours(error, what, etag=etag, missing=missing)
        raise
