"""Which port belongs to which service and tag; kept in the state folder, so that addresses outlive restarts.

Ports are taken below the range from which systems lend ports to outgoing connections: a client's socket must not sit on
a service's address when it comes back.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from zlib import crc32

import msgspec
import structlog

from pipeline import private
from pipeline.errors import SpillwayError

_FIRST, _COUNT = 20_000, 12_000
_BACKLOG = 1024

log = structlog.get_logger(__name__)


def in_url(address: str) -> str:
    """An IP address as it stands before a colon and a port."""
    return f"[{address}]" if ":" in address else address


def reachable(bind: str) -> str:
    """The host under which clients on this machine reach what listens on an address, ready for a URL."""
    if ip_address(bind).is_unspecified:
        return "[::1]" if ":" in bind else "127.0.0.1"
    return in_url(bind)


def listen(address: str, port: int) -> socket.socket:
    """A socket that listens there; 0 takes any port. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio: else no TCP_NODELAY
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


class PortBook:
    """Listening sockets by (service, tag); the tag ``""`` is the service's main address.

    A port is bound when it is first promised, so nobody else can take it in between; connections that come before it
    is served wait.
    """

    def __init__(self, folder: Path, bind: str = "127.0.0.1") -> None:
        self.bind = bind
        self._file = folder / "ports.json"
        self._ports: dict[str, int] = {}
        self._sockets: dict[str, socket.socket] = {}
        if self._file.exists():
            try:
                self._ports = msgspec.json.decode(self._file.read_bytes(), type=dict[str, int])
            except (ValueError, msgspec.DecodeError, RecursionError) as error:
                raise SpillwayError(
                    f"{self._file}: not a list of ports", str(error),
                    f"Move it away and start again: mv {self._file} {self._file}.bad",
                ) from error  # fmt: skip

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach it."""
        return not ip_address(self.bind).is_loopback

    def port(self, service: str, tag: str) -> int:
        """The port, allotted at first use."""
        key = f"{service}#{tag}"
        if key not in self._ports:
            self.listener(service, tag)
        return self._ports[key]

    def listener(self, service: str, tag: str) -> socket.socket:
        """The socket that listens there. A port that somebody else took meanwhile is given up for another."""
        key = f"{service}#{tag}"
        if key not in self._sockets:
            promised = self._ports.get(key)
            sock = self._sockets[key] = self._take(key, promised)
            port = int(sock.getsockname()[1])
            if promised not in (None, port):
                log.warning(
                    "address taken by somebody else", service=service, tag=tag, was=promised, now=port
                )
            if promised != port:
                self._ports[key] = port
                self._save()
        return self._sockets[key]

    def release(self, service: str, tag: str) -> None:
        """Stop listening; the number stays promised."""
        if sock := self._sockets.pop(f"{service}#{tag}", None):
            sock.close()

    def forget(self, service: str) -> None:
        """Stop listening, and give the numbers back."""
        for key in [key for key in self._ports if key.startswith(f"{service}#")]:
            self.release(service, key.partition("#")[2])
            del self._ports[key]
        self._save()

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    def _take(self, key: str, promised: int | None) -> socket.socket:
        for port in self._candidates(key, promised):
            with suppress(OSError):
                return listen(self.bind, port)
        raise OSError(f"no free port on {self.bind} between {_FIRST} and {_FIRST + _COUNT}")

    def _candidates(self, key: str, promised: int | None) -> Iterator[int]:
        if promised is not None:
            yield promised
        others = set(self._ports.values())
        start = crc32(f"{self._file} {key}".encode())  # services of other folders begin elsewhere
        yield from (p for i in range(_COUNT) if (p := _FIRST + (start + i) % _COUNT) not in others)

    def _save(self) -> None:
        try:
            private.write(self._file, json.dumps(self._ports, indent=1, sort_keys=True))
        except OSError as fault:  # an address that changes with a restart is better than none
            log.warning("addresses not saved", why=str(fault))
