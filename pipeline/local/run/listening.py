"""What the processes of an instance listen on, to tell about one that does not listen where it should. Linux alone."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from pipeline.local.run import strays

_LISTEN = "0A"  # the state's number in /proc/net/tcp


def elsewhere(token: str, port: int) -> str:
    """``it listens on 8080, not on $PORT``, or empty when it listens on nothing that can be seen."""
    found = sorted(set(_addresses(sockets(strays.pids(token)))))
    if not found:
        return ""
    by_port = [address for address, number in found if number == port]
    if by_port:
        return f"it listens on $PORT of {', '.join(by_port)} alone, not of 127.0.0.1"
    numbers = ", ".join(str(number) for number in dict.fromkeys(number for _, number in found))
    return f"it listens on {numbers}, not on $PORT"


def sockets(pids: Iterable[int]) -> set[str]:
    """Inodes of the sockets that the processes hold open."""
    found: set[str] = set()
    for pid in pids:
        with suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    kind, _, inode = str(descriptor.readlink()).partition(":[")
                    if kind == "socket":
                        found.add(inode.rstrip("]"))
    return found


def rows(state: str) -> Iterator[tuple[str, str, str]]:
    """Of the kernel's tables: local and remote ``ADDRESS:PORT`` in hexadecimal, and inode, of the sockets in a state."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == state:
                    yield fields[1], fields[2], fields[9]


def _addresses(inodes: set[str]) -> Iterator[tuple[str, int]]:
    for local, _, inode in rows(_LISTEN):
        if inode in inodes:
            address, _, port = local.partition(":")
            yield _address(address), int(port, 16)


def _address(shown: str) -> str:
    """Four or sixteen bytes, printed as numbers of 32 bits in the machine's own order."""
    words = bytes.fromhex(shown)
    packed = (
        b"".join(words[n : n + 4][::-1] for n in range(0, len(words), 4))
        if sys.byteorder == "little"
        else words
    )
    return str(ip_address(socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)))
