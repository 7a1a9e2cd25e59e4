"""A pass over many services: what is under way gets a step each, by its own file or by its record alone.

All services are read by a few lists; whose last rollout ended costs nothing more. Each step is taken in a thread of its
own and comes to a result of its own, whatever becomes of the others (``side_by_side.py``); which comes first, and how many
the quota has room for, is said in ``core/fleet.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from pipeline.app import stepping
from pipeline.app.request import Request
from pipeline.app.side_by_side import Job, SideBySide
from pipeline.app.stepping import Restoring, Step
from pipeline.app.timing import Timing
from pipeline.app.wiring import Place, SystemClock, open_guard
from pipeline.core import fleet, record
from pipeline.core.rollout import ENDED, Phase, Rollout
from pipeline.driving.ports import Clock
from pipeline.errors import PlatformUnavailable, ServiceNotFound, SpillwayError
from pipeline.model import LiveService, ServiceRef

Patience = Callable[[timedelta], timedelta]
Listed = Mapping[ServiceRef, LiveService]


class Member(Protocol):
    """One service of the fleet."""

    @property
    def ref(self) -> ServiceRef: ...

    def step(self, patience: Patience) -> Step:
        """Take one. Args: patience: after which silence it goes back. Raises SpillwayError."""


class ByFile(Struct, frozen=True):
    """Driven as ``tick`` drives it. What its file cannot be used for, it is judged by its record for."""

    request: Request
    place: Place
    clock: SystemClock

    @property
    def ref(self) -> ServiceRef:
        return self.request.ref

    def step(self, patience: Patience) -> Step:
        from pipeline.app.drive import open_drive
        from pipeline.report import writes

        try:
            _ = self.request.wish  # what a file lacks is told before anything is opened
        except SpillwayError as error:
            return self._by_record(error, patience)
        restoring, file = Restoring(), self.request.session.config_file
        with open_drive(self.request, one_step=True, place=self.place) as drive:
            current = drive.current()
            if current is None or current.phase in ENDED:
                return stepping.nothing_to_do(self.ref.name, current)
            restoring.is_so = current.phase is Phase.ROLLING_BACK
            drive.listeners.join(restoring)
            silent = patience(self.request.config.watchdog.silent)
            drive.engine.rhythm = replace(drive.engine.rhythm, gives_up=silent)
            upcoming = stepping.one_step(drive.engine, self.clock, restoring, drive.tick)
            return stepping.taken(
                self.ref.name, upcoming, drive.seen(), code=0, limited=drive.engine.raises_nothing,
                promote=writes.promote(self.request.name, str(file)),
            )  # fmt: skip

    def _by_record(self, error: SpillwayError, patience: Patience) -> Step:
        file = self.request.session.config_file
        why = f"{file} cannot be used ({error.what}): users' evidence is judged, and nothing is raised"
        step = ByRecord(self.ref, self.place, self.clock, why, self.request.config.watchdog.silent).step(
            patience
        )
        return replace(step, code=fleet.worst((step.code, error.exit_code)))


class ByRecord(Struct, frozen=True):
    """Judged by users' evidence and the terms in the record: it may go back, and is never raised.

    Args:
        silent: after which silence it goes back, where a file says so; None: the usual one.
    """

    ref: ServiceRef
    place: Place
    clock: SystemClock
    why: str = "no file says its scenarios: users' evidence is judged, and nothing is raised"
    silent: timedelta | None = None

    def step(self, patience: Patience) -> Step:
        current = record.of(self.place.platform.read(self.ref))
        if current is None or current.phase in ENDED:
            return stepping.nothing_to_do(self.ref.name, current)
        restoring = Restoring(current.phase is Phase.ROLLING_BACK)
        engine = open_guard(self.place, self.clock, self.why, restoring)
        assert engine.rhythm.gives_up is not None
        engine.rhythm = replace(engine.rhythm, gives_up=patience(self.silent or engine.rhythm.gives_up))
        upcoming = stepping.one_step(engine, self.clock, restoring, engine.tick)
        seen = engine.observer.current
        return stepping.taken(self.ref.name, upcoming, seen, code=0, limited=self.why, promote="")


class _Due(Struct, frozen=True):
    """What is under way; ``current`` None: nobody could list it, so it has to be looked at by itself."""

    member: Member
    current: Rollout | None


class Pass:
    """One pass of one task.

    Args:
        services: all of a project's location. Raises SpillwayError.
        expect: told of the rollouts that will be stepped, before the first one is: their lines may be read together.
    """

    def __init__(
        self,
        clock: Clock,
        timing: Timing,
        *,
        services: Callable[[str, str], Listed],
        expect: Callable[[Iterable[Rollout]], object],
        side_by_side: SideBySide[Step],
    ) -> None:
        self.under_way = 0  # rollouts that want a step
        self._clock = clock
        self._timing = timing
        self.services = services
        self._expect = expect
        self._side_by_side = side_by_side

    def steps(self, members: Sequence[Member]) -> Iterator[Step]:
        """One for each, as they come; what has nothing to do comes last."""
        listed = {place: self._listed(*place) for place in {_place(member.ref) for member in members}}
        found = [self._found(member, listed[_place(member.ref)]) for member in members]
        due = [each for each in found if isinstance(each, _Due)]
        now = self._clock.now()
        due.sort(key=lambda each: fleet.turn(each.current, now) if each.current else (1, 0.0))
        self.under_way = sum(each.current is None or each.current.phase is not Phase.PAUSED for each in due)
        known = {each.member.ref.name: each.current for each in due}
        soon = due[: int(min(len(due), 2 * self._timing.steps))]  # what costs no write leaves room for more
        self._expect(each.current for each in soon if each.current is not None)
        next_pass = now + self._timing.every
        yield from self._side_by_side.results(
            [self._job(each) for each in due],
            self._timing.starts_within,
            late=lambda job: stepping.failed(job.name, _hangs(job.name)),
            left=lambda job: stepping.not_yet(job.name, known[job.name], next_pass),
        )
        yield from (each for each in found if isinstance(each, Step))

    def _listed(self, project: str, location: str) -> Listed | None:
        """None where it cannot be listed: then each is read by itself, and says why it cannot be."""
        try:
            return self.services(project, location)
        except SpillwayError:
            return None

    def _found(self, member: Member, listed: Listed | None) -> _Due | Step:
        if listed is None:
            return _Due(member, None)
        name = member.ref.name
        if (live := listed.get(member.ref)) is None:
            return stepping.failed(name, _missing(member.ref))
        try:
            current = record.of(live)
        except SpillwayError as error:
            return stepping.failed(name, error)
        is_due = current is not None and current.phase not in ENDED
        return _Due(member, current) if is_due else stepping.nothing_to_do(name, current)

    def _job(self, due: _Due) -> Job[Step]:
        is_urgent = due.current is not None and due.current.phase is Phase.ROLLING_BACK
        patience = partial(self._timing.patience, under_way=self.under_way)
        return Job(due.member.ref.name, lambda: _taken(due.member, patience), is_urgent)


def _taken(member: Member, patience: Patience) -> Step:
    """Whatever goes wrong is this one's result."""
    try:
        return member.step(patience)
    except BaseException as error:  # noqa: BLE001 - a fault of ours in one service is none of the others
        return stepping.failed(member.ref.name, stepping.told(error))


def _place(ref: ServiceRef) -> tuple[str, str]:
    return ref.project, ref.location


def _missing(ref: ServiceRef) -> SpillwayError:
    return ServiceNotFound(
        f"{ref.name}: there is no such service",
        "Its file names it, and the list of the services there does not.",
        "Roll it out once, or mend project, region and service in its file.",
    )


def _hangs(name: str) -> SpillwayError:
    return PlatformUnavailable(
        f"{name}: its step has not come to an end",
        "It was waited for as long as a step may take; the others went on without it.",
        f"See what it waits for: spillway status {name}",
    )
