"""Writing reports: the record and the logs from the service, the journal from this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline import private
from pipeline.app.session import Session
from pipeline.core.rollout import Rollout
from pipeline.driving.ports import Clock, LogSource, Platform, World
from pipeline.errors import PlatformUnavailable, SpillwayError, UserError
from pipeline.judging.exposure import Exposure
from pipeline.judging.reading import Arm
from pipeline.model import LogLine, Revision
from pipeline.report import facts
from pipeline.report.tally import Tally

if TYPE_CHECKING:
    from pipeline.app.wiring import Place
    from pipeline.report.document import Report
    from pipeline.report.examples import Examples
    from pipeline.report.timeline import Closes
    from pipeline.view.panel import Seen


MAX_LINES = 1_000_000  # read for one report; a page of Cloud Logging holds a thousand, and a minute 60 pages
MAX_READING = timedelta(minutes=5)
DRAINS_WITHIN = timedelta(
    minutes=61
)  # after the end: no request, so no socket, of Cloud Run lives longer than an hour


class Met(Struct, frozen=True):
    """What the logs hold of an attempt.

    Args:
        examples: some of the runs that failed.
        until: the logs were read up to here, because there were too many; None: all of them.
        revisions: those that there are.
    """

    exposures: Mapping[str, Exposure]
    closes: Sequence[Closes]
    examples: Examples | None = None
    until: datetime | None = None
    revisions: Sequence[Revision] = ()


def read_logs(world: World, current: Rollout) -> Met | None:
    """What users met from the attempt's start to its end; None when the logs cannot be read.

    Page by page, in memory for what is open: neither grows with a rollout of two days.
    """
    from pipeline.report.examples import Examples
    from pipeline.report.timeline import Timeline

    now = world.clock.now()
    ended = facts.end_of(current)
    last = min(now, ended + DRAINS_WITHIN) if ended else now
    axis = Timeline(current.started, facts.end_of_axis(current, now))
    try:
        revisions = world.platform.revisions(current.plan.ref)
        tally = Tally(
            _arms(revisions, current), current.plan.terms.sampling, current.started, ended, axis,
            windows=current.windows, ignored=_ignored(current),
            examples=Examples(current.plan.terms.sampling, _ignored(current)),
        )  # fmt: skip
        pages = world.logs.pages(
            current.plan.ref, since=current.started, until=last, revisions=_revisions(current)
        )
        is_whole = _take(pages, tally, world.clock)
    except SpillwayError:
        return None
    seen_at = last if is_whole else tally.newest
    until = None if is_whole else seen_at
    return Met(tally.exposures(seen_at), tally.closes(), tally.examples(seen_at), until, revisions)


def _take(pages: Iterator[Sequence[LogLine]], tally: Tally, clock: Clock) -> bool:
    """Whether all of them were read. Raises PlatformUnavailable when not even the first page was."""
    taken, give_up = 0, clock.now() + MAX_READING
    try:
        for page in pages:
            tally.add(page)
            tally.settle(tally.newest)
            taken += len(page)
            if taken >= MAX_LINES or clock.now() >= give_up:
                return False
    except PlatformUnavailable:
        if not taken:
            raise
        return False
    return True


def _revisions(current: Rollout) -> tuple[str, ...]:
    return tuple(dict.fromkeys((current.plan.candidate, current.plan.stable)))


def _arms(revisions: Sequence[Revision], current: Rollout) -> Sequence[Arm]:
    """Those of the two revisions that are there, or were until we deleted them."""
    there = {r.name: r.nonce for r in revisions}
    if (gone := current.draining) and gone.nonce:
        there.setdefault(gone.revision, gone.nonce)
    return [Arm(name, there[name]) for name in _revisions(current) if name in there]


def _ignored(current: Rollout) -> Sequence[str]:
    """Patterns of closes' reasons that the configuration calls somebody else's doing."""
    return [each for criterion in current.plan.terms.criteria for each in criterion.ignore_reasons]


class UserFigures:
    """Sees what users met, again and again, for a view: None when it cannot be seen.

    It has its own connections, because it may be asked from another thread than the engine's, and asks the logs only
    for what is new. ``current``: the rollout as somebody has read it; it is not read again for a picture.
    """

    def __init__(self, place: Place, clock: Clock, current: Callable[[], Rollout | None]) -> None:
        self._place = place
        self._clock = clock
        self._current = current
        self._of: tuple[str, int] | None = None
        self._tally: Tally | None = None

    def __call__(self) -> Seen | None:
        from pipeline.view.panel import Seen

        try:
            current = self._current()
            if current is None:
                return None
            tally = self._tally_of(current)
            tally.windows = current.windows
            tally.add(self._logs.lines(self._place.ref, since=tally.since, revisions=_revisions(current)))
        except SpillwayError:
            return None
        now = self._clock.now()
        return Seen(tally.exposures(now), tally.fresh(current.stage_began, now), tally.instances(now))

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
            arms = _arms(self._platform.revisions(current.plan.ref), current)
            made = Tally(arms, current.plan.terms.sampling, current.started, ignored=_ignored(current))
            if len(arms) < len(_revisions(current)):
                return made
            self._of, self._tally = key, made
        return self._tally


def make_report(
    session: Session,
    world: World,
    current: Rollout,
    *,
    alerts: Callable[[], Sequence[str]] | None = None,
    commit: str = "",
) -> Report:
    """The report's values, as far as the logs and this machine know. A journal that cannot be read is an absent one.

    Args:
        commit: stable's; what changed since is asked of the repository. Raises UserError when it has no such commit.
            Empty: as the record says, where it does and the repository has it.
    """
    from pipeline.app import static_checks
    from pipeline.report import document, journal

    commit, changed = _changed(session, current, commit)
    folder, attempt = session.rollouts, journal.Attempt.of(current)
    met = read_logs(world, current)
    try:
        lines = journal.read(folder, attempt)
    except OSError as error:
        session.output.say(f"the journal cannot be read: {error}")
        lines = ()
    return document.build(
        current,
        lines,
        met.exposures if met else None,
        world.clock.now(),
        closes=met.closes if met else (),
        examples=met.examples if met else None,
        checks=static_checks.of_attempt(folder, attempt),
        read_until=met.until if met else None,
        revisions=met.revisions if met else (),
        alerts=_looked(alerts),
        commit=commit,
        changed=changed,
    )


def _changed(session: Session, current: Rollout, commit: str) -> tuple[str, tuple[str, ...] | None]:
    """Stable's commit, and what changed since; none where it is not known. Raises UserError for one that was asked for."""
    from pipeline.app import changes

    plan = current.plan
    if commit:
        return commit, changes.since(session.config_file.parent, commit, plan.commit)
    if plan.stable_commit:
        with suppress(UserError):  # this clone may be another's, or a shallow one
            found = changes.since(session.config_file.parent, plan.stable_commit, plan.commit)
            return plan.stable_commit, found
    return "", None


def _looked(alerts: Callable[[], Sequence[str]] | None) -> Sequence[str] | None:
    """Titles of alert policies; None where they cannot be read, which is nobody's fault."""
    try:
        return alerts() if alerts else None
    except SpillwayError:
        return None


def write_reports(
    session: Session, world: World, current: Rollout, alerts: Callable[[], Sequence[str]] | None = None
) -> tuple[list[Path], str]:
    """Make the report and write it. Whatever goes wrong is said, never an error: a roll-back must not end badly
    because of its report.

    Returns: the files, and how most of the runs failed that the candidate was sent back for, if it was for some.
    """
    try:
        made = make_report(session, world, current, alerts=alerts)
        cause = next((f"most often: {cause} ({n:,})" for cause, n in made.causes.items()), "")
        return write_report(session, current, made), cause if current.blamed else ""
    except Exception as error:  # noqa: BLE001 - a full disk, or a fault of ours: the outcome stands
        session.output.say(f"no report: {error!r}")
        return [], ""


def write_report(session: Session, current: Rollout, made: Report) -> list[Path]:
    """Markdown and HTML beside the journal, each whole or not at all, over what this attempt's report was before.

    Raises: OSError; then what was there is there still, and no draft is left behind.
    """
    from pipeline.report import journal, render

    folder, attempt = session.rollouts, journal.Attempt.of(current)
    private.make_folder(folder)
    texts = {
        attempt.path(folder, ".md"): render.markdown(made),
        attempt.path(folder, ".html"): render.html(made),
    }
    for path, text in texts.items():
        private.write(path, text)
    return list(texts)
