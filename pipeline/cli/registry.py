"""The commands by name, and the command line made of them. A command is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from pipeline.cli import exit_codes
from pipeline.cli.parameters import Command, Group

#: Each is a module of this package with a function, or a group called ``app``, in the order of ``--help``.
COMMANDS = (
    "init", "check", "plan", "rollout", "promote", "rollback", "unpin", "status", "tick", "probe", "report",
    "schema", "doctor", "demo",
)  # fmt: skip
GROUPS = ("local",)


def app_for(words: Sequence[str]) -> typer.Typer:
    """The command line that answers these words: the one command that they begin with, or all of them.

    All are wanted for help, completion and a name that is none of them; importing all takes longer than many a command.
    """
    first = words[0] if words else ""
    return build((first,) if first in (*COMMANDS, *GROUPS) else (*COMMANDS, *GROUPS))


def build(names: Sequence[str]) -> typer.Typer:
    """``spillway`` with these commands and no others."""
    app = typer.Typer(
        name="spillway",
        cls=Group,
        epilog=exit_codes.ALL,
        no_args_is_help=True,
        rich_markup_mode=None,  # help in half the time: rich is loaded where something is drawn
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_spillway)  # a group, also of a single command
    for name in names:
        module = import_module(f"pipeline.cli.{name}")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
        else:
            app.command(cls=Command, epilog=exit_codes.of(name))(getattr(module, name))
    return app


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"spillway {version('spillway')}")
        raise typer.Exit


def _spillway(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """Staged rollouts and automatic roll-back for WebSocket services on Cloud Run.

    A revision that closes sockets after the handshake looks healthy to every request metric. Spillway holds whole
    conversations with it at 0 %, moves traffic in stages, judges users' agent runs against the stable revision beside
    it, and gives traffic back by itself.

    Start here:  spillway demo
    """
