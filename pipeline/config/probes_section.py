"""``probes:`` of ``spillway.yaml``: how often the scenarios are held, by whom, and how the service is reached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Struct, field

from pipeline.config.fields import Duration, Misplaced, between, not_empty, text_like, told, whole
from pipeline.errors import UserError
from pipeline.judging.terms import Probing
from pipeline.probe.ask import Address
from pipeline.probe.route import Ways
from pipeline.probe.steps import Tls
from pipeline.probe.target import check_address
from pipeline.probe.templates import SECRET, references
from pipeline.units import shown

_URL = text_like(r"https?://[^\s]+", "a URL that starts with https:// or http://")
#: what a handshake needs for itself, and our own mark
_TAKEN = (
    "host|connection|upgrade|content-length|transfer-encoding|authorization|x-spillway-probe|sec-websocket-.*"
)
_NAME = text_like(rf"(?i:(?!(?:{_TAKEN})$))[!#$%&'*+.^_`|~0-9A-Za-z-]+", "the name of a header of your own")
_VALUE = text_like(r"[!-~]([ -~]*[!-~])?", "printable text")


class RouteHeader(Struct, frozen=True, kw_only=True):
    """The request header by which a load balancer chooses the revision.

    Args:
        name: of the header.
        stable: its value for the stable revision.
        candidate: its value for the candidate.
    """

    name: Annotated[str, _NAME]
    stable: Annotated[str, _VALUE]
    candidate: Annotated[str, _VALUE]

    def __post_init__(self) -> None:
        if self.stable == self.candidate:
            raise Misplaced(
                ("candidate",), f"{shown(self.candidate)} leads to stable: it needs another value"
            )


class AddressConfig(Struct, frozen=True, kw_only=True):
    """Where probes go instead of the tags' addresses: a load balancer's. docs/reaching.md says how it is set up.

    Args:
        stable: the URL that leads to the tag `stable`.
        candidate: the URL that leads to the tag `candidate`.
        header: where one URL leads to both.
        audience: of the ID token that `id-token` asks for: the client ID of Identity-Aware Proxy; the service's own address without it.
    """

    stable: Annotated[str, not_empty, _URL]
    candidate: Annotated[str, not_empty, _URL]
    header: RouteHeader | None = None
    audience: Annotated[str, _VALUE] | None = None

    def __post_init__(self) -> None:
        for key in ("stable", "candidate"):
            try:
                check_address(Address(getattr(self, key)))
            except UserError as error:
                raise Misplaced((key,), error.what) from error
        if self.header is None and self.stable.rstrip("/") == self.candidate.rstrip("/"):
            raise Misplaced(
                ("candidate",),
                "the same URL as that of stable\n"
                "Without a header one URL leads to one revision.\n"
                "Give the candidate's, or the header that the load balancer chooses by.",
            )

    def build(self) -> Ways:
        led = self.header
        name, stable, candidate = ("", "", "") if led is None else (led.name, led.stable, led.candidate)
        return Ways(self.stable, self.candidate, name, stable, candidate, self.audience or "")


class ProbeJobConfig(Struct, frozen=True, kw_only=True):
    """A Cloud Run job in the service's network that holds the probes' rounds. docs/reaching.md says what it needs.

    Args:
        image: of a container that runs `spillway`, with this file; the Pulumi program declares the job.
        service_account: that the job runs as; left out, the project's default.
        secrets: variables of the job by name, each a secret of Secret Manager.
        network: the VPC network that the job sends its traffic through.
        subnetwork: of that network, in the service's region.
        within: how long one round may take, the start of its container included.
    """

    image: Annotated[str, not_empty]
    service_account: Annotated[str, not_empty] | None = None
    secrets: dict[str, Annotated[str, not_empty]] = field(default_factory=dict)
    network: Annotated[str, not_empty] | None = None
    subnetwork: Annotated[str, not_empty] | None = None
    within: Annotated[Duration, between("10s", "9m")] = timedelta(minutes=5)  # a step of a watchdog has ten

    def __post_init__(self) -> None:
        if not (self.network or self.subnetwork):
            raise Misplaced(
                ("image",),
                "needs a network or a subnetwork beside it\n"
                "Without one the job is no more inside than this machine, and tag addresses answer it 404.\n"
                "Name one that the service's ingress lets in: network: default",
            )


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


class ProbesConfig(Struct, frozen=True, kw_only=True):
    """How often the scenarios are held.

    Args:
        every: from one round to the next.
        sessions: conversations per scenario and round.
        concurrency: conversations at once.
        address: where they go instead of the tags' addresses, in every environment that has none of its own.
        tls: certificates, where an address is https.
        from_: `here` is the machine that drives the rollout; `job` is a Cloud Run job inside the service's network.
        job: that job, in every environment that has none of its own.
    """

    every: Annotated[Duration, between("100ms", "1d")] = timedelta(seconds=10)
    sessions: Annotated[int, whole(1, 1000)] = 5
    concurrency: Annotated[int, whole(1, 500)] = 5
    address: AddressConfig | None = None
    tls: TlsConfig | None = None
    from_: Literal["here", "job"] = field(default="here", name="from")
    job: ProbeJobConfig | None = None

    def build(self) -> Probing:
        return Probing(self.every, self.sessions, self.concurrency)
