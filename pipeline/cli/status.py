"""status and report: look at a rollout without touching it."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.frame import Session, command
from pipeline.cli.options import Env
from pipeline.cli.output import Mode
from pipeline.model import Outcome

if TYPE_CHECKING:
    from pipeline.cli.driving import Drive
    from pipeline.observer import Look


@command
def status(
    session: Session,
    *,
    env: Env = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Stay and look again each second.")] = False,
) -> int:
    """Show the rollout: stage, revisions, gates, events. Changes nothing.

    Example:  spillway status --watch
    """
    from pipeline.cli.driving import open_drive

    with open_drive(session, session.load_config(), env) as drive:
        while True:
            look = drive.engine.observer.look(probe=False)
            _show(session, drive, look)
            if not watch or session.stopped.is_set():
                return 0
            drive.world.clock.sleep(timedelta(seconds=1))


def _show(session: Session, drive: Drive, look: Look) -> None:
    from pipeline.cli.reporting import see

    if session.output.mode is not Mode.TEXT:
        session.output.result("", _document(look))
        return
    from rich.console import Console

    from pipeline.cli.panel import render

    console = Console(file=sys.stdout)
    seen = see(drive.world, look.situation.rollout)
    console.print(render(look, (), seen, drive.world.clock.now(), console.width))


def _document(look: Look) -> dict[str, object]:
    s = look.situation
    current = s.rollout
    outcome = current.outcome or Outcome.UNDER_WAY
    return {
        "service": current.plan.ref.name,
        "rollout": current.plan.rollout_id,
        "attempt": current.attempt,
        "outcome": outcome.label,
        "phase": current.phase.value,
        "stage": current.stage,
        "percent": current.current.percent,
        "stable": current.plan.stable,
        "candidate": current.plan.candidate,
        "wanted": dict(s.live.wanted.serving),
        "serving": dict(s.live.serving.serving),
        "epoch": current.epoch,
        "driver": current.driver,
        "heartbeat": current.heartbeat.isoformat(),
        "drift": s.drift,
        "reason": current.reason,
        "judgement": s.stage_verdict.to_json(),
        "history": [
            {"at": step.at.isoformat(), "event": step.event.value, "percent": step.percent, "reason": step.reason,
             "by": step.by}
            for step in current.history
        ],
    }  # fmt: skip


@command
def report(
    session: Session,
    *,
    rollout: Annotated[
        str | None, typer.Argument(help="Rollout id; default: the one on the service.")
    ] = None,
    env: Env = None,
) -> int:
    """Write the report of a rollout as Markdown and HTML, from its record and its journal.

    Example:  spillway report
    """
    from pipeline.cli.driving import open_drive
    from pipeline.cli.reporting import write_reports
    from pipeline.errors import UserError

    with open_drive(session, session.load_config(), env) as drive:
        current = drive.current()
        if current is None or (rollout and current.plan.rollout_id != rollout):
            there = (
                f"the service carries {current.plan.rollout_id}"
                if current
                else "the service carries no record"
            )
            raise UserError(
                f"no rollout {rollout or ''}".rstrip(), there, "Start one: spillway rollout --image DIGEST"
            )
        paths = write_reports(session, drive.world, current)
    session.output.result("\n".join(map(str, paths)), {"reports": [str(path) for path in paths]})
    return 0
