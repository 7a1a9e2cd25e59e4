"""What the engine needs from the world, as protocols. Fakes, local and cloud all implement these.

Each method either returns what its name says or raises an error of ``errors.py``; none returns "maybe".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct, field

from pipeline.model import LiveService, LogLine, Revision, ServiceRef, Split
from pipeline.probe.ask import ProbeAsk
from pipeline.probe.command import Command, CommandEnd
from pipeline.probe.probe_report import ProbeReport


class Clock(Protocol):
    """Time comes in as an argument.

    One process's clock is steady: that somebody sets the machine's time moves neither ``now`` nor a ``sleep``. Two
    processes' clocks may differ.
    """

    def now(self) -> datetime:
        """Aware UTC."""

    def sleep(self, duration: timedelta) -> None: ...


class Platform(Protocol):
    """Cloud Run, as one rollout sees it."""

    def read(self, ref: ServiceRef) -> LiveService:
        """Raises ServiceNotFound, AccessError, PlatformUnavailable."""

    def revisions(self, ref: ServiceRef) -> Sequence[Revision]:
        """Newest first."""

    def revision(self, ref: ServiceRef, name: str) -> Revision:
        """Raises RevisionNotFound."""

    def write(
        self, ref: ServiceRef, *, etag: str, annotations: Mapping[str, str], split: Split | None = None
    ) -> None:
        """Replace the annotations, and the traffic with them when a split is given, in one UpdateService.

        Returns when the request was *accepted*; whether traffic moved is seen by reading back
        ``LiveService.serving``. Foreign annotations must be in ``annotations`` to survive.

        Raises: StaleWrite when the etag no longer matches; RequestRejected; PlatformUnavailable (the write may
        or may not have been applied: read again and compare).
        """

    def write_put_back(
        self,
        ref: ServiceRef,
        *,
        etag: str,
        annotations: Mapping[str, str],
        split: Split,
        template_of: str,
        name: str,
    ) -> None:
        """The same write, which also makes a revision of this name of another one's template; it gets no traffic.

        Raises as ``write``, RevisionNotFound, and PlanRefused for a template that cannot be said again.
        """

    def delete_revision(self, ref: ServiceRef, name: str) -> None:
        """Its instances get SIGTERM and 10 s. Raises RequestRejected while it is latest, only or serving."""


class Deployer(Protocol):
    """The Pulumi program, however it is run."""

    @property
    def lasts(self) -> timedelta:
        """How long an apply may take until its write, which carries no etag; zero where it carries one."""

    @property
    def outlives(self) -> bool:
        """Whether what applies it may still write when this process is gone."""

    def deploy(self, ref: ServiceRef, *, image: str, revision: str) -> None:
        """Create the candidate at 0 % (or the first revision of a new service at 100 %). Moves no traffic.

        Does nothing when the revision is there already. Returns when that was accepted, or later; whether it gets
        ready is seen by looking at it. Raises RequestRejected, PlatformUnavailable, and FieldsLost when it would lose,
        or has lost, live settings that nobody asked to change.
        """


class Prober(Protocol):
    """Holds conversations without stopping the engine: a slow agent must not blind the judge."""

    def start(self, ask: ProbeAsk) -> None:
        """Begin one round. Only called when none is under way."""

    def poll(self) -> ProbeReport | None:
        """The finished round, once; None while it is under way or when none was started."""

    @property
    def is_busy(self) -> bool: ...


class Verifier(Protocol):
    """Runs a team's own commands, one at a time, without stopping the engine."""

    def start(self, command: Command) -> None:
        """Begin it. Only called when none is under way."""

    def poll(self) -> CommandEnd | None:
        """How it ended, once; None while it is under way or when none was started."""

    def stop(self) -> None:
        """End what is under way, with all that it started; ``poll`` tells nothing of it."""


class Nobody:
    """Deployer, prober and verifier of who only looks: nothing is made, no conversation held, no command run."""

    lasts, outlives = timedelta(0), False
    is_busy = False

    def deploy(self, ref: ServiceRef, *, image: str, revision: str) -> None:
        raise AssertionError(f"an onlooker deploys nothing: {ref.service}, {revision}, {image}")

    def start(self, ask: object) -> None:
        raise AssertionError(f"an onlooker asks nothing: {ask}")

    def poll(self) -> None:
        return None

    def stop(self) -> None:
        """Nothing is under way."""


class LogSource(Protocol):
    """Logging v2."""

    def lines(self, ref: ServiceRef, *, since: datetime, revisions: Iterable[str]) -> Sequence[LogLine]:
        """Entries of these revisions with timestamp >= since that evidence can use, oldest first.

        That is telemetry lines, and text or error lines that match ``metrics.ERROR_PATTERNS``.
        Raises PlatformUnavailable or AccessError: "could not look" is never an empty answer.
        """

    def pages(
        self, ref: ServiceRef, *, since: datetime, until: datetime, revisions: Iterable[str]
    ) -> Iterator[Sequence[LogLine]]:
        """The same lines with since <= timestamp <= until, a page at a time: nothing is kept. Raises as ``lines``."""


class World(Struct, frozen=True):
    """All ports of one rollout together."""

    platform: Platform
    deployer: Deployer
    prober: Prober
    logs: LogSource
    clock: Clock
    verifier: Verifier = field(default_factory=Nobody)  # where nothing is to be verified
