"""What a host name comes to, and which addresses no probe may talk to.

A name is folded first: full-width and circled digits, ideographic full stops, soft hyphens, a dot at the end, and the old
spellings of IPv4 that resolvers take (``0xa9fea9fe``, ``2852039166``, ``0251.0376.0251.0376``). What is judged is what
is then connected to, so no second reading by another library can come to another host.
"""

from __future__ import annotations

import re
import socket
import unicodedata
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Ip = IPv4Address | IPv6Address

_FULL_STOPS = re.compile("[\u3002\uff0e\uff61]")
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_METADATA_NAMES = frozenset({
    "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
})  # fmt: skip
#: beside link-local 169.254.0.0/16 and fe80::/10. Source: each vendor's page on instance metadata.
_METADATA = frozenset(
    map(ip_address, ("fd20:ce::254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
#: where the last 32 bits are an IPv4 address: NAT64 twice, translated, compatible
_EMBEDDING = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")))
_THIS_NETWORK = 1 << 24  # 0.0.0.0/8: this machine, to most systems


@lru_cache
def fold(host: str) -> str:
    """The host as ASCII in small letters, an address in its usual spelling. Raises ValueError for what is no host."""
    if ":" in host:
        return str(ip_address(host.lower()))
    name = _FULL_STOPS.sub(".", unicodedata.normalize("NFKC", host)).lower()
    name = name.encode("idna").decode("ascii").lower().removesuffix(".")
    if not _NAME.fullmatch(name):
        raise ValueError("the host has a character that no host name has")
    try:
        return str(IPv4Address(socket.inet_aton(name)))
    except OSError:
        return name


def refusal(host: str) -> str:
    """Why no probe may talk to a folded host, as far as its spelling tells; empty when one may."""
    address = literal(host)
    if address is not None:
        return refusal_of(address)
    return _BESIDE_METADATA if host in _METADATA_NAMES else ""


_BESIDE_METADATA = "it is (or is beside) the metadata server, which hands out credentials"


def refusal_of(address: Ip) -> str:
    """Why no probe may talk to an address, in any of the spellings that IPv6 has for one of IPv4; empty when one may."""
    for each in _readings(address):
        if each.is_link_local or each in _METADATA:
            return _BESIDE_METADATA
        if each.is_unspecified or (each.version == 4 and int(each) < _THIS_NETWORK):
            return "it is no machine's address"
        if each.is_multicast:
            return "it is the address of a group, not of a machine"
    return ""


@lru_cache
def refusal_of_resolved(host: str, spelt: str) -> str:
    """The same for the address that a name was resolved to: a name from afar must not lead to this machine."""
    address = ip_address(spelt)
    if not is_local(host) and any(each.is_loopback for each in _readings(address)):
        return "it is this machine"
    return refusal_of(address)


@lru_cache
def is_local(host: str) -> bool:
    """Whether a folded host says itself that it is this machine."""
    address = literal(host)
    if address is not None:
        return any(each.is_loopback for each in _readings(address))
    return host == "localhost" or host.endswith(".localhost")


def literal(host: str) -> Ip | None:
    """The address that a folded host spells."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _readings(address: Ip) -> tuple[Ip, ...]:
    """The address, and those of IPv4 that stand in it."""
    if isinstance(address, IPv4Address):
        return (address,)
    inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    tail = int(address) & 0xFFFF_FFFF
    if tail > 0xFFFF and any(address in network for network in _EMBEDDING):  # not :: and ::1
        inside.append(IPv4Address(tail))
    found = tuple(each for each in inside if each is not None)
    return found if address.ipv4_mapped else (address, *found)
