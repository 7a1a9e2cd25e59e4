"""Writing reports: the record and the logs from the service, the journal from this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import evidence, record
from pipeline.cli.frame import Session
from pipeline.errors import SpillwayError
from pipeline.ports import World
from pipeline.report import timeline
from pipeline.report.tally import Tally
from pipeline.rollout import Rollout

if TYPE_CHECKING:
    from pipeline.cli.panel import Seen
    from pipeline.cli.wiring import Place
    from pipeline.evidence import Arm, Exposure
    from pipeline.model import LogLine
    from pipeline.ports import Clock, LogSource, Platform
    from pipeline.report.document import Report


@dataclass(frozen=True, slots=True)
class Logs:
    """What the logs of both revisions hold since the rollout began."""

    lines: Sequence[LogLine]
    arms: Sequence[Arm]

    def exposures(self, current: Rollout, now: datetime) -> Mapping[str, Exposure]:
        return {
            arm.revision: evidence.exposure(self.lines, arm, current.plan.sampling, now) for arm in self.arms
        }


def read_logs(world: World, current: Rollout) -> Logs | None:
    """None when the logs cannot be read."""
    try:
        lines = world.logs.lines(current.plan.ref, since=current.started, revisions=_revisions(current))
        return Logs(lines, _arms(world.platform, current))
    except SpillwayError:
        return None


def _revisions(current: Rollout) -> tuple[str, ...]:
    return tuple(dict.fromkeys((current.plan.candidate, current.plan.stable)))


def _arms(platform: Platform, current: Rollout) -> Sequence[Arm]:
    """Those of the two revisions that are there."""
    there = {r.name: r.nonce for r in platform.revisions(current.plan.ref)}
    return [evidence.Arm(name, there[name]) for name in _revisions(current) if name in there]


def exposures(world: World, current: Rollout) -> Mapping[str, Exposure] | None:
    """What users met on each revision since the rollout began; None when the logs cannot be read."""
    logs = read_logs(world, current)
    return logs.exposures(current, world.clock.now()) if logs else None


class Eyes:
    """Sees what users met, again and again, for a view: None when it cannot be seen.

    It has its own connections, because it may be asked from another thread than the engine's, and asks the logs only
    for what is new.
    """

    def __init__(self, place: Place, clock: Clock) -> None:
        self._place = place
        self._clock = clock
        self._of: tuple[str, int] | None = None
        self._tally: Tally | None = None

    def __call__(self) -> Seen | None:
        from pipeline.cli.panel import Seen

        try:
            current = record.of(self._platform.read(self._place.ref))
            if current is None:
                return None
            tally = self._tally_of(current)
            tally.add(self._logs.lines(self._place.ref, since=tally.since, revisions=_revisions(current)))
        except SpillwayError:
            return None
        now = self._clock.now()
        return Seen(tally.exposures(now), tally.fresh(current.since, now))

    @cached_property
    def _platform(self) -> Platform:
        return self._place.platform

    @cached_property
    def _logs(self) -> LogSource:
        return self._place.logs

    def _tally_of(self, current: Rollout) -> Tally:
        """One for each rollout attempt; a candidate that has no revision yet has no nonce to know it by."""
        key = (current.plan.rollout_id, current.attempt)
        if self._tally is None or self._of != key:
            arms = _arms(self._platform, current)
            made = Tally(arms, current.plan.sampling, current.started)
            if len(arms) < len(_revisions(current)):
                return made
            self._of, self._tally = key, made
        return self._tally


def make_report(session: Session, world: World, current: Rollout) -> Report:
    """The report's values, as far as the logs and this machine know. A journal that cannot be read is an absent one."""
    from pipeline import checking, journal
    from pipeline.report import document, facts

    path = journal.path_of(rollouts_of(session), current.plan.rollout_id, current.attempt)
    logs, now = read_logs(world, current), world.clock.now()
    met = logs.exposures(current, now) if logs else None
    until = facts.end_of_axis(current, now)
    closes = timeline.closes(logs.lines, logs.arms, current.started, until) if logs else ()
    checks = checking.stored(checking.kept_in(path.parent, current.plan.rollout_id))
    try:
        lines = journal.read(path)
    except OSError as error:
        session.output.say(f"the journal cannot be read: {error}")
        lines = ()
    return document.build(current, lines, met, now, closes=closes, checks=checks)


def write_reports(session: Session, world: World, current: Rollout) -> list[Path]:
    """Make the report and write it. Whatever goes wrong is said, never an error: a roll-back must not end badly
    because of paper."""
    try:
        return write_report(session, current, make_report(session, world, current))
    except Exception as error:  # noqa: BLE001 - a full disk, or a fault of ours: the outcome stands
        session.output.say(f"no report: {error!r}")
        return []


def write_report(session: Session, current: Rollout, made: Report) -> list[Path]:
    """Markdown and HTML beside the journal, each written whole or not at all."""
    from pipeline import journal
    from pipeline.report import render

    folder = rollouts_of(session)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for suffix, text in ((".md", render.markdown(made)), (".html", render.html(made))):
        path = journal.path_of(folder, current.plan.rollout_id, current.attempt, suffix)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
        written.append(path)
    return written


def add_to_step_summary(session: Session, reports: Sequence[Path]) -> None:
    """Show the Markdown on the page of the CI run, where there is one."""
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    pages = [path for path in reports if path.suffix == ".md"]
    if not summary or not pages:
        return
    try:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.writelines(path.read_text(encoding="utf-8") for path in pages)
    except OSError as error:
        session.output.say(f"no step summary: {error}")


def rollouts_of(session: Session) -> Path:
    """Where this project's journals and reports lie."""
    return session.state_folder / "rollouts"
