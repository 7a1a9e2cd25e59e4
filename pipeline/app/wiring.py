"""From configuration to the ports: the only place that chooses between local and cloud.

Everything heavy is imported inside: ``spillway --help`` must not pay for a cloud it does not use.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline import budget
from pipeline.budget import Bucket, Quota
from pipeline.model import ServiceRef
from pipeline.redact import SINK

if TYPE_CHECKING:
    import grpc

    from infra.live import Live
    from infra.settings import ProbeJob, Settings
    from pipeline.app.programs import Program
    from pipeline.app.request import Request
    from pipeline.app.session import Session
    from pipeline.cloudrun.jobs import CloudRunJobs
    from pipeline.cloudrun.service import CloudRun
    from pipeline.cloudrun.shared_logs import SharedLogs
    from pipeline.driving.engine import Engine
    from pipeline.driving.observer import Observer
    from pipeline.driving.pace import Rhythm
    from pipeline.driving.ports import LogSource, World
    from pipeline.events import Listener
    from pipeline.local.endpoint import Alerts
    from pipeline.probe.ask import ProbeAsk
    from pipeline.probe.prober import BackgroundProber


def elapsed_s() -> float:
    """Seconds since some moment, a suspended machine's included where the system counts them."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


class SystemClock:
    """The machine's time as it was when the process began, and what has passed since; ``ports.Clock``.

    Setting the machine's clock, or its step to the right time, neither ends a soak nor makes it longer. ``sleep`` ends
    early when the event is set, so that Ctrl-C is heard at once.
    """

    def __init__(
        self,
        stopped: threading.Event | None = None,
        *,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed: Callable[[], float] = elapsed_s,
    ) -> None:
        self._stopped = stopped or threading.Event()
        self._elapsed = elapsed
        self._begun, self._at_begin = wall(), elapsed()

    def now(self) -> datetime:
        return self._begun + timedelta(seconds=self._elapsed() - self._at_begin)

    def sleep(self, duration: timedelta) -> None:
        self._stopped.wait(max(0.0, duration.total_seconds()))


class Ports(Struct, frozen=True):
    """What a whole fleet is reached through.

    Args:
        quota: of searches of the logs, whoever makes them; None: there is none.
    """

    platform: CloudRun
    logs: SharedLogs
    quota: Bucket | None = None


class Place(Struct, frozen=True):
    """One environment, opened: its service and the channel that reaches it (None: the cloud's own).

    Args:
        shared: with others; None: it has ports of its own.
    """

    ref: ServiceRef
    channel: grpc.Channel | None = None
    shared: Ports | None = None

    @property
    def platform(self) -> CloudRun:
        if self.shared is not None:
            return self.shared.platform
        from pipeline.cloudrun.service import CloudRun

        return CloudRun.over(self.channel) if self.channel is not None else CloudRun.cloud()

    def probe_job(self, asked: ProbeJob | None = None) -> CloudRunJobs:
        """Who holds its probes inside the network. Args: asked: what it shall be, where it is run."""
        from pipeline.cloudrun.jobs import CloudRunJobs

        if self.channel is None:
            return CloudRunJobs.cloud(self.ref, asked, self.shared.quota if self.shared else None)
        return CloudRunJobs.over(self.channel, self.ref, asked)

    @property
    def logs(self) -> LogSource:
        if self.shared is not None:
            return self.shared.logs
        from pipeline.cloudrun.logs import LoggingSource

        return LoggingSource.over(self.channel) if self.channel is not None else LoggingSource.cloud()

    def alerts(self) -> Sequence[str]:
        """Titles of the lasting alerts on the service. Raises AccessError, PlatformUnavailable."""
        from pipeline.cloudrun.alerts import policies_of

        return policies_of(self.ref, self.channel)

    def watched(self) -> Alerts:
        """What fires, and what cannot. The cloud tells whoever its notification channels name, and nobody else."""
        from pipeline.local.endpoint import Alerts, alerts_of

        return Alerts() if self.channel is None else alerts_of(self.channel).of(self.ref)

    def look(self, settings: Settings) -> Live | None:
        """The service as it is, for these settings; None when there is none."""
        from infra.live import read

        return read(settings, channel=self.channel)


@contextmanager
def open_place(session: Session, ref: ServiceRef) -> Iterator[Place]:
    """Reach a service. Raises LocalCloudRunDown; one that goes away later is found again when it is back."""
    if not ref.is_local:
        budget.PROCESS.limit(elapsed_s, session.stopped.wait)
        yield Place(ref)
        return
    with _open_local(session) as channel:
        yield Place(ref, channel)


@contextmanager
def open_places(session: Session, *, is_local: bool, tasks: int) -> Iterator[Callable[[ServiceRef], Place]]:
    """Reach many services through the same ports. Raises as ``open_place``, and AccessError.

    Args:
        tasks: processes that share the project's quota, this one among them.
    """
    from pipeline.cloudrun.logs import LoggingSource
    from pipeline.cloudrun.service import CloudRun
    from pipeline.cloudrun.shared_logs import SharedLogs

    if not is_local:
        budget.PROCESS.limit(elapsed_s, session.stopped.wait, lambda quota: Bucket.share(quota, tasks))
        quota = Bucket.share(Quota.LOGS, tasks)
        shared = Ports(CloudRun.cloud(), SharedLogs(LoggingSource.cloud(quota=quota)), quota)
        yield lambda ref: Place(ref, None, shared)
        return
    with _open_local(session) as channel:
        found = LoggingSource.over(channel, rest=timedelta(seconds=1))
        shared = Ports(CloudRun.over(channel), SharedLogs(found))
        yield lambda ref: Place(ref, channel, shared)


@contextmanager
def _open_local(session: Session) -> Iterator[grpc.Channel]:
    from pipeline.local.channel import FollowingChannel
    from pipeline.local.state_secrets import secrets_of

    folder = session.local_folder
    SINK.learn(*secrets_of(folder))
    with FollowingChannel(folder, learn=SINK.learn) as channel:
        yield channel


@contextmanager
def open_engine(
    request: Request, place: Place, program: Program, listen: Listener, *, one_step: bool = False
) -> Iterator[tuple[Engine, World]]:
    """The engine on its ports; the prober's thread ends with the block."""
    from pipeline.app.images import words_of
    from pipeline.cloudrun.deploy import ProgramDeployer
    from pipeline.driving.engine import Engine
    from pipeline.driving.observer import Observer
    from pipeline.driving.pace import Rhythm
    from pipeline.driving.ports import World
    from pipeline.events import Said
    from pipeline.probe.command_runner import CommandRunner

    config, authenticated, stopped = request.config, request.environment.id_token, request.session.stopped
    clock = SystemClock(stopped)
    prober = _prober(request, place, clock, one_step=one_step)
    folder = request.session.config_file.parent
    commands = {name: words_of(each.command, folder) for name, each in config.verify.items()}
    verifier = CommandRunner(commands, folder, waits=one_step, is_stopped=stopped.is_set)
    platform = place.platform
    program.say = lambda text: listen(Said(clock.now(), "pulumi", text))
    deployer = ProgramDeployer(
        program,
        platform,
        lambda image: request.with_image(image).settings,
        place.look,
        platform,
        program.say,
    )
    world = World(platform, deployer, prober, place.logs, clock, verifier)
    rhythm = Rhythm.at(place.ref, config.heartbeat)
    if one_step:
        rhythm = rhythm.of_a_watchdog(config.watchdog.every, config.watchdog.silent)
    observer = Observer(
        place.ref, world, config.build_scenarios(), listen=listen, authenticated=authenticated, memory=rhythm.memory,
        ways=config.ways(request.environment), is_inside=config.is_inside,
    )  # fmt: skip
    try:
        yield (
            Engine(observer, world, driver=driver(), listen=listen, rhythm=rhythm, stop=stopped.is_set),
            world,
        )
    finally:
        verifier.stop()
        prober.close()


def _prober(request: Request, place: Place, clock: SystemClock, *, one_step: bool) -> BackgroundProber:
    """Who holds the rounds: this process, or a job inside the network."""
    from pipeline.probe.prober import BackgroundProber, ThreadedProber

    asked, is_stopped = request.probe_job, request.session.stopped.is_set
    if asked is None:
        token = token_source() if request.environment.id_token else None
        return ThreadedProber(clock.now, token, waits=one_step, is_stopped=is_stopped)
    from pipeline.probe.job_round import CLOUD, LOCAL, JobRound

    jobs, scenarios = cache(lambda: place.probe_job(asked)), request.config.scenarios_fingerprint()
    within = timedelta(seconds=asked.longest_s)
    pace = LOCAL if place.ref.is_local else CLOUD

    def begin(ask: ProbeAsk) -> JobRound:
        return JobRound(ask, jobs(), scenarios, within, clock.now, pace)

    return BackgroundProber(begin, waits=one_step, is_stopped=is_stopped)


def open_guard(place: Place, clock: SystemClock, why: str, listen: Listener) -> Engine:
    """Who judges users' evidence by what the record holds, and may give traffic back; ``why`` it raises nothing."""
    from pipeline.config.watchdog_section import WatchdogConfig
    from pipeline.driving.engine import Engine

    observer, world, rhythm = open_onlooker(place, clock)
    usual = WatchdogConfig()
    rhythm = rhythm.of_a_watchdog(usual.every, usual.silent)
    engine = Engine(observer, world, driver=driver(), listen=listen, rhythm=rhythm)
    engine.raises_nothing = why
    return engine


def open_onlooker(place: Place, clock: SystemClock) -> tuple[Observer, World, Rhythm]:
    """Who looks at a rollout, and may stop it by hand: no Pulumi program, no probes, no ``spillway.yaml``."""
    from pipeline.driving.observer import Observer
    from pipeline.driving.pace import USUAL, Rhythm
    from pipeline.driving.ports import Nobody, World

    rhythm = Rhythm.at(place.ref, USUAL.heartbeat)
    world = World(place.platform, Nobody(), Nobody(), place.logs, clock)
    return Observer(place.ref, world, (), memory=rhythm.memory), world, rhythm


def token_source() -> Callable[[str], str]:
    """ID tokens of the environment's default credentials, by audience."""
    from pipeline.cloudrun.tokens import fetch_id_token

    return fetch_id_token


def driver() -> str:
    """Who we are in the record: host, process, and a part that no other process has."""
    return f"{socket.gethostname()}/{_machine()}/{os.getpid()}/{os.urandom(3).hex()}"


def is_dead(who: str) -> bool:
    """Whether a driver ran on this machine and its process is gone. False when in doubt: then we watch."""
    host, machine, pid = (*who.split("/"), "", "", "")[:3]
    if (host, machine) != (socket.gethostname(), _machine()) or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, PermissionError) as error:  # forbidden: it is somebody's, so it is there
        return isinstance(error, ProcessLookupError)
    return False


def _machine() -> str:
    """This boot of this machine, so that a process number means something; empty where there is no such thing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return ""
    return hashlib.sha256(boot.encode()).hexdigest()[:8]
