"""report: what a rollout did, as Markdown, HTML, JSON or JUnit."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.app.session import Session
from pipeline.cli.command import connecting
from pipeline.cli.options import Env, refuse_idle
from pipeline.errors import UserError
from pipeline.output import streams

if TYPE_CHECKING:
    from pipeline.report.document import Report


class Format(StrEnum):
    MARKDOWN = "markdown"
    HTML = "html"
    JUNIT = "junit"


@connecting
def report(
    session: Session,
    *,
    rollout: Annotated[
        str | None, typer.Argument(help="Rollout id; default: the one on the service.")
    ] = None,
    env: Env = None,
    since: Annotated[
        str,
        typer.Option("--since", help="Stable's commit: what changed since is listed; default: the record's."),
    ] = "",
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Print it in this form, and write no file.", show_default=False),
    ] = None,
) -> int:
    """Write the report of a rollout as Markdown and HTML, from its record, its logs and its journal.

    With -o json the report's own values come on stdout, and the files' names in "reports". --format junit has a test
    case for the rollout, each check, each scenario and each gate.

    Example:  spillway report
    """
    from pipeline.app.drive import open_drive
    from pipeline.app.reporting import make_report, write_report
    from pipeline.app.request import Request

    if form is not None:
        refuse_idle(session, "beside --format", "Leave one of them out.", "output")
    with open_drive(Request.of(session, env)) as drive:
        current = drive.current()
        if current is None or (rollout and current.plan.rollout_id != rollout):
            raise UserError(
                f"no rollout {rollout or ''}".rstrip(),
                f"the service carries {current.plan.rollout_id if current else 'no record'}",
                "Start one: spillway rollout --image DIGEST",
            )
        made = make_report(session, drive.world, current, alerts=drive.place.alerts, commit=since)
        if form is not None:
            streams.wait_for_reader()
            session.output.data(_rendered(made, form).rstrip("\n"))
            return 0
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


def _rendered(made: Report, form: Format) -> str:
    from pipeline.report import junit, render

    forms = {Format.MARKDOWN: render.markdown, Format.HTML: render.html, Format.JUNIT: junit.render}
    return forms[form](made)
