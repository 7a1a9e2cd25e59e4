"""What to do now, how to go back, and what may still be wrong: from what was measured.  PURE."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from checks.finding import Report
from pipeline.core.rollout import ENDED, Phase, Rollout
from pipeline.judging import judge
from pipeline.model import Outcome
from pipeline.report import writes
from pipeline.report.facts import unasked_words
from pipeline.report.figures import Figures

_ADDITIVE = {
    True: "Additive only: yes.",
    False: "Additive only: NO, something that exists was removed or narrowed.",
    None: "Whether the change is additive was not checked.",
}


class Command(Struct, frozen=True):
    """What it does, and the exact line to type; empty when there is nothing to type."""

    why: str
    line: str = ""


def rollback_plan(figures: Figures) -> Iterator[Command]:
    """Steps in order, each with its command."""
    plan = figures.rollout.plan
    if plan.stable == plan.candidate:
        yield Command("This is the service's first revision: there is none to go back to.")
        return
    yield Command(f"Send 100 % to {plan.stable}, tags and record with it:", writes.roll_back(plan.ref))
    if not plan.ref.is_local:
        yield Command("The same without Spillway:", writes.set_traffic(plan.ref, {plan.stable: 100}))
    yield Command("See that it arrived:", "spillway status")
    yield from _sockets(figures)


def _sockets(figures: Figures) -> Iterator[Command]:
    """What becomes of those that are open on the candidate."""
    plan, draining = figures.rollout.plan, figures.rollout.draining
    if draining is not None and draining.deleted_at is not None:
        yield Command(f"{plan.candidate} was deleted, and its sockets ended with it.")
        return
    open_now = f" ({figures.users.open_sockets:,} when this was written)" if figures.users else ""
    stay = f"Sockets that are open on {plan.candidate}{open_now} stay there until they close, at the latest at the request time-out."
    yield Command(
        f"{stay} To end them sooner, with the revision:", writes.roll_back(plan.ref, drain="delete")
    )
    if not plan.ref.is_local:
        yield Command(
            "The same without Spillway, once another revision is the latest (SIGTERM, then 10 s):",
            writes.delete_revision(plan.ref, plan.candidate),
        )


def risks(figures: Figures, checks: Report | None) -> Iterator[str]:
    """Sentences, the gravest first."""
    rollout, met = figures.rollout, figures.users
    plan = rollout.plan
    if met is not None and met.open_sockets and rollout.phase in (Phase.ROLLED_BACK, Phase.ROLLING_BACK):
        yield f"{met.open_sockets:,} sockets are still open on {plan.candidate}: their users are not safe yet."
    if rollout.admission and rollout.admission.by:
        yield f"It was let in {rollout.admission.told}."
    if rollout.drift:
        yield f"Somebody else changed the service: {rollout.drift}."
    for criterion in plan.terms.criteria:
        runs, failed = figures.judged.get(criterion.metric, (0, 0))
        if runs:
            yield _rate(criterion.metric, runs, failed, plan.terms.beta)
    if rollout.reached < 100 and not figures.is_healthy:
        yield f"Never tried with more than {rollout.reached} % of new connections."
    if met is not None and met.forged:
        yield f"{met.forged:,} telemetry lines carried a wrong nonce; they were not judged."
    if met is not None and met.silent:
        yield f"{met.silent:,} sockets were accepted and never heard of again in the logs."
    if met is not None and (words := unasked_words(met)):
        yield f"{words}. Let a scenario send what users send, or set starts= and expects= of SpillwayTelemetry."
    yield _ADDITIVE[checks.additive_only if checks is not None else None]


def _rate(metric: str, trials: int, failures: int, beta: float) -> str:
    measured = f"{metric}: {failures:,} of {trials:,} judged runs failed over all stages"
    if failures:
        return f"{measured} ({100 * failures / trials:.3g}%)."
    # The one-sided bound of Clopper and Pearson where nothing failed; for people, the judge has its own test.
    bound = 1 - beta ** (1 / trials)
    return f"{measured}: with {1 - beta:.0%} confidence the rate is below {100 * bound:.2g}%."


def next_steps(figures: Figures) -> tuple[Command, ...]:
    """What a person does now, by how it stands."""
    return (*_by_phase(figures), *_pinned(figures.rollout))


def _pinned(rollout: Rollout) -> Iterator[Command]:
    """What outlives a rollout and is noticed by nobody: the next plain deploy is served to nobody."""
    only = [name for name in rollout.split.serving if name]
    if rollout.phase in ENDED and len(only) == 1:
        yield Command(
            f"Traffic stays pinned to {only[0]} by name: what is deployed without a rollout gets 0 %. To let it follow "
            "the latest ready revision again:",
            writes.unpin(rollout.plan.ref),
        )


def _by_phase(figures: Figures) -> tuple[Command, ...]:
    rollout, ref = figures.rollout, figures.rollout.plan.ref
    if figures.outcome is Outcome.FIRST_DEPLOYMENT_UNHEALTHY:
        return (
            Command(
                f"Find the cause ({rollout.reason}), fix it, and roll out the new image:", writes.ROLL_OUT
            ),
        )
    match rollout.phase:
        case Phase.DEPLOYING | Phase.ROLLING:
            return (Command("Watch it:", "spillway status --watch"),)
        case Phase.PAUSED:
            return (
                Command(f"Paused because: {rollout.reason}"),
                Command("Let it go on:", "spillway promote"),
                Command("Or give traffic back:", writes.roll_back(ref)),
            )
        case Phase.ROLLING_BACK:
            return (
                Command("See whether traffic arrived:", "spillway status"),
                Command("Give it back again:", writes.roll_back(ref)),
            )
        case Phase.PROMOTED:
            nothing = Command("Nothing to do. If users complain:", writes.roll_back(ref))
            if rollout.plan.stable == rollout.plan.candidate:
                nothing = Command("Nothing to do.")
            return nothing, Command(judge.certify(rollout.judge, rollout.plan).reason)
        case Phase.ROLLED_BACK:
            return tuple(_after_rollback(figures))


def _after_rollback(figures: Figures) -> Iterator[Command]:
    if figures.clocks.left:
        yield Command(
            f"Watch the {figures.clocks.left:,} sockets that are still open on the candidate:",
            "spillway status --watch",
        )
    why = f"{figures.hand.by}: {figures.hand.reason}" if figures.hand else figures.rollout.reason
    yield Command(f"Find the cause ({why}), fix it, and roll out the new image:", writes.ROLL_OUT)
    yield Command(
        "If the candidate was not to blame, try the same image again:",
        writes.retry(figures.rollout.plan.image),
    )
