"""rollout: the staged rollout, from checks to promotion or roll-back."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from pipeline.app.programs import EngineChoice
from pipeline.app.session import Session
from pipeline.cli.command import connecting
from pipeline.cli.options import (
    DryRun,
    Engine,
    Env,
    From,
    Image,
    Reason,
    Timeout,
    Wait,
    image_of,
    refuse_idle,
    timeout_of,
)
from pipeline.errors import LocalCloudRunDown, PlatformUnavailable, UserError
from pipeline.model import Outcome

if TYPE_CHECKING:
    from pipeline.app.request import Request


@connecting
def rollout(
    session: Session,
    *,
    image: Image = "",
    source: From = "",
    env: Env = None,
    wait: Wait = True,
    timeout: Timeout = "",
    engine: Engine = EngineChoice.AUTO,
    supersede: Annotated[
        bool, typer.Option("--supersede", help="Give up another rollout that is under way.")
    ] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Start the next attempt of one that ended.")] = False,
    take_tags: Annotated[
        bool, typer.Option("--take-tags", help="Make somebody else's tags stable and candidate ours.")
    ] = False,
    override_soak: Annotated[
        bool, typer.Option("--override-soak", help="Wait for no soak, here or elsewhere; needs --reason.")
    ] = False,
    reason: Reason = "",
    commit: Annotated[
        str,
        typer.Option(
            "--commit", help="That the image was built from; default: GITHUB_SHA. The report tells by it."
        ),
    ] = "",
    dry_run: DryRun = False,
) -> int:
    """Roll a revision out in stages; traffic goes back by itself when it fails.

    The same command resumes a rollout that is under way, and answers how it ended afterwards.

    Example:  spillway rollout --image good --env local
    """
    from pipeline.app.admission import Door
    from pipeline.app.drive import open_drive
    from pipeline.app.gate import Gate
    from pipeline.app.images import pinned
    from pipeline.app.request import Request

    limit = timeout_of(session, timeout, wait=wait)
    if dry_run:
        fix = "See the plan without it: spillway plan --image DIGEST"
        idle = ("supersede", "retry", "take_tags", "engine", "override_soak", "reason", "commit")
        refuse_idle(session, "with --dry-run", fix, *idle)
        from pipeline.cli import plan

        return plan.show(session, image, source, env)
    _refuse_unfounded(session, override_soak=override_soak, reason=reason)
    session.engine = engine
    with ExitStack() as stack:
        asked = Request.of(session, env)
        named = image_of(session, asked, image, source)
        built = replace(asked, commit=_commit(asked, named, source, commit))
        request = stack.enter_context(pinned(built, named))
        gate, door = Gate(request), Door(request, reason if override_soak else "")
        try:
            drive = stack.enter_context(open_drive(request))
        except (LocalCloudRunDown, PlatformUnavailable):
            if gate() is not None:  # an answer that needs no platform
                return gate.refuse()
            raise
        ended = drive.begin(retry=retry, supersede=supersede, take_tags=take_tags, admit=door, gate=gate)
        if ended and ended.outcome is Outcome.CHECKS_FAILED:
            return gate.refuse()
        return drive.finish(ended) if ended else drive.go_on(wait=wait, timeout=limit)


def _commit(asked: Request, image: str, source: str, option: str) -> str:
    """That the image was built from. One that soaked elsewhere has it from there: this job runs for a later one."""
    from pipeline.app.changes import built_from

    if option or not source or "image" in asked.session.given:
        return built_from(option)
    from pipeline.app.admission import commit_of

    return commit_of(asked, image)


def _refuse_unfounded(session: Session, *, override_soak: bool, reason: str) -> None:
    """Raises UserError for an override without its reason, and for a reason of nothing."""
    if not override_soak:
        refuse_idle(session, "without --override-soak", "Leave it out.", "reason")
        return
    refuse_idle(session, "beside --override-soak", "Name the image: --image DIGEST", "source")
    if not reason.strip():
        raise UserError(
            "--override-soak needs a reason",
            "It stands in the record and the report.",
            "Add it: --reason TEXT",
        )
