"""status: look at a rollout without touching it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from pipeline.app.session import Session
from pipeline.cli.command import connecting
from pipeline.cli.options import Env, Project, Region, ServiceArgument, find_service
from pipeline.errors import PlatformUnavailable, UserError
from pipeline.model import Outcome
from pipeline.output import streams
from pipeline.output.writer import Mode
from pipeline.redact import plain

if TYPE_CHECKING:
    from pipeline.app.reporting import UserFigures
    from pipeline.app.soaking import Followers
    from pipeline.app.wiring import Place
    from pipeline.driving.ports import Clock
    from pipeline.events import Look
    from pipeline.local.endpoint import Alerts
    from pipeline.view.panel import Seen


@connecting
def status(
    session: Session,
    *,
    service: ServiceArgument = None,
    project: Project = None,
    region: Region = None,
    env: Env = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Stay and look again each second, in the cloud each five.")
    ] = False,
) -> int:
    """Show the rollout: stage, revisions, gates, events. Changes nothing.

    Needs no configuration when the service is named in full.

    Example:  spillway status --watch
    """
    from pipeline.app.reporting import UserFigures
    from pipeline.app.soaking import followers_of
    from pipeline.app.wiring import SystemClock, open_onlooker, open_place

    if watch and session.output.mode is Mode.JSON:
        raise UserError("-o json with --watch: one document that never ends", fix="Ask for lines: -o ndjson")
    ref = find_service(session, service, project, region, env)
    session.leaves_at_once = True
    clock, after = SystemClock(session.stopped), cache(partial(followers_of, session, ref))
    with open_place(session, ref) as place:
        observer, _, rhythm = open_onlooker(place, clock)
        figures = UserFigures(place, clock, lambda: observer.current)
        with _screen(session, place, env, figures, clock, after, stays=watch) as screen:
            rest, told = max(timedelta(seconds=1), rhythm.quiet), ""
            while True:
                try:
                    screen.show(observer.look(probe=False), place.watched())
                    told = ""
                except PlatformUnavailable as error:
                    if not watch:
                        raise
                    if told != error.what:  # once, however long it lasts
                        session.output.say(f"{error.what}: looking again")
                    told = error.what
                if not watch or session.stopped.is_set() or streams.is_gone("stdout"):
                    return 0
                screen.rest(rest)


class _Screen(Struct, frozen=True):
    """Shows looks on stdout, and rests between two."""

    show: Callable[[Look, Alerts], None]
    rest: Callable[[timedelta], None]


@contextmanager
def _screen(
    session: Session,
    place: Place,
    env: str | None,
    figures: UserFigures,
    clock: Clock,
    after: Followers,
    *,
    stays: bool,
) -> Iterator[_Screen]:
    """The document, the picture, or on a terminal the picture redrawn in its place."""
    if session.output.mode is not Mode.TEXT:
        yield _Screen(
            lambda look, alerts: session.output.result("", _document(look, after, alerts, figures())),
            clock.sleep,
        )
        return
    from rich.console import Group
    from rich.text import Text

    from pipeline.app import soaking
    from pipeline.view.local_lines import alert_line, silent_line
    from pipeline.view.panel import render

    console = streams.console("stdout")

    def picture(look: Look, alerts: Alerts, seen: Seen | None, keys: str = "") -> Group:
        told = [Text(plain(alert_line(alert)), style="bold red") for alert in alerts.firing]
        told += [
            Text(plain(silent_line(policy, len(alerts.not_evaluated) - 1)), style="yellow")
            for policy in alerts.not_evaluated[:1]
        ]
        s = look.situation
        soaks = [Text(plain(each)) for each in soaking.lines(s.live, s.rollout, after, clock.now())]
        return Group(*told, render(look, (), seen, clock.now(), console.width, keys), *soaks)

    if not (stays and streams.can_redraw(is_terminal=console.is_terminal, ci=bool(os.environ.get("CI")))):
        yield _Screen(lambda look, alerts: console.print(picture(look, alerts, figures())), clock.sleep)
        return
    from pipeline.cli.watching import Watching

    with Watching(session, place, env, console, picture, figures) as watching:
        yield _Screen(watching.show, watching.rest)


def _document(look: Look, after: Followers, alerts: Alerts, seen: Seen | None) -> dict[str, object]:
    from pipeline.app import soaking
    from pipeline.core.pin import pin_of
    from pipeline.report import left

    s, current = look.situation, look.situation.rollout
    pin, met = pin_of(s.live, current), seen.exposures if seen else None
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
        "soaking": soaking.document(s.live, current, after),
        "drift": s.drift,
        "reason": current.reason,
        "judgement": s.stage_verdict.to_json(),
        "waiting": current.waiting,
        "history": [
            {"at": step.at.isoformat(), "event": step.event.value, "percent": step.percent, "reason": step.reason,
             "by": step.by}
            for step in current.history
        ],
        "alerts": list(alerts.firing),
        "alerts_not_evaluated": list(alerts.not_evaluated),
        # How many are open by revision, until when at the most, and what is done about them.
        "sockets": [
            {"revision": each.revision, "role": each.role, "open": each.open,
             "last_ends_at": each.ends.isoformat() if each.ends else None}
            for each in left.left_on(current, met, (s.candidate, s.stable))
        ],
        "draining": left.words(current, met),
    }  # fmt: skip
