"""``text``: frames that are no JSON, read by a pattern.  PURE."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pipeline.framing.json_text import only_text
from pipeline.framing.patterns import reach
from pipeline.framing.protocol import AtOnce, Decoded, Frame


class PlainText(AtOnce):
    """A frame is a message ``{text: ...}``, with a field for each named group of the pattern.

    Args:
        pattern: a regular expression, searched for in as much of the beginning as is done in time.
    """

    def __init__(self, *, pattern: str = "") -> None:
        self._pattern, self._reach = re.compile(pattern), reach(pattern)

    def encode(self, message: object) -> Iterable[Frame]:
        text = message.get("text") if isinstance(message, Mapping) else message
        if not isinstance(text, str):
            raise TypeError("neither a text nor {text: ...}")
        return (text,)

    def decode(self, frame: Frame) -> Decoded:
        text = only_text(frame, "text")
        found = self._pattern.search(text[: self._reach])
        groups = (
            {name: value for name, value in found.groupdict().items() if value is not None} if found else {}
        )
        return Decoded(({"text": text, **groups},))
