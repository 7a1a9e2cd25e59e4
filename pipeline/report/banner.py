"""The top of a report: the verdict in a sentence, what it meant for users, and the four figures to remember.  PURE.

No sentence claims more than was seen: "rolled back" is said of traffic that was read back, "not shown" of what nobody
could look at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from pipeline.evidence import Exposure
from pipeline.model import Outcome
from pipeline.report.facts import Clocks
from pipeline.rollout import Phase, Rollout

NOT_SHOWN = "not shown"


class Tone(Enum):
    """How the banner looks."""

    GOOD = "good"
    BAD = "bad"
    WAITING = "waiting"


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure and what it counts."""

    figure: str
    words: str


def tone(rollout: Rollout) -> Tone:
    if rollout.phase is Phase.PROMOTED:
        return Tone.GOOD
    if rollout.outcome is Outcome.ROLLED_BACK_BY_HAND:
        return Tone.WAITING  # somebody's choice, no verdict
    return Tone.BAD if rollout.phase in (Phase.ROLLED_BACK, Phase.ROLLING_BACK) else Tone.WAITING


def headline(rollout: Rollout) -> str:
    """How it stands, in one sentence."""
    plan, share = rollout.plan, rollout.split.percent_of(rollout.plan.candidate)
    if rollout.outcome is Outcome.STOPPED_AT_ZERO:
        return f"Stopped at 0 %: {plan.candidate} never had traffic"
    if rollout.outcome is Outcome.ROLLED_BACK_BY_HAND:
        return f"Rolled back by hand: {plan.stable} has 100 %, read back and seen"
    words = {
        Phase.DEPLOYING: f"{plan.candidate} is being deployed at 0 %",
        Phase.ROLLING: f"Under way: {plan.candidate} has {share} % of new connections",
        Phase.PAUSED: f"Paused: {plan.candidate} keeps {share} % of new connections until somebody decides",
        Phase.PROMOTED: f"Promoted: {plan.candidate} has 100 %",
        Phase.ROLLING_BACK: f"Rolling back: traffic was given to {plan.stable} and has not been read back yet",
        Phase.ROLLED_BACK: f"Rolled back: {plan.stable} has 100 %, read back and seen",
    }
    return words[rollout.phase]


def impact(met: Exposure | None) -> str:
    """What users met on the candidate, in one sentence. ``met`` None: the logs could not be read."""
    if met is None:
        return "What users met is not shown: the logs could not be read."
    if not met.sessions:
        return "No user session was sent to the candidate."
    sessions = f"{count(met.sessions, 'user session')} met the candidate"
    if not met.affected:
        return f"{sessions}; none of them failed."
    saw = [
        f"{count(n, 'session')} saw {words}"
        for kind, words in (("server_error_1011", "1011"), ("abnormal_1006", "1006 (no close frame)"))
        if (n := met.closes.get(kind, 0))
    ]
    return f"{sessions}; {met.affected:,} of them failed{': ' if saw else ''}{', '.join(saw)}."


def tiles(rollout: Rollout, met: Exposure | None, clocks: Clocks, took: timedelta) -> tuple[Tile, ...]:
    """Four figures."""
    affected = Tile(f"{met.affected:,}" if met else NOT_SHOWN, "user sessions failed on the candidate")
    most = Tile(f"{rollout.reached} %", "was the candidate's largest share")
    if clocks.decided is None or not rollout.reached:
        sessions = Tile(f"{met.sessions:,}" if met else NOT_SHOWN, "user sessions met the candidate")
        return affected, sessions, most, Tile(short(took), "from the start until the end or until now")
    since = "the first bad session" if clocks.first_bad else "the decision"
    safe = Tile(short(clocks.to_safe), f"from {since} until new connections were safe")
    left = Tile(
        NOT_SHOWN if clocks.left is None else f"{clocks.left:,}", "sockets still open on the candidate"
    )
    return affected, safe, left, most


def count(number: int, noun: str) -> str:
    """``1 session``, ``1,204 sessions``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def short(duration: timedelta | None) -> str:
    """``1.2 s``, ``3 min 05 s``, ``26 h 10 min``."""
    if duration is None:
        return NOT_SHOWN
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"
