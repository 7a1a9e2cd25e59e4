"""``tick --all``: one pass of one task over a fleet, and what is told of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache

from msgspec import Struct, field

from pipeline import budget
from pipeline.app import stepping
from pipeline.app.fleet import ByFile, ByRecord, Member, Pass
from pipeline.app.fleet_members import Label, Task, files_of, labelled, of_files
from pipeline.app.session import Session
from pipeline.app.side_by_side import Bounds, SideBySide
from pipeline.app.stepping import Step
from pipeline.app.timing import COST, Timing
from pipeline.app.wiring import Place, SystemClock, open_places
from pipeline.cloudrun.log_filter import Asked
from pipeline.core import fleet
from pipeline.core.rollout import Rollout
from pipeline.driving.due import lines_needed
from pipeline.errors import SpillwayError, UserError
from pipeline.model import ServiceRef
from pipeline.output.writer import Mode
from pipeline.units import format_duration

_LONG_AGO = timedelta(hours=1)  # lines of so long ago are not searched for together with others'


class Wanted(Struct, frozen=True):
    """Which services.

    Args:
        files: patterns of their configurations. ``labels``: of services, in ``project`` and ``region`` or else where the
            files' are.
        every: how often this is run.
    """

    files: Sequence[str] = ()
    labels: Sequence[Label] = ()
    project: str | None = None
    region: str | None = None
    env: str | None = None
    every: timedelta = timedelta(minutes=1)


class Results(Struct):
    """Prints each result as it comes, and counts."""

    session: Session
    steps: list[Step] = field(default_factory=list)

    def __call__(self, step: Step) -> None:
        self.steps.append(step)
        output = self.session.output
        if output.mode is Mode.NDJSON or (
            output.mode is Mode.TEXT and (output.level > 0 or not step.is_idle)
        ):
            output.result(f"{step.service}: {step.text}", step.document)

    @property
    def code(self) -> int:
        return fleet.worst(step.code for step in self.steps)

    @property
    def counts(self) -> Mapping[str, int]:
        """Results by outcome, the most frequent first; what is idle by that."""
        found = Counter("idle" if step.is_idle else str(step.document["outcome"]) for step in self.steps)
        return dict(found.most_common())


def watch(session: Session, wanted: Wanted) -> int:
    """One pass; the exit code that needs a person most. Raises UserError, AccessError, LocalCloudRunDown."""
    session.leaves_at_once = True
    task, told = Task.of(os.environ, budget.MOST_TASKS), Results(session)
    requests, errors = of_files(session, files_of(wanted.files, session.config_file.parent), wanted.env, task)
    for step in errors:
        told(step)
    places = _places(wanted, requests)
    is_local = any(ServiceRef(*place, "").is_local for place in places)
    timing = Timing(wanted.every, task.count, is_limited=not is_local)
    under_way = 0
    if places:
        clock = SystemClock(session.stopped)
        with open_places(session, is_local=is_local, tasks=task.count) as place:
            passing = _pass(session, clock, timing, place)
            found = _labelled(wanted, places, passing, told)
            members: dict[ServiceRef, Member] = {ref: ByRecord(ref, place(ref), clock) for ref in found}
            members |= {ref: ByFile(request, place(ref), clock) for ref, request in requests.items()}
            for step in passing.steps([each for ref, each in members.items() if task.has(ref.name)]):
                told(step)
            under_way = passing.under_way
    _tell(told, task, timing, under_way)
    return told.code


def _places(wanted: Wanted, refs: Iterable[ServiceRef]) -> Sequence[tuple[str, str]]:
    """Project and location of all that is wanted. Raises UserError."""
    found = {(ref.project, ref.location) for ref in refs}
    if wanted.labels and wanted.project and wanted.region:
        found.add((wanted.project, wanted.region))
    if wanted.labels and not wanted.files and not found:
        raise UserError(
            "where are the services with that label?",
            "Neither --project and --region nor --files says it.",
            "Name both: --label spillway=watched --project P --region L",
        )
    if len({ServiceRef(*place, "").is_local for place in found}) > 1:
        raise UserError(
            "services of the local Cloud Run and of the cloud in one fleet",
            f"The projects are: {', '.join(sorted({project for project, _ in found}))}.",
            "Watch them apart: --env NAME, or another pattern for --files",
        )
    return sorted(found)


def _pass(session: Session, clock: SystemClock, timing: Timing, place: Callable[[ServiceRef], Place]) -> Pass:
    ports = place(ServiceRef("", "", "")).shared  # the same ones for every service
    assert ports is not None
    logs = ports.logs
    return Pass(
        clock, timing, services=cache(ports.platform.services),
        expect=lambda rollouts: logs.expect(asked(rollouts, clock.now())),
        side_by_side=SideBySide(clock, Bounds(), room=room, is_stopped=session.stopped.is_set),
    )  # fmt: skip


def asked(rollouts: Iterable[Rollout], now: datetime) -> Iterator[Asked]:
    """The lines that the next looks at these will need, as far as one search may serve for all."""
    for current in rollouts:
        with suppress(OverflowError, ValueError):  # times that somebody wrote: his own look fails by them
            since = lines_needed(current)
            if since is not None and now - since <= _LONG_AGO:
                revisions = sorted({current.plan.candidate, current.plan.stable})
                yield Asked(current.plan.ref, tuple(revisions), since)


def room(active: int) -> float:
    """Seconds until the quota has room for one more step beside so many."""
    return budget.PROCESS.room({quota: cost * (active + 1) for quota, cost in COST.items()})


def _labelled(
    wanted: Wanted, places: Iterable[tuple[str, str]], passing: Pass, told: Callable[[Step], object]
) -> Iterator[ServiceRef]:
    """Services that bear the labels; a place that cannot be listed is a result of its own."""
    for project, location in places if wanted.labels else ():
        try:
            yield from labelled(wanted.labels, passing.services(project, location))
        except SpillwayError as error:
            told(stepping.failed(f"projects/{project}/locations/{location}", error))


def _tell(told: Results, task: Task, timing: Timing, under_way: int) -> None:
    rhythm, count, steps = timing.rhythm(under_way), len(told.steps), timing.steps
    document: dict[str, object] = {
        "event": "fleet", "outcome": "watched", "exit_code": told.code, "task": task.index, "tasks": task.count,
        "services": count, "under_way": under_way, "counts": told.counts,
        "step_every_seconds": rhythm.total_seconds(), "steps_a_pass": int(steps) if timing.is_limited else None,
    }  # fmt: skip
    output = told.session.output
    if output.mode is Mode.JSON:
        document["results"] = [step.document for step in told.steps]
    by_outcome = ", ".join(f"{number} {outcome}" for outcome, number in told.counts.items()) or "none"
    limit = f"; the quota has room for {steps:.0f} steps a pass" if timing.is_limited else ""
    output.result(
        f"task {task.index + 1} of {task.count}: {count} services: {by_outcome}\n"
        f"{under_way} rollouts under way, a step each every {format_duration(rhythm)}{limit}",
        document,
    )
