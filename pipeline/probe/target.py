"""Where a probe may talk to, and by which URL and proxy it gets there."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from pipeline.errors import UserError
from pipeline.probe.ask import Address
from pipeline.probe.host import fold, is_local, refusal

_SECURE = {"http": False, "ws": False, "https": True, "wss": True}


def check_address(address: Address) -> None:
    """Return if a probe may talk to it.

    Raises: UserError for another scheme, credentials in the URL, the metadata server, or an ID token that would
        travel unencrypted.
    """
    parts = _split(address.base_url)
    shown = f"{parts.scheme}://{parts.hostname or ''}"  # never the credentials
    if parts.scheme not in _SECURE or not parts.hostname:
        raise UserError(
            f"cannot probe {shown}: not a http, https, ws or wss URL with a host",
            "A scheme and a host are what a socket is opened by.",
            "Write both: spillway probe http://HOST:PORT",
        )
    if parts.username is not None or parts.password is not None:
        raise UserError(
            f"cannot probe {shown}: the URL carries credentials", fix="Write headers into the scenario."
        )
    if parts.query or parts.fragment:
        raise UserError(
            f"cannot probe {shown}: the URL has a query or fragment", fix="Write it into the scenario's path."
        )
    host = _host(parts)
    if why := refusal(host):
        raise UserError(f"refusing to probe {shown}: {why}")
    if address.audience and not _SECURE[parts.scheme] and not is_local(host):
        raise UserError(f"refusing to send an ID token to {shown} unencrypted", fix="Use https or wss.")


def is_secure(base_url: str) -> bool:
    """Whether TLS is spoken there."""
    return _SECURE[_split(base_url).scheme]


@lru_cache
def socket_url(base_url: str, path: str) -> str:
    """The WebSocket URL of ``path`` (which starts with a slash) at a base URL of any of the four schemes."""
    return _joined(base_url, path, ("ws", "wss"))


def http_url(base_url: str, path: str) -> str:
    return _joined(base_url, path, ("http", "https"))


def proxy_for(url: str) -> str | None:
    """The proxy that the environment asks for; none for loopback, where a proxy would reach another machine."""
    host, _ = target_of(url)
    if is_local(host):
        return None
    from urllib.request import getproxies, proxy_bypass  # and HTTP with it: not for who only reads addresses

    if proxy_bypass(host):
        return None
    return getproxies().get("https" if _SECURE[_split(url).scheme] else "http")


@lru_cache
def target_of(url: str) -> tuple[str, int]:
    """Folded host and port."""
    parts = _split(url)
    return _host(parts), parts.port or (443 if _SECURE[parts.scheme] else 80)


@lru_cache
def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = (parts.port, _host(parts))  # what is wrong with them shows when they are used
    except ValueError as error:
        raise UserError("cannot probe this URL", f"{error}.".replace("..", ".")) from error
    return parts


def _host(parts: SplitResult) -> str:
    return fold(parts.hostname) if parts.hostname else ""


def _joined(base_url: str, path: str, schemes: tuple[str, str]) -> str:
    """With the host as it was judged: another library may read another host out of the same text."""
    parts = _split(base_url)
    host = _host(parts)
    place = (f"[{host}]" if ":" in host else host) + (f":{parts.port}" if parts.port is not None else "")
    return f"{schemes[_SECURE[parts.scheme]]}://{place}{parts.path.rstrip('/')}{path}"
