"""What ``machine.py`` wants done with sockets.  PURE."""

from __future__ import annotations

from msgspec import Struct


class Dial(Struct, frozen=True):
    """Open a socket; answered by ``opened``, or by ``end``."""

    socket: str
    path: str


class Say(Struct, frozen=True):
    socket: str
    message: object


class HangUp(Struct, frozen=True):
    """Close a socket with a code and see how the server takes it; answered by ``closed``."""

    socket: str
    code: int


Effect = Dial | Say | HangUp
