"""rollback: one API call to the last known good revision, with as little as possible between you and it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.app.session import Session, who
from pipeline.cli.command import connecting
from pipeline.cli.options import DryRun, Env, Project, Reason, Region, ServiceArgument, find_service
from pipeline.errors import SpillwayError, UserError
from pipeline.judging.terms import Drain
from pipeline.model import Outcome, ServiceRef
from pipeline.output.writer import outcome_document

if TYPE_CHECKING:
    from pipeline.app.journalling import Told
    from pipeline.driving.hand import Done
    from pipeline.driving.ports import Clock, Platform


@connecting
def rollback(
    session: Session,
    *,
    service: ServiceArgument = None,
    project: Project = None,
    region: Region = None,
    env: Env = None,
    to: Annotated[
        str | None, typer.Option("--to", help="A revision by name; default: the last known good.")
    ] = None,
    reason: Reason = "",
    drain: Annotated[
        Drain | None,
        typer.Option(
            "--drain", help="What becomes of sockets that it leaves behind; default: as spillway.yaml said."
        ),
    ] = None,
    dry_run: DryRun = False,
) -> int:
    """Send all traffic back to the last known good revision, now.

    Needs no configuration when the service is named in full, and no Pulumi, logs, probes or local file ever. Works
    during a rollout, after a promotion, and from the `stable` tag alone when the record is gone.

    Example:  spillway rollback projects/acme/locations/us-central1/services/agent-chat
    """
    from pipeline.app.journalling import Told
    from pipeline.app.wiring import SystemClock, open_place
    from pipeline.core import record
    from pipeline.driving.restore import Cause, restore, target_of

    if to == "":  # a variable that is not set: the default may be another revision than was meant
        raise UserError(
            "--to is empty", "It takes a revision by name.", "Leave --to out for the last known good one."
        )
    ref = find_service(session, service, project, region, env)
    session.leaves_at_once = True
    told = Told(session)
    with open_place(session, ref) as place:
        platform = place.platform
        if dry_run:
            live = platform.read(ref)
            target = to or target_of(live, record.readable(live), platform.revisions(ref))
            left = f"; sockets that are left behind: {drain}" if drain else ""
            return session.output.would(
                f"send 100% of {ref.service} to {target}; now {dict(live.wanted.serving)}{left}"
            )
        clock, cause = (
            SystemClock(session.stopped),
            Cause(reason or "an operator said so", who(), by_hand=True, drain=drain),
        )
        done = restore(platform, clock, ref, cause, to=to, listen=told.listen, stop=session.stopped.is_set)
        code = _say(session, ref, done, told)
        if not (service and "/" in service):  # named in full it needs no configuration, so it asks for none
            from pipeline.app import webhook

            webhook.tell(session, ref, env, told)
        _drain(session, ref, platform, clock, done, drain, told)
    return code


def _say(session: Session, ref: ServiceRef, done: Done, told: Told) -> int:
    """What was done; the exit code."""
    from pipeline.app.journalling import answer

    outcome = Outcome.ROLLED_BACK_BY_HAND if done.verified else Outcome.ROLLBACK_UNVERIFIED
    code = 0 if done.verified else outcome.exit_code  # 0: what was asked for is done
    candidate = done.rollout.plan.candidate if done.rollout else ""
    document = outcome_document(
        outcome,
        exit_code=code,
        service=ref.name,
        target=done.target,
        was=dict(done.was),
        candidate=candidate,
        percent=100 if candidate == done.target else 0,
        verified=done.verified,
    )
    again = f"spillway rollback {ref.name}"
    answer(session, done, told, done.target, document, again=again, why="the roll-back does not need it")
    return code


def _drain(
    session: Session,
    ref: ServiceRef,
    platform: Platform,
    clock: Clock,
    done: Done,
    wished: Drain | None,
    told: Told,
) -> None:
    """After everything else was done and said: whatever comes of it changes nothing of that."""
    by_record = done.rollout.plan.terms.drain if done.rollout else Drain.KEEP
    if not done.verified or (wished is None and by_record is not Drain.DELETE):
        return
    from pipeline.app import draining
    from pipeline.driving import drain

    if wished is not None:
        try:
            drain.wish(platform, clock, ref, wished, by=who())
        except SpillwayError as error:
            session.output.say(str(error))
            return
    draining.delete(
        platform,
        clock,
        ref,
        by=who(),
        listen=told.listen,
        stop=session.stopped.is_set,
        say=session.output.say,
    )
