"""plan: what a rollout would do."""

from __future__ import annotations

from pipeline.app.session import Session
from pipeline.cli.command import connecting
from pipeline.cli.options import Env, From, Image, image_of


@connecting
def plan(session: Session, *, image: Image = "", source: From = "", env: Env = None) -> int:
    """Show what a rollout would do: revision, every traffic write, gates, refusals. Writes nothing.

    Example:  spillway plan --image good
    """
    return show(session, image, source, env)


def show(session: Session, image: str, source: str, env: str | None) -> int:
    """Print the plan; the exit code. Raises PlanRefused and NotYet where the rollout would."""
    from pipeline.app import show_plan
    from pipeline.app.admission import Door
    from pipeline.app.drive import open_drive
    from pipeline.app.gate import Gate
    from pipeline.app.images import referenced
    from pipeline.app.request import Request

    asked = Request.of(session, env)
    request = referenced(asked, image_of(session, asked, image, source))
    with open_drive(request) as drive:
        return show_plan.show(drive, Gate(request), Door(request))
