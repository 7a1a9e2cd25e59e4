"""ID tokens for probes of a service that is not public."""

from __future__ import annotations

from google.auth import exceptions
from google.auth.transport.requests import Request
from google.oauth2 import id_token

from pipeline.errors import AccessError
from pipeline.redact import SINK


def fetch_id_token(audience: str) -> str:
    """A token for one audience: the service's own address, for its tags too.

    Raises: AccessError when the default credentials cannot make one (user credentials cannot).
    Source: https://cloud.google.com/run/docs/authenticating/service-to-service
    """
    try:
        token = str(id_token.fetch_id_token(Request(), audience))  # type: ignore[no-untyped-call]
    except exceptions.GoogleAuthError as error:
        raise AccessError(
            f"no ID token for {audience}",
            str(error),
            "Use a service account's credentials (in CI: workload identity), or make the service public.",
        ) from error
    SINK.learn(token)
    return token
