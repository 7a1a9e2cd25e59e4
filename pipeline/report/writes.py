"""Every write that set traffic, with the command that repeats it and the one that undoes it.  PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pipeline.core.rollout import Rollout
from pipeline.report import repeat
from pipeline.report.journal_lines import Line

MAX_WRITES = 200
_CALL = timedelta(seconds=30)  # the longest that one write takes


@dataclass(frozen=True, slots=True)
class Write:
    """One write that set traffic. ``etag`` None: not known without the journal."""

    at: datetime
    traffic: Mapping[str, int]
    epoch: int | None = None
    etag: str | None = None
    repeat: str = ""
    undo: str = ""


def writes_of(rollout: Rollout, journal: Sequence[Line]) -> tuple[tuple[Write, ...], int]:
    """The writes that set traffic, oldest first, and how many others there were (heartbeats, records alone).

    What the journal did not see (another machine's write, a roll-back by hand) is taken from the history, without etag.
    """
    wrote = [line for line in journal if line.kind == "wrote"]
    seen = [Write(line.at, line.traffic, line.epoch, line.etag) for line in wrote if line.traffic]
    unseen = [w for w in _writes_of_history(rollout) if not any(_is_same(w, other) for other in seen)]
    both = sorted([*seen, *unseen], key=lambda write: write.at)
    return _with_commands(rollout, both)[-MAX_WRITES:], len(wrote) - len(seen)


def _is_same(step: Write, write: Write) -> bool:
    """A step is dated before its call, a journal line after it."""
    return step.traffic == write.traffic and -_CALL <= write.at - step.at <= _CALL


def _writes_of_history(rollout: Rollout) -> Iterator[Write]:
    """Without the journal: every step of the history that changed the share, without its etag."""
    plan = rollout.plan
    before: Mapping[str, int] = {plan.stable: 100}
    for step in rollout.history:
        shares = {plan.stable: 100 - step.percent, plan.candidate: step.percent}
        traffic = {name: percent for name, percent in shares.items() if percent}
        if traffic != before:
            yield Write(step.at, traffic)
        before = traffic


def _with_commands(rollout: Rollout, writes: Sequence[Write]) -> tuple[Write, ...]:
    """Each with the command that does it again, and the one that sets what was before it."""
    again = [repeat.set_traffic(rollout.plan.ref, write.traffic) for write in writes]
    return tuple(
        replace(write, repeat=own, undo=earlier)
        for write, own, earlier in zip(writes, again, ["", *again], strict=False)
    )
