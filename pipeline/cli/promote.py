"""promote: let a paused rollout go on, or skip ahead."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.app.session import Session, who
from pipeline.cli.command import connecting
from pipeline.cli.options import DryRun, Env, Reason, Timeout, Wait, refuse_idle, timeout_of


@connecting
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
    from pipeline.app.drive import open_drive
    from pipeline.app.request import Request
    from pipeline.driving.promote import promote as let_go_on

    if full:
        refuse_idle(session, "beside --full", "Leave one of them out.", "to_percent")
    target, limit = 100 if full else to_percent, timeout_of(session, timeout, wait=wait)
    with open_drive(Request.of(session, env)) as drive:
        if dry_run:
            current = drive.engine.observer.look(probe=False).situation.rollout
            ahead = f", ahead to {target}%" if target else ""
            return session.output.would(f"let {current.plan.candidate} go on from {current.phase}{ahead}")
        drive.watch(keys=wait)
        let_go_on(drive.engine, drive.world.clock, to_percent=target, reason=reason, by=who())
        return drive.go_on(wait=wait, timeout=limit)
