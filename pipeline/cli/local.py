"""local: the embedded Cloud Run by itself: start it, end it, look at it, read its logs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.app.session import Session
from pipeline.cli import exit_codes
from pipeline.cli.command import command, connecting
from pipeline.cli.options import DryRun
from pipeline.cli.parameters import Command, Group
from pipeline.errors import UserError
from pipeline.model import LOCAL_PROJECT
from pipeline.output import streams
from pipeline.output.writer import Mode
from pipeline.redact import SINK

if TYPE_CHECKING:
    from pipeline.local.images.catalogue import Image

app = typer.Typer(
    cls=Group,
    help="The local Cloud Run by itself: up, down, status, logs, pulumi.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command(cls=Command, epilog=exit_codes.of("up"))
@connecting
def up(
    session: Session,
    *,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Of the Admin API; 0 takes a free one.")
    ] = 0,
    rest_port: Annotated[
        int, typer.Option("--rest-port", min=0, max=65535, help="Of the same over HTTP and JSON.")
    ] = 0,
    bind: Annotated[
        str, typer.Option("--bind", help="Address to listen on. Beyond loopback, guarding it is up to you.")
    ] = "127.0.0.1",
    trust_forwarded: Annotated[
        bool, typer.Option("--trust-forwarded", help="Believe X-Forwarded-For of clients on this machine.")
    ] = False,
    strict_masks: Annotated[
        bool,
        typer.Option("--strict-masks", help="Refuse unknown paths in update masks; the cloud drops them."),
    ] = False,
    schedule_speed: Annotated[
        int,
        typer.Option(
            "--schedule-speed", min=1, max=600, help="How many minutes of schedules pass in one, to try them."
        ),
    ] = 1,
    balancer_port: Annotated[
        int | None,
        typer.Option(
            "--balancer-port", min=1, max=65535, help="Of a load balancer in front of the services."
        ),
    ] = None,
    dry_run: DryRun = False,
) -> int:
    """Start it, as a process that outlives this command. One that runs already is left as it is.

    The images: of spillway.yaml become its images. Services, ports and records of an earlier one, killed or ended, are
    taken up again.

    Example:  spillway local up && spillway rollout --image good --env local
    """
    from pipeline.local import daemon, endpoint

    folder = session.local_folder
    is_new = not endpoint.is_alive(folder)
    known = _images(session)
    if dry_run:
        return session.output.would(
            f"{'start' if is_new else 'leave running'} the local Cloud Run of {folder}"
        )
    found = daemon.up(
        folder, known, trust_forwarded=trust_forwarded, bind=bind, port=port, rest_port=rest_port,
        strict_masks=strict_masks, schedule_speed=schedule_speed, balancer_port=balancer_port,
    )  # fmt: skip
    state = "is up" if is_new else "was up already; it keeps its own address and flags"
    session.output.say(f"local Cloud Run {state}: process {found.pid}, folder {folder}")
    document = {"outcome": "up", "exit_code": 0, "address": found.address,
                "rest_address": found.rest_address, "pid": found.pid, "started_now": is_new,
                "folder": str(folder), "images": sorted(known)}  # fmt: skip
    session.output.result(found.address, document)
    return 0


@app.command(cls=Command, epilog=exit_codes.of("down"))
@connecting
def down(session: Session, *, dry_run: DryRun = False) -> int:
    """End it and every process under it. Its services are kept for the next `up`.

    Example:  spillway local down
    """
    from pipeline.local import daemon, endpoint

    folder = session.local_folder
    if dry_run:
        is_up = endpoint.is_alive(folder)
        return session.output.would(
            f"end {'the local Cloud Run of' if is_up else 'nothing: none runs in'} {folder}"
        )
    was_up = daemon.down(folder)
    session.output.say("local Cloud Run ended" if was_up else f"no local Cloud Run was running in {folder}")
    session.output.result("", {"outcome": "down", "exit_code": 0, "was_up": was_up, "folder": str(folder)})
    return 0


@app.command(cls=Command, epilog=exit_codes.of("status"))
@connecting
def status(session: Session) -> int:
    """Show services, revisions, instances, weights, and what the ingress saw of each socket.

    Example:  spillway local status
    """
    from pipeline.local import daemon
    from pipeline.local.state_secrets import secrets_of
    from pipeline.view.local_lines import status_lines

    seen = daemon.status(session.local_folder)
    SINK.learn(*secrets_of(session.local_folder))
    session.output.result("\n".join(status_lines(seen)), {"outcome": "up", "exit_code": 0, **seen})
    return 0


@app.command(cls=Command, epilog=exit_codes.of("logs"))
@connecting
def logs(
    session: Session,
    *,
    service: Annotated[str | None, typer.Argument(help="Only this service, by its short name.")] = None,
    revision: Annotated[str | None, typer.Option("--revision", "-r", help="Only this revision.")] = None,
    wanted: Annotated[str, typer.Option("--filter", help="In the language of Cloud Logging.")] = "",
    count: Annotated[
        int, typer.Option("-n", "--lines", min=0, max=100_000, help="So many of the newest.")
    ] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then stay, and print what comes.")] = False,
    project: Annotated[
        str, typer.Option("--project", help="Whose entries.", envvar="SPILLWAY_LOCAL_PROJECT")
    ] = LOCAL_PROJECT,
) -> int:
    """Print log entries, oldest first: output of the services, requests, and what the platform did.

    Example:  spillway local logs -n 20 --follow --filter 'severity>=ERROR'
    """
    from pipeline.local import endpoint
    from pipeline.local.read_logs import open_reader, select
    from pipeline.local.state_secrets import Trusted
    from pipeline.view.local_lines import entry_line

    if follow and session.output.mode is Mode.JSON:
        raise UserError("-o json with --follow: one document that never ends", fix="Ask for lines: -o ndjson")
    chosen, trusted = select(service, revision, wanted), Trusted(session.local_folder)
    streams.wait_for_reader()
    with open_reader(endpoint.read(session.local_folder), project) as reader, ExitStack() as stack:
        arriving = stack.enter_context(reader.tail(chosen, session.stopped)) if follow else iter(())
        newest = reader.last(count, chosen)
        SINK.learn(*trusted.fresh())
        if session.output.mode is Mode.JSON:
            session.output.result("", {"outcome": "done", "exit_code": 0, "entries": newest})
            return 0
        shown = {entry["insertId"] for entry in newest}
        for entry in chain(newest, (entry for entry in arriving if entry["insertId"] not in shown)):
            SINK.learn(*trusted.fresh())
            session.output.result(entry_line(entry), entry)
            if streams.is_gone("stdout"):
                break
    return 0


@app.command(
    cls=Command,
    epilog=exit_codes.of("pulumi"),
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@command
def pulumi(
    session: Session,
    *,
    words: Annotated[list[str], typer.Argument(help="A command of Pulumi's, with its options.")],
    image: Annotated[
        str | None, typer.Option("--image", help="Set the stack's configuration to this image first.")
    ] = None,
) -> int:
    """Run Pulumi's CLI on the local Cloud Run: backend, passphrase and provider are those of its state folder.

    It needs a Pulumi.yaml beside spillway.yaml, and the CLI with its Python language host (make pulumi).

    Example:  spillway local pulumi --image good preview --diff
    """
    from pipeline.app.pulumi_shell import run_pulumi

    return run_pulumi(session, words, image)


def _images(session: Session) -> Mapping[str, Image]:
    from pipeline.app.images import images_of

    if not os.path.lexists(session.config_file) and session.config_file.name == "spillway.yaml":
        session.output.say(f"no {session.config_file}: it starts without new images")
        return {}
    return images_of(session.config, session.config_file.parent)
