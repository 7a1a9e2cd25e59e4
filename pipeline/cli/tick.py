"""tick: one step of whatever is under way, for a scheduler; with --all, of a whole fleet."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from pipeline.app.session import Session
from pipeline.cli.command import connecting
from pipeline.cli.options import Env, Project, Region, duration_of, refuse_idle
from pipeline.errors import UserError

_ONLY_WITH_ALL = ("files", "label", "project", "region", "every")


@connecting
def tick(
    session: Session,
    *,
    env: Env = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Of each service that --files or --label finds: docs/fleet.md.")
    ] = False,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--files", help="With --all: configurations, as 'services/*/spillway.yaml'; several times."
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", help="With --all: services with this label, as spillway=watched; all of several."
        ),
    ] = None,
    project: Project = None,
    region: Region = None,
    every: Annotated[str, typer.Option("--every", help="With --all: how often this is run.")] = "1m",
) -> int:
    """Take one step of whatever is under way, for a scheduler, and print when to come again.

    Example:  */1 * * * *  spillway tick --env production
    """
    if not everything:
        refuse_idle(session, "without --all", "Give --all as well, or leave it out.", *_ONLY_WITH_ALL)
        return _one(session, env)
    from pipeline.app.fleet_members import Label
    from pipeline.app.watch_fleet import Wanted, watch

    refuse_idle(
        session, "with --all", "Name the configurations: --files 'services/*/spillway.yaml'", "config"
    )
    if not (files or label):
        raise UserError(
            "all of which services?",
            "--all goes over what --files or --label finds, and neither is given.",
            "Name their files: spillway tick --all --files 'services/*/spillway.yaml' --env production",
        )
    if not label:
        refuse_idle(session, "without --label", "Leave it out: the files say it.", "project", "region")
    elif bool(project) != bool(region):
        raise UserError(
            f"--{'project' if project else 'region'} alone names no place",
            "Services are listed by project and region.",
            "Give both: --project P --region L",
        )
    labels = [Label.parse(each) for each in label or ()]
    return watch(session, Wanted(files or (), labels, project, region, env, _every(every)))


def _one(session: Session, env: str | None) -> int:
    from pipeline.app import stepping
    from pipeline.app.drive import open_drive
    from pipeline.app.request import Request
    from pipeline.report import writes

    with open_drive(Request.of(session, env), one_step=True) as drive:
        service = drive.place.ref.name
        # The service is there and was never rolled out by us: a scheduler need not cry.
        if drive.place.platform.read(drive.place.ref).record_text is None:
            step = stepping.nothing_to_do(service)
        else:
            upcoming = drive.tick()
            if upcoming.outcome is not None:
                drive.drain()
            step = stepping.taken(
                service,
                upcoming,
                drive.seen(),
                code=drive.step_code() if upcoming.outcome is None else 0,
                limited=drive.engine.raises_nothing,
                promote=writes.promote(drive.request.name),
            )
        session.output.result(step.text, step.document)
        return step.code


def _every(text: str) -> timedelta:
    """Raises UserError."""
    every = duration_of("--every", text, "It is how often the schedule runs this.", "1m")
    if not timedelta(seconds=1) <= every <= timedelta(hours=1):
        raise UserError(
            f"--every {text}: not between 1s and 1h",
            "A pass lasts no longer than that, and a rollout without a step for 15 minutes goes back.",
            "Give one: --every 1m",
        )
    return every
