"""Google's default credentials, and what is said of them when they are no good."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pipeline import regular_file
from pipeline.errors import AccessError, PlatformUnavailable, SpillwayError

_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_MOST_BYTES = 1 << 20
_NETWORK = "Look at the network and its proxy (HTTPS_PROXY), then give the same command again."
_LOG_IN = "gcloud auth application-default login"


def must_be_readable() -> None:
    """Of the file that the environment names: it would be opened whatever it is, a folder or a pipe.

    Raises: google.auth.exceptions.DefaultCredentialsError.
    """
    from google.auth import exceptions

    if not (name := os.environ.get(_FILE)):
        return
    try:
        regular_file.read(Path(name), _MOST_BYTES)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise exceptions.DefaultCredentialsError(f"{name}: {why}") from error  # type: ignore[no-untyped-call]


def said(error: Exception) -> str:
    """What Google's library said, in words: its errors bear what they were made from beside them."""
    parts = [part for part in error.args if isinstance(part, str | Exception)]
    lines = [str(part).strip().partition("\n")[0].rstrip(".") for part in parts]
    return ": ".join(filter(None, lines)) or f"{type(error).__name__}, and no more was said."


def way_in() -> str:
    """What to do about them."""
    if name := os.environ.get(_FILE):
        return f"Mend {name}, which {_FILE} names, or unset that and log in: {_LOG_IN}"
    return f"Log in: {_LOG_IN}"


def refused(error: Any, what: str) -> SpillwayError:
    """Of one of Google's errors about credentials: that they are no good, or that nobody could be asked.

    Args:
        error: a google.auth.exceptions.GoogleAuthError.
    """
    from google.auth import exceptions

    if isinstance(error, exceptions.TransportError) or error.retryable:
        return PlatformUnavailable(f"{what}: no answer", said(error), _NETWORK)
    return AccessError(f"{what}: no credentials", said(error), way_in())


def default(**options: Any) -> Any:
    """The credentials. Raises google.auth.exceptions.GoogleAuthError."""
    import google.auth

    must_be_readable()
    credentials, _ = google.auth.default(**options)
    return credentials
