"""rollout: the staged rollout, from checks to promotion or roll-back."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer

from pipeline.app.programs import EngineChoice
from pipeline.app.session import Session
from pipeline.cli.command import command
from pipeline.cli.options import DryRun, Engine, Env, Image, Timeout, Wait, refuse_idle, timeout_of
from pipeline.errors import LocalCloudRunDown, PlatformUnavailable
from pipeline.model import Outcome


@command
def rollout(
    session: Session,
    *,
    image: Image,
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
    dry_run: DryRun = False,
) -> int:
    """Roll a revision out in stages; traffic goes back by itself when it fails.

    The same command resumes a rollout that is under way, and answers how it ended afterwards.

    Example:  spillway rollout --image good --env local
    """
    from pipeline.app.drive import open_drive
    from pipeline.app.gate import Gate
    from pipeline.app.images import pinned
    from pipeline.app.request import Request

    limit = timeout_of(session, timeout, wait=wait)
    if dry_run:
        fix = "See the plan without it: spillway plan --image DIGEST"
        refuse_idle(session, "with --dry-run", fix, "supersede", "retry", "take_tags", "engine")
        from pipeline.cli import plan

        return plan.show(session, image, env)
    session.engine = engine
    with ExitStack() as stack:
        request = stack.enter_context(pinned(Request.of(session, env), image))
        gate = Gate(request)
        try:
            drive = stack.enter_context(open_drive(request))
        except (LocalCloudRunDown, PlatformUnavailable):
            if gate() is not None:  # an answer that needs no platform
                return gate.refuse()
            raise
        ended = drive.begin(retry=retry, supersede=supersede, take_tags=take_tags, gate=gate)
        if ended and ended.outcome is Outcome.CHECKS_FAILED:
            return gate.refuse()
        return drive.finish(ended) if ended else drive.go_on(wait=wait, timeout=limit)
