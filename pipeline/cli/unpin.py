"""unpin: give traffic back to the latest ready revision, after a rollout has pinned it by name."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.app.session import Session, who
from pipeline.cli.command import connecting
from pipeline.cli.options import DryRun, Env, Project, Reason, Region, ServiceArgument, find_service
from pipeline.model import Outcome
from pipeline.output.writer import outcome_document


@connecting
def unpin(
    session: Session,
    *,
    service: ServiceArgument = None,
    project: Project = None,
    region: Region = None,
    env: Env = None,
    move: Annotated[
        bool, typer.Option("--move", help="Also where that moves users to another revision than they are on.")
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
) -> int:
    """Let traffic follow the latest ready revision again, so that plain deploys are served.

    After a rollout it stays pinned by name. Refused while a rollout is under way, and where another revision than the
    one that has the traffic is the latest ready one: then users would move, without any test. The next rollout pins
    again.

    Example:  spillway unpin projects/acme/locations/us-central1/services/agent-chat
    """
    from pipeline.app.journalling import Told, answer
    from pipeline.app.wiring import SystemClock, open_place
    from pipeline.core import pin, record
    from pipeline.driving.unpin import unpin as give_to_latest

    ref = find_service(session, service, project, region, env)
    session.leaves_at_once = True
    told = Told(session)
    with open_place(session, ref) as place:
        if dry_run:
            live = place.platform.read(ref)
            pin.unpinned(live, record.of(live), move=move)
            return session.output.would(
                f"give 100% of {ref.service} to LATEST, now {live.latest_ready}; it is {live.wanted}"
            )
        done = give_to_latest(
            place.platform, SystemClock(session.stopped), ref,
            by=who(), reason=reason, move=move, listen=told.listen, stop=session.stopped.is_set,
        )  # fmt: skip
    code = 0 if done.verified else Outcome.UNDER_WAY.exit_code
    head = {"outcome": "unpinned", "exit_code": 0} if done.verified else outcome_document(Outcome.UNDER_WAY)
    document = {
        **head,
        "service": ref.name,
        "latest": done.target,
        "was": dict(done.was),
        "already": done.already,
    }
    answer(
        session, done, told, f"LATEST, now {done.target}", document,
        again=f"spillway unpin {ref.name}", why="traffic follows LATEST all the same",
    )  # fmt: skip
    return code
