"""report: what a rollout did, as Markdown and HTML."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.app.session import Session
from pipeline.cli.command import command
from pipeline.cli.options import Env
from pipeline.errors import UserError
from pipeline.output import streams


@command
def report(
    session: Session,
    *,
    rollout: Annotated[
        str | None, typer.Argument(help="Rollout id; default: the one on the service.")
    ] = None,
    env: Env = None,
) -> int:
    """Write the report of a rollout as Markdown and HTML, from its record, its logs and its journal.

    With -o json the report's own values come on stdout, and the files' names in "reports".

    Example:  spillway report
    """
    from pipeline.app.drive import open_drive
    from pipeline.app.reporting import make_report, write_report
    from pipeline.app.request import Request

    with open_drive(Request.of(session, env)) as drive:
        current = drive.current()
        if current is None or (rollout and current.plan.rollout_id != rollout):
            raise UserError(
                f"no rollout {rollout or ''}".rstrip(),
                f"the service carries {current.plan.rollout_id if current else 'no record'}",
                "Start one: spillway rollout --image DIGEST",
            )
        made = make_report(session, drive.world, current, alerts=drive.place.alerts)
        try:
            paths = write_report(session, current, made)
        except OSError as error:
            raise UserError(
                "the report cannot be written", str(error), "Choose another folder: -C DIR"
            ) from error
    streams.wait_for_reader()
    session.output.result(
        "\n".join(map(str, paths)), {"reports": [str(path) for path in paths], **made.to_json()}
    )
    return 0
