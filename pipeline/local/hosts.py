"""Which names a caller may use for this machine.  Everything that listens here asks it of the Host header."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


def is_ours(hosts: Sequence[str], port: int, *, is_public: bool) -> bool:
    """Whether the one Host line names this address and not a name that was bound to it (DNS rebinding).

    Args:
        is_public: other machines can reach it, by an address of this one.
    """
    if len(hosts) != 1:
        return False
    name, _, given = hosts[0].lower().rpartition(":")
    if given != str(port):
        return False
    return name in _LOOPBACK_NAMES or (is_public and is_address(name))


def is_address(name: str) -> bool:
    """An address cannot be rebound: only names can."""
    with suppress(ValueError):
        ip_address(name.strip("[]"))
        return True
    return False
