"""init: a configuration and a workflow for the repository that one stands in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from pipeline.app.session import Session
from pipeline.cli.command import command
from pipeline.cli.options import DryRun
from pipeline.errors import UserError
from pipeline.model import ServiceRef
from pipeline.output import streams

if TYPE_CHECKING:
    from pipeline.app.initialise import Ask, Made
    from pipeline.scaffold.configuration import Answers


@command
def init(
    session: Session,
    *,
    service: Annotated[str, typer.Option("--service", help="Name of the service; default: as seen.")] = "",
    source: Annotated[
        str,
        typer.Option("--from", metavar="SERVICE", help="A live one: projects/P/locations/L/services/S."),
    ] = "",
    ci: Annotated[bool, typer.Option("--ci/--no-ci", help="Write a GitHub workflow too.")] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    dry_run: DryRun = False,
) -> int:
    """Look at this repository and write spillway.yaml, its JSON schema, CI and the watchdog's Dockerfile for it.

    Seen are the framework, WebSocket routes, message types and what is sent for each, the Dockerfile, Pulumi and CI. The
    source is read, never run or edited; the telemetry's lines are printed with the place where they go.

    Example:  spillway init -y
    """
    from pipeline.app import initialise

    session.need_folder()
    root = session.state_folder.parent
    repo = initialise.look(root)
    said = replace(initialise.answers(repo, _asker(session)), service=service)
    if source:
        said = _of_live(session, said, source)
    made = initialise.make(session, root, repo, said, ci=ci)
    if not dry_run:
        initialise.write(root, made, force=force)
    streams.wait_for_reader()
    _tell(session, made, is_written=not dry_run)
    return 0


def _asker(session: Session) -> Ask:
    """Only a person at a terminal is asked."""
    is_asked = not session.yes and session.is_terminal and sys.stdin is not None and sys.stdin.isatty()

    def ask(question: str, default: str) -> str:
        if not is_asked:
            return default
        return str(typer.prompt(question, default=default, show_default=bool(default), err=True)).strip()

    return ask


def _of_live(session: Session, said: Answers, name: str) -> Answers:
    from pipeline.app import initialise
    from pipeline.app.wiring import open_place

    ref = ServiceRef.parse(name)
    if ref is None:
        raise UserError(
            f"--from {name}: not a service",
            "A full name reads projects/P/locations/L/services/S.",
            "Check its four parts.",
        )
    session.say_connecting()
    with open_place(session, ref) as place:
        return initialise.of_live(said, ref, place.platform.read(ref))


def _tell(session: Session, made: Made, *, is_written: bool) -> None:
    from pipeline.scaffold import advice

    say = session.output.say
    for line in (*advice.seen(made.repo), *advice.telemetry(made.repo)):
        say(line)
    for path, why in made.left.items():
        say(f"left        {path}: {why}")
    word = "written" if is_written else "would be written"
    for path in made.files:
        say(f"{word}     {path}")
    if is_written:
        say("keep        .spillway/ out of the repository: it holds state, journals and reports")
        for line in advice.following(made.repo):
            say(line)
    shown = "" if is_written else made.files["spillway.yaml"].rstrip("\n")
    session.output.result(shown, {"written": is_written, "files": dict(made.files), "left": dict(made.left)})
