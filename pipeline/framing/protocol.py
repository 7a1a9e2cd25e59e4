"""How messages stand in the frames of a connection: what each framing offers to probe and telemetry.  PURE.

Theory of operation. A *frame* is what the transport carries: the text or the bytes of one WebSocket message. A *message*
is what a scenario is written about: a JSON-like value. One object per connection knows how one stands in the other, and
whatever else the protocol wants said meanwhile (a handshake, the answer to a ping); it touches no socket and no clock.
Standard library only: the telemetry brings this folder along into other people's services.

    framing = choice.connect()
    send(framing.opening())                         the first frames, before any message
    while not framing.is_ready: hear()              where the protocol insists on an answer to them
    send(framing.encode(message))
    hear: decoded = framing.decode(frame); send(decoded.replies); look at decoded.messages
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

Frame = str | bytes
MOST_MESSAGES = 10_000  # in one frame


class BadFrame(ValueError):
    """What came is not of this framing. Its text is the outcome's detail: "a message that is not JSON".

    Args:
        said: the peer's own words, whole: who shows them cuts them once their secrets are out, or shows half a secret.
    """

    def __init__(self, words: str = "", said: object = "") -> None:
        super().__init__(words)
        self.said = said

    def __str__(self) -> str:
        words = super().__str__()
        return f"{words}: {self.said}" if self.said != "" else words


class Declined(BadFrame):
    """The peer refused the connection in this framing's own words: a connect error, a failed handshake."""


class CannotSpeak(Exception):
    """A framing cannot be spoken here, which is no fault of the service: a library or a class is missing, or fails.

    Args:
        fix: what to do about it.
    """

    def __init__(self, words: str, fix: str = "") -> None:
        super().__init__(words)
        self.fix = fix


class Decoded(NamedTuple):
    """What one frame came to.

    Args:
        messages: in order; none for a heartbeat, or for a part of a message that is not whole yet.
        replies: frames that the protocol wants sent at once, whoever speaks it: a pong, an acknowledgement.
    """

    messages: tuple[object, ...] = ()
    replies: tuple[Frame, ...] = ()


class Framing(Protocol):
    """One connection's. Both sides' frames are decoded alike: the telemetry has one object for each direction."""

    @property
    def is_ready(self) -> bool:
        """Whether messages may be sent: all that ``opening`` asked for has been answered."""

    def opening(self) -> Iterable[Frame]:
        """Frames that a client sends first. Called once."""

    def encode(self, message: object) -> Iterable[Frame]:
        """The frames of one message, as ``decode`` reads them. Raises ValueError or TypeError for what is no message."""

    def decode(self, frame: Frame) -> Decoded:
        """What a frame of the peer's holds. Raises BadFrame."""


class AtOnce:
    """What the framings have in common that begin with nothing: messages may be sent from the first moment on."""

    is_ready = True

    def opening(self) -> Iterable[Frame]:
        return ()
