"""From a host to a connection: each address is judged after resolution, and the one judged is connected to.

So a name that answers differently the second time (DNS rebinding) gains nothing. Behind a proxy it is the proxy that
resolves; there only the spelling can be judged.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from pipeline.probe.host import fold, refusal_of_resolved

_Made = TypeVar("_Made", bound=asyncio.BaseProtocol)
Found = tuple[int, Any]  # family and socket address
KNOWN_S = 5.0  # that a name leads where it led
_Asked = tuple[float, asyncio.Task[Sequence[Found]]]  # until when it counts, and what it came to
_KNOWN: ContextVar[dict[tuple[str, int, int], _Asked] | None] = ContextVar("_KNOWN", default=None)


class ForbiddenAddress(OSError):
    """A name leads to where no probe may go."""

    def __init__(self, host: str, address: str, why: str) -> None:
        super().__init__(errno.EACCES, f"refusing to connect: {host} resolves to {address}, and {why}")

    def __str__(self) -> str:
        return str(self.strerror)


def remember_names() -> None:
    """From here on, in this task and those that it creates, a name is looked up once in ``KNOWN_S``.

    Hundreds of sockets are opened at once, and a system makes few lookups at a time.
    """
    _KNOWN.set({})


async def resolve(host: str, port: int, family: int = socket.AF_UNSPEC) -> Sequence[Found]:
    """Every address of a host. Raises: ForbiddenAddress if one of them is; OSError when it has none."""
    known = _KNOWN.get()
    if known is None:
        return await _asked(host, port, family)
    loop = asyncio.get_running_loop()
    until, asked = known.get((host, port, family), (0.0, None))
    if asked is None or loop.time() >= until or (asked.done() and (asked.cancelled() or asked.exception())):
        asked = loop.create_task(_asked(host, port, family))
        asked.add_done_callback(
            lambda task: task.cancelled() or task.exception()
        )  # though nobody waits any more
        known[host, port, family] = loop.time() + KNOWN_S, asked
    return asked.result() if asked.done() else await asyncio.shield(asked)


async def _asked(host: str, port: int, family: int) -> Sequence[Found]:
    loop = asyncio.get_running_loop()
    rows = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    found: list[Found] = [(row[0], row[4]) for row in rows]
    for _, address in found:
        if why := refusal_of_resolved(fold(host), address[0]):
            raise ForbiddenAddress(host, address[0], why)
    if not found:
        raise OSError(errno.EADDRNOTAVAIL, f"{host} has no address")
    return found


async def dial(host: str, port: int, make: Callable[[], _Made]) -> tuple[asyncio.Transport, _Made]:
    """A connection, which is the caller's to close. Raises OSError: the last address's, when none answers."""
    loop = asyncio.get_running_loop()
    fault = OSError(errno.EADDRNOTAVAIL, f"{host} has no address")
    for _, address in await resolve(host, port):
        try:
            return await loop.create_connection(
                make, address[0], address[1]
            )  # an address is not resolved again
        except OSError as error:  # each loop has words of its own for it
            fault = OSError(error.errno, f"Connect call failed {address}") if error.errno else error
    raise fault
