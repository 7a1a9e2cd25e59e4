"""``address:`` of ``probes:`` in ``spillway.yaml``: ways to the revisions where their tags' own addresses answer 404."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from pipeline.config.fields import Misplaced, not_empty, text_like
from pipeline.errors import UserError
from pipeline.probe.ask import Address
from pipeline.probe.route import Ways
from pipeline.probe.target import check_address
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
