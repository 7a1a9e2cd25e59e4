"""What was said in a conversation, as far as anybody reads it.  PURE."""

from __future__ import annotations

from msgspec import Struct, field

from pipeline.framing.protocol import Frame
from pipeline.probe.conversation import Message
from pipeline.probe.steps import MAIN
from pipeline.redact import SINK

MESSAGES = 200
MESSAGE_BYTES = 4096  # of each


class Transcript(Struct):
    """Of each of the first messages: when, whether by us, on which socket, and how it began."""

    _said: list[tuple[float, bool, str, Frame]] = field(default_factory=list)

    def note(self, at_s: float, socket: str, frame: Frame, *, sent: bool) -> None:
        if len(self._said) < MESSAGES:
            self._said.append((at_s, sent, socket, frame[: 4 * MESSAGE_BYTES]))

    @property
    def shown(self) -> tuple[Message, ...]:
        """Without secrets: looked for only now, since hardly any conversation is shown."""
        return tuple(Message(at_s, sent, _shown(socket, start)) for at_s, sent, socket, start in self._said)


def _shown(socket: str, start: Frame) -> str:
    text = start if isinstance(start, str) else start.decode(errors="replace")
    text = text if socket == MAIN else f"({socket}) {text}"
    return SINK.cut(text, MESSAGE_BYTES).encode(errors="replace")[:MESSAGE_BYTES].decode(errors="ignore")
