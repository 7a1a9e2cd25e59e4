"""Where an instance reads its own service, as in the cloud it does with the token of the metadata server.

A metadata server of ours could be asked by everybody on the machine. So an instance whose environment names an address of
the Admin API is given another in its place: of the REST face, with a key that stands for that service and for reading its
annotations alone. Instances end with the server, and so do its keys and its port.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from secrets import token_bytes

from pipeline.model import ADMIN_API, DRAIN_VARIABLE

_PREFIX = "/instances/"


class OwnService:
    """Args: annotations_of: of a service by its resource name; None where there is none."""

    def __init__(self, annotations_of: Callable[[str], Mapping[str, str] | None]) -> None:
        self._annotations_of = annotations_of
        self._secret = token_bytes(32)
        self.address = ""  # HOST:PORT of the REST face, once it listens

    def environment(self, service: str, env: Mapping[str, str]) -> Mapping[str, str]:
        """The variables of an instance of a service (a resource name), as it gets them."""
        if not env.get(DRAIN_VARIABLE, "").startswith(f"{ADMIN_API}/"):
            return env
        return {**env, DRAIN_VARIABLE: f"http://{self.address}{_PREFIX}{self._key(service)}/{service}"}

    def answer(self, verb: str, path: str) -> Mapping[str, object] | None:
        """What is read with a key; None where nothing is, which is no more than any other caller is told."""
        if verb != "GET" or not path.startswith(_PREFIX):
            return None
        key, _, service = path.removeprefix(_PREFIX).partition("/")
        if not key.isascii() or not hmac.compare_digest(key, self._key(service)):
            return None
        found = self._annotations_of(service)
        return None if found is None else {"name": service, "annotations": dict(found)}

    def _key(self, service: str) -> str:
        return hmac.new(self._secret, service.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
