"""The very first deployment of a service: 100 % to its first revision, ungated, and probed at once.

There is nothing to compare it with and nothing to fall back on, so its one record is written with the answer of the
probe: asked again, the same command gets the same answer. Whoever dies before that write leaves a service without a
record that serves nobody else; the next one begins here again and makes nothing twice.
"""

from __future__ import annotations

from contextlib import suppress

from msgspec.structs import replace

from pipeline.core import promoted, record
from pipeline.core.intent import First
from pipeline.core.rollout import Phase
from pipeline.driving.engine import Engine
from pipeline.driving.ports import World
from pipeline.driving.rounds import seen_in
from pipeline.errors import FirstDeploymentFailed, PlatformUnavailable, RevisionNotFound, SpillwayError
from pipeline.judging import bound, probes
from pipeline.judging.probes import Probes
from pipeline.judging.terms import Plan
from pipeline.model import Outcome, Readiness, Revision, Split
from pipeline.probe.conversation import Conversation

_MOST_ROUNDS = 20  # undecided after so many, it is not healthy


def deploy_first(engine: Engine, world: World, intent: First) -> Outcome:
    """Deploy, wait until Cloud Run has judged the revision, probe it, and record the answer.

    Returns: FIRST_DEPLOYMENT, FIRST_DEPLOYMENT_UNHEALTHY, or UNDER_WAY when told to stop before the answer was there.

    Raises: FirstDeploymentFailed when the revision never gets ready; what deploying raises.
    """
    plan = intent.plan
    all_to_it = Split.between(plan.candidate, None, 0)
    record.must_fit(engine.fresh(plan, Phase.PROMOTED, all_to_it), None)
    engine.say("deploying", f"{plan.ref.service} does not exist: {plan.candidate} gets 100%, ungated")
    engine.deploy(plan)
    revision = _judged(engine, world, plan)
    if revision is None:
        return Outcome.UNDER_WAY
    plan = replace(plan, stable_uid=revision.uid)
    uri = world.platform.read(plan.ref).uri
    held = _probed(engine, plan, uri, revision)
    if held is None:
        return Outcome.UNDER_WAY
    is_unhealthy, answer = held
    live = world.platform.read(plan.ref)
    split = Split.between(plan.candidate, None, 0, live.wanted.targets)
    made = replace(
        engine.fresh(plan, Phase.PROMOTED, split),
        candidate_uid=revision.uid,
        reached=100,
        attempt=intent.attempt,
        epoch=intent.epoch,
        unhealthy=is_unhealthy,
        reason=f"first deployment, ungated; {answer}",
        promoted=intent.promoted,
        admission=intent.admission,
    )
    if not is_unhealthy:
        made = replace(made, promoted=promoted.joined(made.promoted, made.as_promoted(made.since)))
    engine.commit(live, made, split)
    return Outcome.FIRST_DEPLOYMENT_UNHEALTHY if is_unhealthy else Outcome.FIRST_DEPLOYMENT


def _judged(engine: Engine, world: World, plan: Plan) -> Revision | None:
    """The revision once it is ready. None when told to stop."""
    give_up, pace = world.clock.now() + engine.rhythm.patience, engine.rhythm.pace()
    while not engine.stop():
        found: Revision | None = None
        with suppress(RevisionNotFound):
            found = world.platform.revision(plan.ref, plan.candidate)
        if found is not None and found.is_ready:
            return found
        if found is not None and found.readiness is Readiness.FAILED:
            raise FirstDeploymentFailed(
                f"{plan.candidate} never became ready: {plan.ref.service} serves nobody",
                found.message,
                "Mend it and deploy the next image: spillway rollout --image DIGEST",
            )
        if world.clock.now() >= give_up:
            raise PlatformUnavailable(
                f"{plan.candidate} is not judged after {engine.rhythm.patience.total_seconds():g}s",
                found.message if found else "it is not there",
                "Look: spillway status",
            )
        world.clock.sleep(pace.rest())
    return None


def _probed(engine: Engine, plan: Plan, uri: str, revision: Revision) -> tuple[bool, str] | None:
    """Whether it answers badly, and the figures in words. None when told to stop.

    A failure alone is no answer: rounds go on until it is proved against the limit, or cleared.
    """
    state = Probes()
    failures: list[Conversation] = []
    for number in range(_MOST_ROUNDS):
        report = engine.observer.rounds.once(plan, uri, revision, engine.stop, warm_up=not number)
        if report is None:
            return None
        if report.unspoken:
            raise SpillwayError(
                f"{plan.candidate} is not judged: a conversation cannot be held",
                report.unspoken,
                "It is no fault of the service's: correct the scenario, probes.address or probes.job, and try it: spillway probe URL",
            )
        failures += report.failures
        state = probes.observe(state, seen_in(report))
        unsure = probes.unsure(state, plan.terms.beta)
        if not unsure or bound.is_proved_by_probes(state, plan):
            break
    is_bad = bool(unsure)
    if not failures:
        return is_bad, f"{state.ok} probe conversations ok"
    why = f"{failures[0].kind}: {failures[0].detail}"[:200].rstrip(": ")
    return is_bad, f"{state.bad}/{state.ok + state.bad} probe conversations failed: {why}"
