"""plan: what a rollout would do."""

from __future__ import annotations

from pipeline.app.session import Session
from pipeline.cli.command import command
from pipeline.cli.options import Env, Image


@command
def plan(session: Session, *, image: Image, env: Env = None) -> int:
    """Show what a rollout would do: revision, every traffic write, gates, refusals. Writes nothing.

    Example:  spillway plan --image good
    """
    return show(session, image, env)


def show(session: Session, image: str, env: str | None) -> int:
    """Print the plan; the exit code. Raises PlanRefused where the rollout would be."""
    from pipeline.app import show_plan
    from pipeline.app.drive import open_drive
    from pipeline.app.gate import Gate
    from pipeline.app.images import referenced
    from pipeline.app.request import Request

    request = referenced(Request.of(session, env), image)
    with open_drive(request) as drive:
        return show_plan.show(drive, Gate(request))
