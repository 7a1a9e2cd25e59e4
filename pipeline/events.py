"""What the engine tells while it works: for the live view, the line mode and the journal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing that happened. ``kind`` is a short verb; ``data`` holds plain values (and ``look`` for "looked").

    ``of``: the rollout that it is about, where that may be another one than the driver's own."""

    at: datetime
    kind: str
    text: str
    data: Mapping[str, object] = field(default_factory=dict)


class Listener(Protocol):
    def __call__(self, progress: Progress, /) -> None: ...


def unheard(_: Progress, /) -> None:
    """A listener for whoever has none."""


def harmless(listener: Listener) -> Listener:
    """The same listener, unable to stop who speaks to it: whatever it raises, traffic comes first."""

    def heard(progress: Progress, /) -> None:
        with suppress(Exception):
            listener(progress)

    return heard
