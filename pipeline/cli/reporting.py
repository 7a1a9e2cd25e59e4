"""Writing reports: the record and the logs from the service, the journal from this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import evidence, timeline
from pipeline.cli.frame import Session
from pipeline.errors import SpillwayError
from pipeline.ports import World
from pipeline.rollout import Rollout

if TYPE_CHECKING:
    from pipeline.cli.panel import Seen
    from pipeline.evidence import Arm, Exposure
    from pipeline.model import LogLine
    from pipeline.report import Report

_OVERLAP = timedelta(seconds=10)  # log lines may arrive this much out of order


@dataclass(frozen=True, slots=True)
class Logs:
    """What the logs of both revisions hold since the rollout began."""

    lines: Sequence[LogLine]
    arms: Sequence[Arm]

    def exposures(self, current: Rollout, now: datetime) -> Mapping[str, Exposure]:
        return {
            arm.revision: evidence.exposure(self.lines, arm, current.plan.sampling, now) for arm in self.arms
        }

    def fresh(self, since: datetime, now: datetime, current: Rollout) -> Mapping[str, int]:
        """Connections accepted since a moment, by revision."""
        late = [line for line in self.lines if line.at >= since]
        return {
            arm.revision: evidence.exposure(late, arm, current.plan.sampling, now).sessions
            for arm in self.arms
        }


def read_logs(world: World, current: Rollout) -> Logs | None:
    """None when the logs cannot be read."""
    plan = current.plan
    names = tuple(dict.fromkeys((plan.candidate, plan.stable)))
    try:
        lines = world.logs.lines(plan.ref, since=current.started, revisions=names)
        nonces = {r.name: r.nonce for r in world.platform.revisions(plan.ref)}
    except SpillwayError:
        return None
    return Logs(lines, [evidence.Arm(name, nonces.get(name, "")) for name in names])


def exposures(world: World, current: Rollout) -> Mapping[str, Exposure] | None:
    """What users met on each revision since the rollout began; None when the logs cannot be read."""
    logs = read_logs(world, current)
    return logs.exposures(current, world.clock.now()) if logs else None


def see(world: World, current: Rollout) -> Seen | None:
    """What users met, for the view; None when the logs cannot be read."""
    from pipeline.cli.panel import Seen

    logs, now = read_logs(world, current), world.clock.now()
    return Seen(logs.exposures(current, now), logs.fresh(current.since, now, current)) if logs else None


def make_report(session: Session, world: World, current: Rollout) -> Report:
    """The report's values. Raises: OSError when the journal is there and cannot be read."""
    from pipeline import journal, report

    path = journal.path_of(rollouts_of(session), current.plan.rollout_id, current.attempt)
    logs, now = read_logs(world, current), world.clock.now()
    met = logs.exposures(current, now) if logs else None
    closes = timeline.closes(logs.lines, logs.arms, current.started, now) if logs else ()
    return report.build(current, journal.read(path), met, now, closes=closes)


def write_reports(session: Session, world: World, current: Rollout) -> list[Path]:
    """Markdown and HTML beside the journal. A report that cannot be written is said, never an error: a roll-back must
    not end badly because of paper."""
    from pipeline import journal, render

    folder = rollouts_of(session)
    try:
        made = make_report(session, world, current)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for suffix, text in ((".md", render.markdown(made)), (".html", render.html(made))):
            path = journal.path_of(folder, current.plan.rollout_id, current.attempt, suffix)
            path.write_text(text, encoding="utf-8")
            written.append(path)
    except OSError as error:
        session.output.say(f"no report: {error}")
        return []
    return written


def rollouts_of(session: Session) -> Path:
    """Where this project's journals and reports lie."""
    return session.state_folder / "rollouts"
