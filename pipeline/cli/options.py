"""Options that several commands share, and how a service is named on the command line."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from pipeline.app.session import Session
from pipeline.errors import ConfigError, UserError
from pipeline.model import ServiceRef

Env = Annotated[
    str | None, typer.Option("--env", "-e", help="Environment of spillway.yaml.", envvar="SPILLWAY_ENV")
]
Image = Annotated[
    str,
    typer.Option(
        "--image", help="Image pinned by digest; locally a name under images:.", envvar="SPILLWAY_IMAGE"
    ),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the record and the report.")]
Project = Annotated[
    str | None, typer.Option("--project", help="Google Cloud project.", envvar="SPILLWAY_PROJECT")
]
Region = Annotated[str | None, typer.Option("--region", help="Cloud Run region.", envvar="SPILLWAY_REGION")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Drive it to its end, or only begin it.")]
Timeout = Annotated[
    str,
    typer.Option("--timeout", help="Stop driving after this long (exit 15); the rollout stays under way."),
]
ServiceArgument = Annotated[
    str | None,
    typer.Argument(help="projects/P/locations/L/services/S, or a name with --project and --region."),
]


def find_service(
    session: Session, service: str | None, project: str | None, region: str | None, env: str | None
) -> ServiceRef:
    """The service. A full name needs no configuration at all.

    Raises: UserError, or ConfigError when only the configuration could have told.
    """
    if service and (ref := ServiceRef.parse(service)):
        return ref
    if service and project and region:
        return ServiceRef(project, region, service)
    if service and "/" in service:
        raise UserError(
            f"{service}: not a service",
            "A full name reads projects/P/locations/L/services/S.",
            "Check its four parts.",
        )
    try:
        config = session.load_config()
    except ConfigError as error:
        raise ConfigError(
            error.what,
            error.why,
            "Without a readable configuration, name the service in full: projects/P/locations/L/services/S",
        ) from error
    _, environment = config.environment(env)
    return environment.ref(service or config.service)


def timeout_of(text: str) -> timedelta | None:
    """Of ``--timeout``; None where it was not given. Raises UserError."""
    if not text:
        return None
    from pipeline.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UserError(f"--timeout: {error}") from error
