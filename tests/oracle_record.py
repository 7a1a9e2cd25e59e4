"""A record as the oracle reads it: plain JSON, by names that are the record's format, none of the pipeline's code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.model import CANDIDATE_TAG, STABLE_TAG, LiveService
from tests.rollouts import CANDIDATE, STABLE

_UNDER_WAY = ("deploying", "rolling", "rolling_back")
LEGAL = frozenset(
    {(phase, phase) for phase in ("deploying", "rolling", "paused", "rolling_back", "promoted")}
    | {("deploying", "rolling"), ("deploying", "paused"), ("deploying", "rolling_back")}
    | {("rolling", "paused"), ("rolling", "promoted"), ("rolling", "rolling_back")}
    | {("paused", "rolling"), ("paused", "deploying"), ("paused", "rolling_back")}
    | {("promoted", "rolling_back"), ("rolling_back", "rolled_back"), ("rolled_back", "rolling_back")}
)


@dataclass(frozen=True, slots=True)
class Written:
    """The text of a record, parsed."""

    body: dict[str, Any]

    @classmethod
    def of(cls, text: str | None) -> Written | None:
        """None when there is none, or none of this service that can be read."""
        if text is None or len(text) > 100_000:
            return None
        try:
            body = json.loads(text, parse_constant=_refuse)
            is_ours = body["v"] == 3 and body["plan"]["ref"]["service"] == "agent-chat"
            return cls(body) if is_ours and isinstance(body["epoch"], int) else None
        except (ValueError, KeyError, TypeError, RecursionError):
            return None

    @property
    def attempt_id(self) -> tuple[str, int, str]:
        return self.body["plan"]["rollout_id"], self.body.get("attempt", 1), self.body["started"]

    @property
    def epoch(self) -> int:
        return self.body["epoch"]

    @property
    def phase(self) -> str:
        return self.body["phase"]

    @property
    def driver(self) -> str:
        return self.body.get("driver", "")

    @property
    def is_driven(self) -> bool:
        return self.phase in _UNDER_WAY

    @property
    def drift(self) -> str:
        return self.body.get("drift", "")

    @property
    def reason(self) -> str:
        return self.body.get("reason", "")

    @property
    def by_hand(self) -> bool:
        return self.body.get("by_hand", False)

    @property
    def candidate_uid(self) -> str:
        return self.body.get("candidate_uid", "")

    @property
    def event(self) -> str:
        """Of the last line of its history."""
        return self._step.get("event", "")

    def step_by(self, who: str) -> bool:
        """Whether the last thing that was done was done in this name."""
        return self._step.get("by", "") == who

    @property
    def _step(self) -> dict[str, Any]:
        history = self.body.get("history") or [{}]
        return history[-1]

    @property
    def share(self) -> int:
        """The candidate's, by the record's own split."""
        targets = self.body["split"]["targets"]
        return sum(t.get("percent", 0) for t in targets if t["revision"] == CANDIDATE)

    @property
    def since(self) -> datetime:
        return datetime.fromisoformat(self.body["since"])

    @property
    def split_epoch(self) -> int:
        return self.body.get("split_epoch", 0)

    @property
    def arrived(self) -> datetime | None:
        return _moment(self.body.get("arrived"))

    @property
    def spans(self) -> list[tuple[int, datetime, datetime, datetime | None]]:
        """The splits before this one: epoch, begin, end, and when it was seen."""
        return [
            (
                s["split_epoch"],
                datetime.fromisoformat(s["since"]),
                datetime.fromisoformat(s["until"]),
                _moment(s.get("arrived")),
            )
            for s in self.body.get("spans", ())
        ]

    @property
    def judge(self) -> dict[str, Any]:
        return self.body.get("judge") or {}


def is_misled(live: LiveService) -> bool:
    """Somebody took the record away and put the stable tag elsewhere: nothing is left that says what was good."""
    return live.wanted.tagged(STABLE_TAG) not in (None, STABLE) and Written.of(live.record_text) is None


def changed(before: LiveService, after: LiveService) -> str:
    """What a write changed of what is ours, in words."""
    was, now = (Written.of(live.record_text) for live in (before, after))
    is_same = before.record_text == after.record_text or (was is not None and was == now)
    return moved(before, after) if is_same else "the record was changed"


def moved(before: LiveService, after: LiveService) -> str:
    """How traffic or our tags differ between the two, in words."""
    if before.wanted.serving != after.wanted.serving:
        return f"traffic became {dict(after.wanted.serving)}"
    tags = [t for t in (STABLE_TAG, CANDIDATE_TAG) if before.wanted.tagged(t) != after.wanted.tagged(t)]
    return f"the tag {tags[0]} was moved" if tags else ""


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
