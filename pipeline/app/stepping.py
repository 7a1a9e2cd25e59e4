"""One step of one rollout, and what is told of it: what a scheduler has taken, of one service or of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from pipeline.budget import urgent
from pipeline.core.rollout import Phase, Rollout
from pipeline.driving.acts import Next
from pipeline.driving.engine import Engine
from pipeline.driving.ports import Clock
from pipeline.errors import PlatformUnavailable, SpillwayError
from pipeline.events import RolloutEvent
from pipeline.model import Outcome
from pipeline.output.writer import error_document, outcome_document

_READ_BACK_WITHIN = timedelta(seconds=20)
_LOOK = timedelta(seconds=1)


class Step(Struct, frozen=True):
    """What a step came to.

    Args:
        service: its full name; of a file that names none, the file.
        is_idle: no rollout is under way, and nothing had to be done.
    """

    service: str
    text: str
    code: int
    document: Mapping[str, object]
    is_idle: bool = False


class Restoring(Struct):
    """A listener that notices whether traffic is being given back."""

    is_so: bool = False

    def __call__(self, event: RolloutEvent, /) -> None:
        self.is_so = self.is_so or event.kind == "restoring"


def one_step(engine: Engine, clock: Clock, restoring: Restoring, first: Callable[[], Next]) -> Next:
    """Take it; of a roll-back take those that follow as well, for a while: it waits for no pass and for no quota.

    Args:
        first: takes the first one. Raises what ``Engine.tick`` raises.
    """
    give_up, upcoming = clock.now() + _READ_BACK_WITHIN, None
    while upcoming is None or (restoring.is_so and upcoming.outcome is None and clock.now() < give_up):
        if upcoming is not None:
            clock.sleep(_LOOK)
        try:
            with urgent(restoring.is_so):
                upcoming = first() if upcoming is None else engine.tick()
        except PlatformUnavailable as error:
            if not restoring.is_so or clock.now() >= give_up:
                raise
            clock.sleep(timedelta(seconds=error.retry_after_s))
    return upcoming


def nothing_to_do(service: str, current: Rollout | None = None) -> Step:
    """No rollout is under way: none was ever started, or the last one ended."""
    if current is None:
        document = {**named(service), "outcome": "none", "exit_code": 0, "next_at": None}
        return Step(service, "no rollout was ever started here", 0, document, is_idle=True)
    assert current.outcome is not None
    ended = {"outcome": current.outcome.label, "exit_code": 0, "next_at": None, "why": current.reason}
    document = {**named(service), **ended, **facts_of(current)}
    return Step(service, f"{current.outcome.label}: {current.reason}", 0, document, is_idle=True)


def not_yet(service: str, current: Rollout | None, at: datetime) -> Step:
    """Its turn did not come: the quota, or the time of this pass, was used up. One that waits for a person still does."""
    why, facts = "its turn comes with a later pass", facts_of(current) if current else {}
    outcome, code, text = Outcome.UNDER_WAY, 0, why
    if current is not None and current.phase is Phase.PAUSED:
        outcome, code, why = Outcome.PAUSED, Outcome.PAUSED.exit_code, current.reason
        text = f"{outcome.label}: {why}"
    document = outcome_document(outcome, exit_code=code, next_at=at.isoformat(), why=why)
    return Step(service, text, code, {**named(service), **document, **facts})


def failed(service: str, error: SpillwayError) -> Step:
    """The step could not be taken: the lasting alert counts none, so it fires where that goes on."""
    document = {"event": "failed_tick", "service": service, **error_document(error)}
    return Step(service, f"{error.what} {error.why}".strip(), error.exit_code, document)


def taken(
    service: str, upcoming: Next, current: Rollout | None, *, code: int, limited: str, promote: str
) -> Step:
    """What is told of a step.

    Args:
        current: the rollout as it was read last. ``code``: where the step ended nothing.
        limited: why nothing may be raised, if so. ``promote``: the command that lets a paused one go on, if there is one.
    """
    outcome, at = upcoming.outcome or Outcome.UNDER_WAY, upcoming.at.isoformat()
    why = upcoming.why or (current.reason if current and upcoming.outcome else "")
    code = code if upcoming.outcome is None else outcome.exit_code
    text = ": ".join(filter(None, (outcome.label if upcoming.outcome else f"come again at {at}", why)))
    document = {**named(service)}
    if limited:
        text = f"{text}\n{limited}"
        document["raises_nothing"] = limited
    document |= outcome_document(outcome, exit_code=code, next_at=at, why=why)
    if outcome is Outcome.PAUSED and promote:
        document["next"] = promote
        text = f"{text}; let it go on: {promote}"
    return Step(service, text, code, {**document, **(facts_of(current) if current else {})})


def told(error: BaseException) -> SpillwayError:
    """As an error that can be told: a fault of ours, or of the machine's, by its kind."""
    return error if isinstance(error, SpillwayError) else SpillwayError(f"{type(error).__name__}: {error}")


def named(service: str) -> dict[str, object]:
    """What the lasting alert counts."""
    return {"event": "tick", "service": service}


def facts_of(current: Rollout) -> Mapping[str, object]:
    """Revisions and the candidate's share, as every document of a rollout has them."""
    plan = current.plan
    return {
        "candidate": plan.candidate,
        "stable": plan.stable,
        "percent": current.split.percent_of(plan.candidate),
    }
