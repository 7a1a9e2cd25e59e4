"""status: look at a rollout without touching it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.app.session import Session
from pipeline.cli.command import command
from pipeline.cli.options import Env
from pipeline.model import Outcome
from pipeline.output import streams
from pipeline.output.writer import Mode

Alert = Mapping[str, Any]  # one that fires, as ``local status`` has it

if TYPE_CHECKING:
    from pipeline.app.drive import Drive
    from pipeline.events import Look


@command
def status(
    session: Session,
    *,
    env: Env = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Stay and look again each second, in the cloud each five.")
    ] = False,
) -> int:
    """Show the rollout: stage, revisions, gates, events. Changes nothing.

    Example:  spillway status --watch
    """
    from pipeline.app.drive import open_drive
    from pipeline.app.request import Request

    with (
        open_drive(Request.of(session, env)) as drive,
        _screen(session, drive, stays=watch) as show,
    ):
        while True:
            show(drive.engine.observer.look(probe=False), drive.place.firing())
            if not watch or session.stopped.is_set() or streams.is_gone("stdout"):
                return 0
            drive.world.clock.sleep(max(timedelta(seconds=1), drive.engine.rhythm.quiet))


@contextmanager
def _screen(
    session: Session, drive: Drive, *, stays: bool
) -> Iterator[Callable[[Look, Sequence[Alert]], None]]:
    """What shows a look on stdout: the document, the picture, or on a terminal the picture redrawn in its place."""
    if session.output.mode is not Mode.TEXT:
        yield lambda look, firing: session.output.result("", {**_document(look), "alerts": list(firing)})
        return
    from rich.console import Group
    from rich.text import Text

    from pipeline.app.reporting import UserFigures
    from pipeline.redact import plain
    from pipeline.view.local_lines import alert_line
    from pipeline.view.panel import render

    console, figures = streams.console("stdout"), UserFigures(drive.place, drive.world.clock, drive.seen)

    def picture(look: Look, firing: Sequence[Alert]) -> Group:
        told = [Text(plain(alert_line(alert)), style="bold red") for alert in firing]
        return Group(*told, render(look, (), figures(), drive.world.clock.now(), console.width))

    if not stays or not console.is_terminal:
        yield lambda look, firing: console.print(picture(look, firing))
        return
    from rich.live import Live

    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda look, firing: live.update(picture(look, firing), refresh=True)


def _document(look: Look) -> dict[str, object]:
    from pipeline.core.pin import pin_of

    s, current = look.situation, look.situation.rollout
    pin = pin_of(s.live, current)
    return {
        "service": current.plan.ref.name,
        "rollout": current.plan.rollout_id,
        "attempt": current.attempt,
        "outcome": (current.outcome or Outcome.UNDER_WAY).label,
        "phase": current.phase.value,
        "stage": current.stage_index,
        "percent": current.stage.percent,
        "stable": current.plan.stable,
        "candidate": current.plan.candidate,
        "wanted": dict(s.live.wanted.serving),
        "serving": dict(s.live.serving.serving),
        "epoch": current.epoch,
        "driver": current.driver,
        "heartbeat": current.heartbeat.isoformat(),
        "pinned": pin.to_json() if pin else None,
        "drift": s.drift,
        "reason": current.reason,
        "judgement": s.stage_verdict.to_json(),
        "waiting": current.waiting,
        "history": [
            {"at": step.at.isoformat(), "event": step.event.value, "percent": step.percent, "reason": step.reason,
             "by": step.by}
            for step in current.history
        ],
    }  # fmt: skip
