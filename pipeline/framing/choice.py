"""Which framing a scenario speaks, by name.  PURE."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.framing.json_text import Json
from pipeline.framing.protocol import Framing


@dataclass(frozen=True, slots=True)
class Choice:
    """A framing's name."""

    name: str = "json"

    def connect(self) -> Framing:
        """A new object, for one connection."""
        return Json()


JSON = Choice()
