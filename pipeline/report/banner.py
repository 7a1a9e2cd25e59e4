"""The top of a report: the verdict in a sentence, what it meant for users, and the four figures to remember.  PURE.

No sentence claims more than was seen: "rolled back" is said of traffic that was read back, "not shown" of what nobody
could look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum

from msgspec import Struct

from pipeline.core.rollout import Phase
from pipeline.model import Outcome
from pipeline.report.figures import BROKEN, Figures
from pipeline.units import count

NOT_SHOWN = "not shown"


class Tone(Enum):
    """How the banner looks."""

    GOOD = "good"
    BAD = "bad"
    WAITING = "waiting"


class Tile(Struct, frozen=True):
    """One figure and what it counts."""

    figure: str
    words: str


def tone(f: Figures, failed: Sequence[int] = ()) -> Tone:
    """Args: failed: rows of the checklist."""
    if f.is_healthy:
        return Tone.WAITING if failed else Tone.GOOD
    is_back = f.rollout.phase in (Phase.ROLLED_BACK, Phase.ROLLING_BACK)
    is_bad = is_back or f.outcome is Outcome.FIRST_DEPLOYMENT_UNHEALTHY
    return Tone.BAD if is_bad and not f.hand else Tone.WAITING  # somebody's choice is no verdict


def headline(f: Figures, failed: Sequence[int] = ()) -> str:
    """How it stands, in one sentence.

    Args:
        failed: rows of the checklist. What they deny is not called well.
    """
    if f.is_healthy and failed:
        rows = f"row{'' if len(failed) == 1 else 's'} {', '.join(map(str, failed))}"
        return f"Not proven: {f.rollout.plan.candidate} has 100 %, and {rows} of the checklist failed"
    candidate, stable = f.rollout.plan.candidate, f.rollout.plan.stable
    share = f.rollout.split.percent_of(candidate)
    by = f" by {f.hand.by}" if f.hand and f.hand.by else ""
    given_by = f" by hand{by}" if by else ""
    keeps = f"{candidate} keeps {share} % of new connections until somebody decides"
    if f.rollout.drift:
        keeps = f"somebody else changed the service; we had given {candidate} {share} %"
    words: Mapping[Outcome | Phase, str] = {
        Outcome.STOPPED_AT_ZERO: f"Stopped at 0 %: {candidate} never had traffic",
        Outcome.ROLLED_BACK_BY_HAND: f"Rolled back by hand{by}: {stable} has 100 %, read back and seen",
        Outcome.FIRST_DEPLOYMENT: f"First deployment: {candidate} has 100 %, ungated, and answered its first conversations",
        Outcome.FIRST_DEPLOYMENT_UNHEALTHY: f"First deployment is unhealthy: {candidate} has 100 % and failed its first "
        "conversations",
        Phase.DEPLOYING: f"{candidate} is being deployed at 0 %",
        Phase.ROLLING: f"Under way: {candidate} has {share} % of new connections",
        Phase.PAUSED: f"Paused: {keeps}",
        Phase.PROMOTED: f"Promoted: {candidate} has 100 %",
        Phase.ROLLING_BACK: f"Rolling back: traffic was given to {stable}{given_by} and has not been read back yet",
        Phase.ROLLED_BACK: f"Rolled back: {stable} has 100 %, read back and seen",
    }  # fmt: skip
    return words.get(f.outcome) or words[f.rollout.phase]


def impact(f: Figures, causes: Mapping[str, int] | None = None) -> str:
    """What users met on the candidate, and how most of what failed did, in one sentence.

    Args:
        causes: of the runs that failed, the most frequent first.
    """
    met = f.users
    if met is None:
        return "What users met is not shown: the logs could not be read."
    if not met.sessions:
        return (
            "The logs hold no user session on the candidate."
            if f.rollout.reached
            else "No user session was sent to the candidate."
        )
    sessions = f"{count(met.sessions, 'user session')} met the candidate"
    if not met.affected:
        return f"{sessions}; none of them failed."
    saw = [
        f"{count(n, 'session')} saw {words}"
        for kind, words in zip(BROKEN, ("1011", "1006 (no close frame)"), strict=True)
        if (n := met.closes.get(kind, 0))
    ]
    why = next((f"; most often: {cause} ({n:,})" for cause, n in (causes or {}).items()), "")
    return f"{sessions}; {met.affected:,} of them failed{': ' if saw else ''}{', '.join(saw)}{why}."


def tiles(f: Figures) -> tuple[Tile, ...]:
    """Four figures."""
    met, clocks, reached = f.users, f.clocks, f.rollout.reached
    affected = Tile(f"{met.affected:,}" if met else NOT_SHOWN, "user sessions failed on the candidate")
    most = Tile(f"{reached} %", "was the candidate's largest share")
    if clocks.decided is None or not reached:
        sessions = Tile(f"{met.sessions:,}" if met else NOT_SHOWN, "user sessions met the candidate")
        return affected, sessions, most, Tile(short(f.took), "from the start until the end or until now")
    safe = Tile(short(clocks.to_safe), f"from {clocks.since} until new connections were safe")
    left = Tile(
        NOT_SHOWN if clocks.left is None else f"{clocks.left:,}", "sockets still open on the candidate"
    )
    return affected, safe, left, most


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
