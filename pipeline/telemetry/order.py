"""A drain order: what asks the instances of a revision to close their sockets.  PURE.

It is one JSON object, by itself or as the annotation ``spillway.rollout/drain`` of the service's resource:

    {"revision": "agent-chat-2f1c", "at": "2026-11-27T19:00:00+00:00", "within_s": 600}

An instance carries out an order for its own revision that is no older than ten minutes. An older one is of the past: the
revision may have traffic again by now.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.telemetry.settings import object_of

ANNOTATION = "spillway.rollout/drain"
OLDEST = timedelta(minutes=10)
_CLOCKS_AGREE = timedelta(minutes=1)
_LONGEST_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Order:
    """Args: at: when it was given, aware. within: from then until the last socket is to be gone."""

    revision: str
    at: datetime
    within: timedelta

    def encode(self) -> str:
        at, within_s = self.at.astimezone(UTC).isoformat(), self.within.total_seconds()
        row = {"revision": self.revision, "at": at, "within_s": within_s}
        return json.dumps(row, separators=(",", ":"))

    def is_fresh(self, now: datetime) -> bool:
        """One from the future is of a clock that is wrong, or of somebody who wants it to be kept for ever."""
        return -_CLOCKS_AGREE <= now - self.at <= OLDEST

    @property
    def until(self) -> datetime:
        return self.at + self.within


def order_in(body: bytes | str) -> Order | None:
    """The order that a document holds: None where it holds none. Raises ValueError for what is no such document."""
    said = object_of(json.loads(body))
    if "revision" in said:
        return _order(said)
    text = object_of(said.get("annotations", {})).get(ANNOTATION)
    return _order(object_of(json.loads(text))) if isinstance(text, str) and text else None


def _order(said: Mapping[str, object]) -> Order:
    match said:
        case {"revision": str(revision), "at": str(at), "within_s": int() | float() as within_s} if revision:
            moment = datetime.fromisoformat(at)
            is_long = type(within_s) is not bool and math.isfinite(within_s) and 0 < within_s <= _LONGEST_S
            if moment.tzinfo is not None and is_long:
                return Order(revision, moment.astimezone(UTC), timedelta(seconds=within_s))
    raise ValueError(
        "no order: revision, at (with its zone) and within_s (seconds, at most a day) are wanted"
    )
