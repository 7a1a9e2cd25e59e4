"""What an operator may do by hand to a rollout: let it go on.  (Rolling back is ``restore.py``: it needs less.)"""

from __future__ import annotations

from datetime import timedelta

from pipeline.core.rollout import ENDED, Event, Phase, Rollout
from pipeline.driving.engine import Engine
from pipeline.driving.ports import Clock
from pipeline.errors import PlanRefused, UserError
from pipeline.events import Look

_EYES = timedelta(seconds=60)  # beyond a scenario's own time: how long a probe round is waited for


def promote(engine: Engine, clock: Clock, *, to_percent: int | None, reason: str, by: str) -> Rollout:
    """Let a paused rollout go on, or skip ahead; never past a FAIL. Returns the rollout as it was.

    Stable is probed first, as before every raise: where it does not answer, going on needs a reason.

    Raises: PlanRefused when it has ended, the judge says FAIL or a revision is not ready; UserError when a reason is
        needed; StaleWrite when the service changed meanwhile.
    """
    look = _look(engine, clock)
    s = look.situation
    if s.rollout.phase in ENDED:
        assert s.rollout.outcome is not None
        raise PlanRefused(
            f"nothing to promote: {s.rollout.plan.candidate} has ended: {s.rollout.outcome.label}",
            s.rollout.reason,
            "Start the next attempt: spillway rollout --image DIGEST --retry",
        )
    if s.rollout.phase is Phase.ROLLING_BACK:
        raise PlanRefused("a roll-back is under way", s.rollout.reason, "See it: spillway status --watch")
    if to_percent is not None and not reason:
        raise UserError(
            "skipping ahead needs a reason", fix=f"Add one: --to-percent {to_percent} --reason TEXT"
        )
    _refuse_unsafe(look, reason)
    if s.rollout.phase is Phase.DEPLOYING:
        return s.rollout  # nothing to raise yet; driving it on is all there is to do
    if not s.rollout.candidate_uid:
        engine.redeploy(s.live, s.rollout, reason=reason, by=by)
        return s.rollout
    stage = stage_after(s.rollout, to_percent)
    if stage == s.rollout.stage_index and s.rollout.phase is Phase.ROLLING:
        return s.rollout
    event = Event.RESUMED if s.rollout.phase is Phase.PAUSED else Event.RAISED
    engine.enter(look, stage, event, reason=reason or "an operator said so", by=by)
    return s.rollout


def stage_after(rollout: Rollout, to_percent: int | None) -> int:
    """Where an operator's ``promote`` goes: on from a stage that asked to be held, else the same stage again.

    Args:
        to_percent: skip ahead to the first stage with at least this share; never back.
    """
    stages = rollout.plan.terms.stages
    if to_percent is not None:
        index = next((i for i, stage in enumerate(stages) if stage.percent >= to_percent), len(stages) - 1)
        return max(index, rollout.stage_index)
    was_held = rollout.phase is Phase.PAUSED and not rollout.drift and rollout.stage.hold
    return rollout.stage_index + 1 if was_held and not rollout.is_last_stage else rollout.stage_index


def _look(engine: Engine, clock: Clock) -> Look:
    """A look that a probe round ended with; the one there is where none can be held or it does not end."""
    look = engine.observer.look()
    give_up = clock.now() + _EYES
    while (
        _is_rolling(look) and not look.situation.is_probed_now and not engine.stop() and clock.now() < give_up
    ):
        clock.sleep(engine.rhythm.look)
        look = engine.observer.look()
    return look


def _is_rolling(look: Look) -> bool:
    """A round can be held: both revisions are there and were given their tags."""
    current = look.situation.rollout
    has_both = look.situation.candidate is not None and look.situation.stable is not None
    return has_both and bool(current.candidate_uid) and current.phase in (Phase.ROLLING, Phase.PAUSED)


def _refuse_unsafe(look: Look, reason: str) -> None:
    s = look.situation
    if (failure := s.failure) is not None:
        raise PlanRefused(
            f"{s.rollout.plan.candidate} failed: it is not promoted past that",
            failure,
            f"Roll back: spillway rollback {s.live.ref.name}",
        )
    for name, revision in ((s.rollout.plan.stable, s.stable), (s.rollout.plan.candidate, s.candidate)):
        is_ready = revision is not None and revision.is_ready
        if not is_ready and (name != s.rollout.plan.candidate or s.rollout.candidate_uid):
            raise PlanRefused(
                f"{name} is {revision.readiness if revision else 'gone'}",
                "Both the candidate and its roll-back target must be ready before traffic is raised.",
                f"See them: spillway status; roll back: spillway rollback {s.live.ref.name}",
            )
    if s.stable_fails and not reason and not s.rollout.plan.stable_unhealthy:
        raise PlanRefused(
            f"{s.rollout.plan.stable} fails its probe: there is nothing to go back to",
            s.stable_fails,
            f"Mend it, or go on knowing that: spillway promote {_further(s.rollout)}--reason TEXT",
        )


def _further(current: Rollout) -> str:
    """What takes a stage that is not paused one step up: without it ``promote`` lets it go on where it is."""
    if current.phase is not Phase.ROLLING or current.is_last_stage:
        return ""
    return f"--to-percent {current.plan.terms.stages[current.stage_index + 1].percent} "
