"""The Authorization header for a service that does not take everyone's calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.errors import AccessError
from pipeline.probe.scenario import Address

#: audience -> ID token, with errors of ``errors.py``. May block: it asks a metadata server or reads a key.
TokenSource = Callable[[str], str]


def authorization(address: Address, token: TokenSource | None) -> Mapping[str, str]:
    """The header with an ID token where the address asks for one, else no header.

    Raises: AccessError when nobody can give a token; whatever the token source raises.
    """
    if not address.audience:
        return {}
    if token is None:
        raise AccessError(
            f"probing {address.base_url} needs an ID token for {address.audience}",
            "No source of ID tokens is set up here.",
            "Run with a service account's credentials, or let the service take unauthenticated calls.",
        )
    return {"Authorization": f"Bearer {token(address.audience)}"}
