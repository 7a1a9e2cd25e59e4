"""What an operator may do by hand to a rollout: let it go on.  (Rolling back is ``restore.py``: it needs less.)"""

from __future__ import annotations

from pipeline import rollout
from pipeline.engine import Engine
from pipeline.errors import PlanRefused, UserError
from pipeline.judge import Verdict
from pipeline.model import Readiness
from pipeline.observer import Look
from pipeline.rollout import ENDED, Event, Phase, Rollout


def promote(engine: Engine, *, to_percent: int | None, reason: str, by: str) -> Rollout | None:
    """Let a paused rollout go on, or skip ahead; never past a FAIL. Returns the rollout as it was, or None when ended.

    Raises: PlanRefused when the judge says FAIL or a revision is not ready; UserError when skipping without a reason;
        StaleWrite when the service changed meanwhile.
    """
    look = engine.observer.look()
    s = look.situation
    if s.rollout.phase in ENDED:
        return None
    if s.rollout.phase is Phase.ROLLING_BACK:
        raise PlanRefused("a roll-back is under way", s.rollout.reason, "See it: spillway status --watch")
    if to_percent is not None and not reason:
        raise UserError(
            "skipping ahead needs a reason", fix=f"Add one: --to-percent {to_percent} --reason TEXT"
        )
    _refuse_unsafe(look)
    if s.rollout.phase is Phase.DEPLOYING:
        return s.rollout  # nothing to raise yet; driving it on is all there is to do
    if not s.rollout.candidate_uid:
        engine.redeploy(s.live, s.rollout, reason=reason, by=by)
        return s.rollout
    stage = rollout.stage_after(s.rollout, to_percent)
    if stage == s.rollout.stage and s.rollout.phase is Phase.ROLLING:
        return s.rollout
    event = Event.RESUMED if s.rollout.phase is Phase.PAUSED else Event.RAISED
    engine.enter(look, stage, event, reason=reason or "an operator said so", by=by)
    return s.rollout


def _refuse_unsafe(look: Look) -> None:
    s = look.situation
    if s.stage_verdict.verdict is Verdict.FAIL:
        raise PlanRefused(
            f"{s.rollout.plan.candidate} failed: it is not promoted past that",
            s.stage_verdict.reason,
            f"Roll back: spillway rollback {s.live.ref.name}",
        )
    for name, readiness in ((s.rollout.plan.stable, s.stable), (s.rollout.plan.candidate, s.candidate)):
        if readiness is not Readiness.READY and (name != s.rollout.plan.candidate or s.rollout.candidate_uid):
            raise PlanRefused(
                f"{name} is {readiness or 'gone'}",
                "Both the candidate and its roll-back target must be ready before traffic is raised.",
                f"See them: spillway status; roll back: spillway rollback {s.live.ref.name}",
            )
