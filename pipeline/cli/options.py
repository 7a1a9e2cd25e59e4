"""Options that several commands share, and how a service is named on the command line."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from pipeline.app.programs import EngineChoice
from pipeline.app.session import Session
from pipeline.errors import ConfigError, UserError
from pipeline.model import ServiceRef
from pipeline.units import parse_duration

if TYPE_CHECKING:
    from pipeline.app.request import Request

Env = Annotated[str | None, typer.Option("--env", "-e", help="Environment of spillway.yaml.")]
Image = Annotated[
    str,
    typer.Option("--image", help="Image pinned by digest; locally a name under images:."),
]
From = Annotated[
    str,
    typer.Option("--from", help="The environment whose soaked image is wanted, in place of --image."),
]
Project = Annotated[str | None, typer.Option("--project", help="Google Cloud project.")]
Region = Annotated[str | None, typer.Option("--region", help="Cloud Run region.")]
ServiceArgument = Annotated[
    str | None,
    typer.Argument(help="projects/P/locations/L/services/S, or a name with --project and --region."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the record and the report.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Drive it to its end, or let go once its revision is there.")
]
Engine = Annotated[
    EngineChoice,
    typer.Option("--engine", help="Who applies the Pulumi program."),
]
Timeout = Annotated[
    str,
    typer.Option("--timeout", help="Stop driving after this long (exit 15); the rollout stays under way."),
]


def refuse_idle(session: Session, where: str, fix: str, *names: str) -> None:
    """Raises UserError for what stands on the command line where nothing would come of it.

    What the environment gives is a default: it may go unused, and stands in nobody's way.

    Args:
        where: why it would not be used, in words; ``fix``: what to type instead.
        names: of the parameters.
    """
    if idle := [session.given[name] for name in names if name in session.given]:
        raise UserError(f"{', '.join(idle)}: of no use {where}", "It would change nothing here.", fix)


def find_service(
    session: Session, service: str | None, project: str | None, region: str | None, env: str | None
) -> ServiceRef:
    """The service. A full name needs no configuration at all.

    Raises: UserError, or ConfigError when only the configuration could have told.
    """
    if service and (ref := ServiceRef.parse(service)):
        refuse_idle(session, "beside a full name", f"Name it so: {service}", "project", "region", "env")
        return ref
    if service and "/" in service:
        raise UserError(
            f"{service}: not a service",
            "A full name reads projects/P/locations/L/services/S.",
            "Check its four parts.",
        )
    if service and project and region:
        refuse_idle(session, "beside --project and --region", "Leave one of them out.", "env")
        return ServiceRef(project, region, service)
    refuse_idle(
        session,
        "unless both are given" if service else "without a service's name",
        f"Name it in full: projects/{project or 'P'}/locations/{region or 'L'}/services/{service or 'S'}",
        "project",
        "region",
    )
    try:
        places = session.load_places()
    except ConfigError as error:
        raise ConfigError(
            error.what,
            error.why,
            "Without a readable configuration, name the service in full: projects/P/locations/L/services/S",
        ) from error
    _, environment = places.environment(env)
    ref = places.ref(environment)
    return replace(ref, service=service) if service else ref


def image_of(session: Session, request: Request, image: str, source: str) -> str:
    """What ``--image`` says, or ``--from`` comes to. Raises UserError, and as ``admission.next_image``."""
    is_named = (
        "image" in session.given and "source" not in session.given
    )  # then --from is a default that goes unused
    if source and not is_named:
        from pipeline.app.admission import next_image

        refuse_idle(session, "beside --from", "Leave one of them out.", "image")
        return next_image(request, source)
    if not image:
        raise UserError(
            "which image?",
            "Neither --image nor --from is given.",
            "Give --image DIGEST, or --from ENVIRONMENT where an image comes from another one.",
        )
    return image


def timeout_of(session: Session, text: str, *, wait: bool) -> timedelta | None:
    """Of ``--timeout``; None where it was not given. Raises UserError, also where nobody would wait so long."""
    if not wait:
        refuse_idle(session, "with --no-wait", "Leave one of them out.", "timeout")
    why = "It is how long this command drives; the rollout stays under way after it."
    return duration_of("--timeout", text, why, "45m") if text else None


def duration_of(option: str, text: str, why: str, example: str) -> timedelta:
    """Raises UserError. Args: why: what the option is for."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UserError(f"{option}: {error}", why, f"Give one: {option} {example}") from error
