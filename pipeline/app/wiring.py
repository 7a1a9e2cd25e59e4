"""From configuration to the ports: the only place that chooses between local and cloud.

Everything heavy is imported inside: ``spillway --help`` must not pay for a cloud it does not use.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.model import ServiceRef
from pipeline.redact import SINK

if TYPE_CHECKING:
    import grpc

    from infra.settings import Settings
    from pipeline.cloudrun.stack import InProcess, PulumiCli
    from pipeline.config.schema import Config, Environment
    from pipeline.core.plan import Wish
    from pipeline.driving.engine import Engine
    from pipeline.driving.ports import Deployer, LogSource, Platform, World
    from pipeline.events import Listener


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


@dataclass(frozen=True, slots=True)
class Place:
    """One environment, opened: its service and the channel that reaches it (None: the cloud's own)."""

    ref: ServiceRef
    channel: grpc.Channel | None = None

    @property
    def platform(self) -> Platform:
        from pipeline.cloudrun.service import CloudRun

        return CloudRun.over(self.channel) if self.channel is not None else CloudRun.cloud()

    @property
    def logs(self) -> LogSource:
        from pipeline.cloudrun.logs import LoggingSource

        return LoggingSource.over(self.channel) if self.channel is not None else LoggingSource.cloud()

    def program(self, say: Callable[[str], None]) -> InProcess | PulumiCli:
        from infra.live import read
        from pipeline.cloudrun.stack import InProcess, PulumiCli

        if self.channel is None:
            return PulumiCli(read, say)
        from pipeline.local.provider.service import LocalProvider

        return InProcess(LocalProvider(self.channel), partial(read, channel=self.channel), say)


@contextmanager
def open_place(ref: ServiceRef, *, local_folder: Path | None) -> Iterator[Place]:
    """Reach a service. Raises LocalCloudRunDown; one that goes away later is found again when it is back."""
    if local_folder is None:
        yield Place(ref)
        return
    from pipeline.local.channel import FollowingChannel
    from pipeline.local.state_secrets import secrets_of

    SINK.learn(*secrets_of(local_folder))
    with FollowingChannel(local_folder, learn=SINK.learn) as channel:
        yield Place(ref, channel)


def wish_for(config: Config, environment: Environment, image: str) -> Wish:
    """What a rollout of this image (by digest) would be: everything validated, nothing asked of any cloud."""
    from pipeline.core.plan import Wish

    ref = config.ref(environment)
    return Wish(
        ref=ref,
        image=image,
        candidate=settings_for(config, environment, image).revision,
        fingerprint=config.fingerprint(),
        stages=config.build_stages(),
        criteria=config.build_criteria(),
        scenarios=tuple(config.scenarios),
        longest_scenario=max(s.within for s in config.scenarios.values()),
        sampling=config.evidence.build(),
        probing=config.build_probing(),
        alpha=config.false_rollbacks,
        beta=config.bad_promotions,
        drain=config.drain,
        evidence=environment.evidence,
        min_instances=config.container.min_instances,
    )


def settings_for(config: Config, environment: Environment, image: str) -> Settings:
    """What the Pulumi program is given: the container section of ``spillway.yaml``, with this image."""
    from infra.settings import Settings, Template

    ref, container = config.ref(environment), config.container
    template = Template(
        image=image,
        env=container.env,
        port=container.port,
        cpu=container.cpu,
        memory=container.memory,
        concurrency=container.concurrency,
        min_instances=container.min_instances,
        max_instances=container.max_instances,
        timeout_s=ceil(container.timeout.total_seconds()),
        startup_s=ceil(container.startup.total_seconds()),
        service_account=container.service_account,
    )
    return Settings(
        project=ref.project,
        location=ref.location,
        service=ref.service,
        template=template,
        deletion_protection=container.deletion_protection,
    )


def deployer_for(
    config: Config, place: Place, environment: Environment, say: Callable[[str], None] = lambda _: None
) -> Deployer:
    """The Pulumi program on this place: in process on the local Cloud Run, through the CLI in the cloud."""
    from pipeline.cloudrun.deploy import ProgramDeployer

    return ProgramDeployer(place.program(say), place.platform, partial(settings_for, config, environment))


@contextmanager
def open_engine(
    config: Config, place: Place, environment: Environment, *, stopped: threading.Event, listen: Listener,
    one_step: bool = False,
) -> Iterator[tuple[Engine, World]]:  # fmt: skip
    """The engine on its ports; the prober's thread ends with the block."""
    from pipeline.driving.engine import Engine, Rhythm
    from pipeline.driving.observer import Observer
    from pipeline.driving.ports import World
    from pipeline.events import Said
    from pipeline.probe.prober import InlineProber, ThreadedProber

    clock = SystemClock(stopped)
    token = token_source() if environment.id_token else None
    prober = InlineProber(clock.now, token) if one_step else ThreadedProber(clock.now, token)
    deployer = deployer_for(
        config, place, environment, lambda text: listen(Said(clock.now(), "pulumi", text))
    )
    world = World(place.platform, deployer, prober, place.logs, clock)
    observer = Observer(
        place.ref, world, config.build_scenarios(), listen=listen, authenticated=environment.id_token
    )
    try:
        rhythm = Rhythm(heartbeat=config.heartbeat)
        yield (
            Engine(observer, world, driver=driver(), listen=listen, rhythm=rhythm, stop=stopped.is_set),
            world,
        )
    finally:
        prober.close()


def token_source() -> Callable[[str], str]:
    """ID tokens of the environment's default credentials, by audience."""
    from pipeline.cloudrun.tokens import fetch_id_token

    return fetch_id_token


def driver() -> str:
    """Who we are in the record: host, process, and a part that no other process has."""
    return f"{socket.gethostname()}/{_machine()}/{os.getpid()}/{os.urandom(3).hex()}"


def is_dead(who: str) -> bool:
    """Whether a driver ran on this machine and its process is gone. False when in doubt: then we watch."""
    host, _, rest = who.partition("/")
    machine, _, rest = rest.partition("/")
    pid = rest.partition("/")[0]
    if (host, machine) != (socket.gethostname(), _machine()) or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _machine() -> str:
    """This boot of this machine, so that a process number means something; empty where there is no such thing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return ""
    return hashlib.sha256(boot.encode()).hexdigest()[:8]


def local_folder_for(environment: Environment, folder: Path) -> Path | None:
    return folder if environment.is_local else None
