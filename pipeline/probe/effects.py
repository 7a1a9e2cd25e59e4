"""What ``machine.py`` wants done with sockets.  PURE."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a socket; answered by ``opened``, or by ``end``."""

    socket: str
    path: str


@dataclass(frozen=True, slots=True)
class Say:
    socket: str
    message: object


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close a socket with a code and see how the server takes it; answered by ``closed``."""

    socket: str
    code: int


Effect = Dial | Say | HangUp
