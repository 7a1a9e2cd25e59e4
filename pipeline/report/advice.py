"""What to do now, how to go back, and what may still be wrong: from what was measured.  PURE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from checks.finding import Report
from pipeline.core.rollout import Phase, Rollout
from pipeline.judging import judge
from pipeline.judging.evidence import Exposure
from pipeline.model import Outcome
from pipeline.report import repeat
from pipeline.report.figures import Figures


@dataclass(frozen=True, slots=True)
class Command:
    """What it does, and the exact line to type; empty when there is nothing to type."""

    why: str
    line: str = ""


def rollback_plan(rollout: Rollout, figures: Figures) -> tuple[Command, ...]:
    """Steps in order, each with its command."""
    plan = rollout.plan
    if plan.stable == plan.candidate:
        return (Command("This is the service's first revision: there is none to go back to."),)
    steps = [Command(f"Send 100 % to {plan.stable}, tags and record with it:", repeat.roll_back(plan.ref))]
    if not plan.ref.is_local:
        steps.append(Command("The same without Spillway:", repeat.set_traffic(plan.ref, {plan.stable: 100})))
    steps.append(Command("See that it arrived:", "spillway status"))
    return (*steps, _drain(rollout, figures.users))


def _drain(rollout: Rollout, met: Exposure | None) -> Command:
    """What becomes of the sockets that are open on the candidate."""
    plan = rollout.plan
    open_now = f" ({met.open_sockets:,} when this was written)" if met else ""
    stay = f"Sockets that are open on {plan.candidate}{open_now} stay there until they close, at the latest at the request time-out."
    command = repeat.delete_revision(plan.ref, plan.candidate)
    if not command:
        return Command(stay)
    return Command(
        f"{stay} To end them now, once another revision is the latest (SIGTERM, then 10 s):", command
    )


def risks(rollout: Rollout, figures: Figures, checks: Report | None) -> tuple[str, ...]:
    """Sentences, the gravest first."""
    return tuple(_risks(rollout, figures, checks))


def _risks(rollout: Rollout, figures: Figures, checks: Report | None) -> Iterator[str]:
    plan, met = rollout.plan, figures.users
    if met is not None and met.open_sockets and rollout.phase in (Phase.ROLLED_BACK, Phase.ROLLING_BACK):
        yield f"{met.open_sockets:,} sockets are still open on {plan.candidate}: their users are not safe yet."
    if rollout.drift:
        yield f"Somebody else changed the service: {rollout.drift}."
    for criterion in plan.terms.criteria:
        runs, failed = figures.judged.get(criterion.metric, (0, 0))
        if runs:
            yield _rate(criterion.metric, runs, failed, plan.terms.beta)
    if figures.reached < 100 and not figures.is_healthy:
        yield f"Never tried with more than {figures.reached} % of new connections."
    if met is not None and met.forged:
        yield f"{met.forged:,} telemetry lines carried a wrong nonce; they were not judged."
    if met is not None and met.silent:
        yield f"{met.silent:,} sockets were accepted and never heard of again in the logs."
    additive = checks.additive_only if checks is not None else None
    if additive is not None:
        yield (
            "Additive only: yes."
            if additive
            else "Additive only: NO, something that exists was removed or narrowed."
        )
    else:
        yield "Whether the change is additive was not checked."


def _rate(metric: str, trials: int, failures: int, beta: float) -> str:
    measured = f"{metric}: {failures:,} of {trials:,} judged runs failed over all stages"
    if failures:
        return f"{measured} ({100 * failures / trials:.3g}%)."
    # The one-sided bound of Clopper and Pearson where nothing failed; for people, the judge has its own test.
    bound = 1 - beta ** (1 / trials)
    return f"{measured}: with {1 - beta:.0%} confidence the rate is below {100 * bound:.2g}%."


def next_steps(rollout: Rollout, figures: Figures) -> tuple[Command, ...]:
    """What a person does now, by how it stands."""
    ref = rollout.plan.ref
    if figures.outcome is Outcome.FIRST_DEPLOYMENT_UNHEALTHY:
        return (
            Command(
                f"Find the cause ({rollout.reason}), fix it, and roll out the new image:", repeat.roll_out()
            ),
        )
    match rollout.phase:
        case Phase.DEPLOYING | Phase.ROLLING:
            return (Command("Watch it:", "spillway status --watch"),)
        case Phase.PAUSED:
            return (
                Command(f"Paused because: {rollout.reason}"),
                Command("Let it go on:", "spillway promote"),
                Command("Or give traffic back:", repeat.roll_back(ref)),
            )
        case Phase.ROLLING_BACK:
            return (
                Command("See whether traffic arrived:", "spillway status"),
                Command("Give it back again:", repeat.roll_back(ref)),
            )
        case Phase.PROMOTED:
            return (
                *_if_users_complain(rollout),
                Command(judge.certify(rollout.judge, rollout.plan).reason),
            )
        case Phase.ROLLED_BACK:
            return tuple(_after_rollback(rollout, figures))


def _if_users_complain(rollout: Rollout) -> Iterator[Command]:
    if rollout.plan.stable == rollout.plan.candidate:
        yield Command("Nothing to do.")
    else:
        yield Command("Nothing to do. If users complain:", repeat.roll_back(rollout.plan.ref))


def _after_rollback(rollout: Rollout, figures: Figures) -> Iterator[Command]:
    if figures.clocks.left:
        yield Command(
            f"Watch the {figures.clocks.left:,} sockets that are still open on the candidate:",
            "spillway status --watch",
        )
    why = f"{figures.hand.by}: {figures.hand.reason}" if figures.hand else rollout.reason
    yield Command(f"Find the cause ({why}), fix it, and roll out the new image:", repeat.roll_out())
    yield Command(
        "If the candidate was not to blame, try the same image again:",
        repeat.retry(rollout.plan.image),
    )
