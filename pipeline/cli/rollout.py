"""plan, rollout, promote, tick: what moves a rollout forward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.app.operator import who
from pipeline.app.session import Session
from pipeline.cli.command import command
from pipeline.cli.options import DryRun, Env, Image, Reason
from pipeline.errors import LocalCloudRunDown, PlatformUnavailable
from pipeline.model import Outcome
from pipeline.output.writer import outcome_document

if TYPE_CHECKING:
    from pipeline.app.drive import Drive
    from pipeline.app.gate import Gate
    from pipeline.config.schema import Config

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Drive it to its end, or only begin it.")]
Timeout = Annotated[
    str,
    typer.Option("--timeout", help="Stop driving after this long (exit 15); the rollout stays under way."),
]


_READ_BACK = timedelta(seconds=60)


@contextmanager
def _drive(session: Session, config: Config, env: str | None, *, one_step: bool = False) -> Iterator[Drive]:
    from pipeline.app.drive import open_drive

    with open_drive(session, config, env, one_step=one_step) as drive:
        yield drive


@command
def plan(session: Session, *, image: Image, env: Env = None) -> int:
    """Show what a rollout would do: revision, every traffic write, gates, refusals. Writes nothing.

    Example:  spillway plan --image good
    """
    return _plan(session, image, env)


def _plan(session: Session, image: str, env: str | None) -> int:
    from pipeline.app.images import reference_of
    from pipeline.app.show_plan import show

    config = session.load_config()
    _, environment = config.environment(env)
    beside, folder = session.config_file.parent, session.local_folder
    image = reference_of(config, environment, image, beside=beside, folder=folder)
    with _drive(session, config, env) as drive:
        return show(session, drive, image, _gate(session, config, image, env))


def _pinned(session: Session, config: Config, image: str, env: str | None) -> AbstractContextManager[str]:
    from pipeline.app.images import pinned

    _, environment = config.environment(env)
    return pinned(config, environment, image, beside=session.config_file.parent, folder=session.local_folder)


def _gate(session: Session, config: Config, image: str, env: str | None) -> Gate:
    from pipeline.app.gate import Gate
    from pipeline.app.wiring import wish_for

    name, environment = config.environment(env)
    return Gate(session, name, wish_for(config, environment, image).rollout_id)


@command
def rollout(
    session: Session,
    *,
    image: Image,
    env: Env = None,
    wait: Wait = True,
    timeout: Timeout = "",
    supersede: Annotated[
        bool, typer.Option("--supersede", help="Give up another rollout that is under way.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Start the next attempt of one that ended.")] = False,
    take_tags: Annotated[
        bool, typer.Option("--take-tags", help="Make somebody else's tags stable and candidate ours.")
    ] = False,
    dry_run: DryRun = False,
) -> int:
    """Roll a revision out in stages; traffic goes back by itself when it fails.

    The same command resumes a rollout that is under way, and answers how it ended afterwards.

    Example:  spillway rollout --image good --env local
    """
    if dry_run:
        return _plan(session, image, env)
    limit, config = _duration(timeout), session.load_config()
    with ExitStack() as stack:
        image = stack.enter_context(_pinned(session, config, image, env))
        gate = _gate(session, config, image, env)
        try:
            drive = stack.enter_context(_drive(session, config, env))
        except (LocalCloudRunDown, PlatformUnavailable):
            if gate() is not None:  # an answer that needs no platform
                return gate.refuse()
            raise
        ended = drive.begin(image, retry=retry, supersede=supersede, take_tags=take_tags, gate=gate)
        if ended is not None and ended.outcome is Outcome.CHECKS_FAILED:
            return gate.refuse()
        if ended is not None:
            return drive.finish(ended, ended.outcome.exit_code)
        if wait:
            outcome = drive.run(limit)
            return drive.finish(outcome, outcome.exit_code)
        return drive.finish(Outcome.UNDER_WAY, _step_code(drive))


def _step_code(drive: Drive) -> int:
    """0 once the step that was taken is read back; else it is a time-out."""
    return 0 if drive.engine.read_back(_READ_BACK) else Outcome.UNDER_WAY.exit_code


@command
def promote(
    session: Session,
    *,
    env: Env = None,
    to_percent: Annotated[
        int | None, typer.Option("--to-percent", min=1, max=100, help="Skip ahead to it.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Skip ahead to 100 %.")] = False,
    reason: Reason = "",
    wait: Wait = True,
    timeout: Timeout = "",
    dry_run: DryRun = False,
) -> int:
    """Let a paused rollout go on, or skip ahead with a reason. Never past a FAIL.

    Example:  spillway promote --to-percent 50 --reason "checked by hand"
    """
    from pipeline.driving.promote import promote as let_go_on

    target, limit = 100 if full else to_percent, _duration(timeout)
    with _drive(session, session.load_config(), env) as drive:
        if dry_run:
            look = drive.engine.observer.look(probe=False)
            session.output.say(
                f"would let {look.situation.rollout.plan.candidate} go on from {look.situation.rollout.phase}"
            )
            return 0
        drive.watch()
        let_go_on(drive.engine, drive.world.clock, to_percent=target, reason=reason, by=who())
        if wait:
            outcome = drive.run(limit)
            return drive.finish(outcome, outcome.exit_code)
        return drive.finish(Outcome.UNDER_WAY, _step_code(drive))


@command
def tick(session: Session, *, env: Env = None) -> int:
    """Take one step of whatever is under way, for a scheduler, and print when to come again.

    Example:  */1 * * * *  spillway tick --env production
    """
    with _drive(session, session.load_config(), env, one_step=True) as drive:
        if _nothing_to_do(drive):
            session.output.result(
                "no rollout was ever started here", {"outcome": "none", "exit_code": 0, "next_at": None}
            )
            return 0
        upcoming = drive.tick()
        outcome = upcoming.outcome or Outcome.UNDER_WAY
        code = _step_code(drive) if upcoming.outcome is None else outcome.exit_code
        text = (
            outcome.label if upcoming.outcome else f"come again at {upcoming.at.isoformat()}: {upcoming.why}"
        )
        document = outcome_document(outcome, next_at=upcoming.at.isoformat(), why=upcoming.why)
        session.output.result(text, {**document, "exit_code": code})
        return code


def _nothing_to_do(drive: Drive) -> bool:
    """The service is there and was never rolled out by us: a scheduler need not cry."""
    return drive.place.platform.read(drive.place.ref).record_text is None


def _duration(text: str) -> timedelta | None:
    if not text:
        return None
    from pipeline.errors import UserError
    from pipeline.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UserError(f"--timeout: {error}") from error
