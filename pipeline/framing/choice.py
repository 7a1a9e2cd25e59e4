"""Which framing a scenario speaks, and with which options.  PURE."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.framing.fields import field_at
from pipeline.framing.names import FRAMINGS
from pipeline.framing.protocol import CannotSpeak, Decoded, Frame, Framing


@dataclass(frozen=True, slots=True)
class Choice:
    """A framing.

    Args:
        name: of ``names.py``, or a class: ``package.module:Class``.
        options: keywords that it is made with.
        ignore: heartbeats: whole frames of text, and messages that say this of themselves at ``type_path``.
        own: makes an object of the class, where it is one; raises CannotSpeak.
    """

    name: str = "json"
    options: Mapping[str, object] = field(default_factory=dict)
    type_path: str = "type"
    ignore: tuple[str, ...] = ()
    own: Callable[..., Framing] | None = None

    @property
    def is_http(self) -> bool:
        """It is spoken in the body of an HTTP response, not on a WebSocket."""
        return self.name in FRAMINGS and FRAMINGS[self.name].is_http

    def connect(self) -> Framing:
        """A new object, for one connection. Raises CannotSpeak."""
        made = (self.own or FRAMINGS[self.name].make)(**self.options)
        return _Ignoring(made, self.ignore, self.type_path) if self.ignore else made

    def told(self) -> dict[str, object]:
        """What the middleware is told, to read frames by: nothing for plain JSON, and never what may be secret."""
        known = FRAMINGS[self.name].options if self.name in FRAMINGS else {}
        options = {key: value for key, value in self.options.items() if key in known and known[key].is_told}
        return {} if self.name == "json" else {"name": self.name, **options}

    def seen(self, message: object) -> object:
        """The message as the other side decodes it; as it stands where that takes a class of the user's, or cannot be."""
        if self.own:
            return message
        try:
            framing = FRAMINGS[self.name].make(**self.options)
            (decoded,) = [
                each for frame in framing.encode(message) for each in framing.decode(frame).messages
            ]
        except (ValueError, TypeError, CannotSpeak):
            return message
        return decoded


class _Ignoring:
    """A framing without its heartbeats."""

    def __init__(self, inner: Framing, words: tuple[str, ...], type_path: str) -> None:
        self._inner, self._words, self._type_path = inner, words, type_path

    @property
    def is_ready(self) -> bool:
        return self._inner.is_ready

    def opening(self) -> Iterable[Frame]:
        return self._inner.opening()

    def encode(self, message: object) -> Iterable[Frame]:
        return self._inner.encode(message)

    def decode(self, frame: Frame) -> Decoded:
        if isinstance(frame, str) and frame in self._words:
            return Decoded()
        decoded = self._inner.decode(frame)
        kept = tuple(each for each in decoded.messages if field_at(each, self._type_path) not in self._words)
        return Decoded(kept, decoded.replies)


JSON = Choice()
