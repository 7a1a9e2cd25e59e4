"""``tls:`` of a scenario, and of ``probes:`` for all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Struct

from pipeline.config.fields import Misplaced, not_empty, told
from pipeline.probe.steps import Tls
from pipeline.probe.templates import SECRET, references

_ELSEWHERE = r"\$\{(env|file):[^{}]+\}"


@told(pattern=f"^{_ELSEWHERE}$")
def _elsewhere(value: str) -> str:
    """The value as it is. Raises ValueError, which does not repeat it."""
    if not re.fullmatch(_ELSEWHERE, value):
        raise ValueError("must be a secret that stands elsewhere: ${env:NAME} or ${file:PATH}")
    return value


class TlsConfig(Struct, frozen=True, kw_only=True):
    """Certificates, where an address is https. Each is a path from this file's folder, or `${file:...}`, `${env:...}`; all are PEM.

    Args:
        certificate: that probes show to a service that asks for one, and those between it and its root.
        key: of the certificate, unless it stands in the same file.
        password: of the key, where it is encrypted: `${env:NAME}` or `${file:PATH}`.
        ca: the roots by which the service is trusted, instead of the system's.
    """

    certificate: Annotated[str, not_empty] | None = None
    key: Annotated[str, not_empty] | None = None
    password: Annotated[str, _elsewhere] | None = None
    ca: Annotated[str, not_empty] | None = None

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "dependencies": {"key": ["certificate"], "password": ["certificate"]},
        "anyOf": [{"required": ["certificate"]}, {"required": ["ca"]}],
    }

    def __post_init__(self) -> None:
        if self.certificate is None and (self.key or self.password):
            raise ValueError("a key and its password belong to a certificate")
        if self.certificate is None and self.ca is None:
            raise ValueError("needs a certificate, or the ca by which the service is trusted")
        for name in ("certificate", "key", "ca"):
            try:
                found = list(references(getattr(self, name)))
            except ValueError as error:
                raise Misplaced((name,), str(error)) from None
            if any(each.kind not in SECRET for each in found):
                raise Misplaced((name,), "only ${env:NAME} and ${file:PATH} are known here")

    def build(self) -> Tls:
        return Tls(self.certificate or "", self.key or "", self.password or "", self.ca or "")
