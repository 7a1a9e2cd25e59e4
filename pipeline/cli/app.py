"""The command ``spillway``: names, help and nothing else. Every command imports what it needs when it runs."""

from __future__ import annotations

import typer

from pipeline.cli import (
    check,
    doctor,
    init,
    local,
    plan,
    probe,
    promote,
    report,
    rollback,
    rollout,
    schema,
    status,
    tick,
    unpin,
)
from pipeline.cli import demo as demo_command
from pipeline.cli.parameters import Command, Group

app = typer.Typer(
    name="spillway",
    cls=Group,
    help="Staged rollouts and automatic roll-back for WebSocket services on Cloud Run.\n\n"
    "A revision that closes sockets after the handshake looks healthy to every request metric. Spillway holds whole "
    "conversations with it at 0 %, moves traffic in stages, judges users' agent runs against the stable revision "
    "beside it, and gives traffic back by itself.\n\n"
    "Start here:  spillway demo",
    no_args_is_help=True,
    rich_markup_mode=None,  # help in half the time: rich is loaded where something is drawn
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "SPILLWAY"},
)

app.command(cls=Command)(init.init)
app.command(cls=Command)(check.check)
app.command(cls=Command)(plan.plan)
app.command(cls=Command)(rollout.rollout)
app.command(cls=Command)(promote.promote)
app.command(cls=Command)(rollback.rollback)
app.command(cls=Command)(unpin.unpin)
app.command(cls=Command)(status.status)
app.command(cls=Command)(tick.tick)
app.command(cls=Command)(probe.probe)
app.command(cls=Command)(report.report)
app.command(cls=Command)(schema.schema)
app.command(cls=Command)(doctor.doctor)
app.add_typer(local.app, name="local")
app.command(cls=Command)(demo_command.demo)
