"""Where a probe may talk to, and by which URL and proxy it gets there."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from pipeline.errors import UserError
from pipeline.probe.scenario import Address

_SECURE = {"http": False, "ws": False, "https": True, "wss": True}
_METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog"})
_METADATA_IPV6 = IPv6Address("fd20:ce::254")


def check_address(address: Address) -> None:
    """Return if a probe may talk to it.

    Raises: UserError for another scheme, credentials in the URL, the metadata server, or an ID token that would
        travel unencrypted.
    """
    parts = _split(address.base_url)
    shown = f"{parts.scheme}://{parts.hostname or ''}"  # never the credentials
    if parts.scheme not in _SECURE or not parts.hostname:
        raise UserError(f"cannot probe {shown}: not a http, https, ws or wss URL with a host")
    if parts.username is not None or parts.password is not None:
        raise UserError(
            f"cannot probe {shown}: the URL carries credentials", fix="Write headers into the scenario."
        )
    if parts.query or parts.fragment:
        raise UserError(
            f"cannot probe {shown}: the URL has a query or fragment", fix="Write it into the scenario's path."
        )
    if _is_metadata(parts.hostname):
        raise UserError(
            f"refusing to probe {shown}: it is (or is beside) the metadata server, which hands out credentials"
        )
    if address.audience and not _SECURE[parts.scheme] and not _is_loopback(parts.hostname):
        raise UserError(f"refusing to send an ID token to {shown} unencrypted", fix="Use https or wss.")


def socket_url(base_url: str, path: str) -> str:
    """The WebSocket URL of ``path`` (which starts with a slash) at a base URL of any of the four schemes."""
    return _joined(base_url, path, ("ws", "wss"))


def http_url(base_url: str, path: str) -> str:
    return _joined(base_url, path, ("http", "https"))


def proxy_for(url: str) -> str | None:
    """The proxy that the environment asks for; none for loopback, where a proxy would reach another machine."""
    parts = _split(url)
    host = parts.hostname or ""
    if _is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get("https" if _SECURE[parts.scheme] else "http")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = (
            parts.port,
            (parts.hostname or "").encode("idna"),
        )  # what is wrong with them shows when they are used
    except ValueError as error:
        raise UserError("cannot probe this URL", str(error)) from error
    return parts


def _joined(base_url: str, path: str, schemes: tuple[str, str]) -> str:
    parts = _split(base_url)
    return f"{schemes[_SECURE[parts.scheme]]}://{parts.netloc}{parts.path.rstrip('/')}{path}"


def _is_metadata(host: str) -> bool:
    address = _literal(host)
    if address is None:
        return host.rstrip(".").lower() in _METADATA_NAMES
    return address.is_link_local or address == _METADATA_IPV6


def _is_loopback(host: str) -> bool:
    address = _literal(host)
    return address.is_loopback if address else host.rstrip(".").lower() == "localhost"


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that ``host`` spells, also in the old ways that a resolver takes (``0xa9fea9fe``, ``2852039166``)."""
    try:
        address = ip_address(host)
    except ValueError:
        try:
            return IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
