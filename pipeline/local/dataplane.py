"""What the control plane of the local Cloud Run asks of its data plane.

``controller.py`` decides which revisions must run and where traffic goes; ``run/fleet.py`` starts processes and
``ingress.py`` routes. They meet here, so that the controller is tested with fakes and the data plane without gRPC.
A service is named by its resource name (``projects/P/locations/L/services/S``), a revision by its short name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct, field


class Probe(Struct, frozen=True):
    """How a container is asked whether it is well. Times in seconds.

    Args:
        kind: ``tcp``, ``http`` or ``grpc``.
        port: 0 is the one at which the container takes requests.
        path: of ``http``, with its ``headers``.
        service: of ``grpc``, as its health protocol names it.
        failures: after so many in a row it has failed.
    """

    kind: str = "tcp"
    port: int = 0
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    service: str = ""
    delay_s: float = 0.0
    timeout_s: float = 1.0
    period_s: float = 10.0
    failures: int = 3


class SecretFile(Struct, frozen=True):
    """A version of a secret as a file, at a path below its mount."""

    path: str
    secret: str
    version: str
    mode: int


class Mount(Struct, frozen=True):
    """Where a container has a volume.

    Args:
        files: of a secret; None for an emptyDir, which all containers of an instance share by its name.
    """

    path: str
    volume: str
    files: tuple[SecretFile, ...] | None = None


class ContainerSpec(Struct, frozen=True):
    """How to run one container.

    Args:
        image: NAME@sha256:... of a build.
        command: replaces the image's command when not empty; ``args`` replace its arguments.
        env: its own; PORT, K_SERVICE, K_REVISION and K_CONFIGURATION are added.
        secrets: by variable, the secret (``NAME`` or ``projects/P/secrets/NAME``) and its version.
        depends_on: names of the containers that must have started before.
        startup: without one it has started as soon as it runs. ``liveness`` failing ends the instance, ``readiness``
            failing keeps new requests from it.
    """

    image: str
    name: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    depends_on: tuple[str, ...] = ()
    startup: Probe | None = None
    liveness: Probe | None = None
    readiness: Probe | None = None


class InstanceSpec(Struct, frozen=True):
    """How to run one revision. Times in seconds.

    Args:
        container: the one that takes requests; ``sidecars`` are the others.
        left_out: what the template asks for and one machine does not have, in words.
    """

    service: str
    revision: str
    container: ContainerSpec
    sidecars: tuple[ContainerSpec, ...] = ()
    min_instances: int = 0
    max_instances: int = 1
    concurrency: int = 80
    request_timeout_s: float = 300.0
    session_affinity: bool = False
    left_out: tuple[str, ...] = ()


class AttemptSpec(Struct, frozen=True):
    """One attempt at a task of a job's execution.

    Args:
        job: its resource name; ``execution``: the short name.
        containers: the first one's end is the attempt's; the others are ended with it.
        is_inside: it has VPC access, so that services with internal ingress answer it.
    """

    job: str
    execution: str
    index: int
    attempt: int
    count: int
    containers: tuple[ContainerSpec, ...]
    timeout_s: float
    is_inside: bool = False


class AttemptEnd(Struct, frozen=True):
    """How an attempt ended: with ``signal`` 0 by exit, otherwise by that signal. ``message``: why it is a failure."""

    exit_code: int = 0
    signal: int = 0
    message: str = ""

    @property
    def is_good(self) -> bool:
        return not self.message


class Routes(Struct, frozen=True):
    """Where a service's connections go. Weights are percent and sum to 100 (or there are none: 404).

    Args:
        is_internal: the service's own addresses and its tags' answer who is inside the network, and 404 to others.
        is_disabled: they answer 404 to everybody: only a load balancer leads there.
    """

    weights: tuple[tuple[str, int], ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)  # tag -> revision
    is_internal: bool = False
    is_disabled: bool = False


class StartFailed(Exception):
    """The revision never listened.

    Args:
        reason: a name of run_v2's Condition.CommonReason or RevisionReason, e.g. ``CONTAINER_MISSING``,
            ``HEALTH_CHECK_CONTAINER_ERROR``, ``PROGRESS_DEADLINE_EXCEEDED``.
        message: for the condition; ends with the last log lines.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Attempts(Protocol):
    """Processes of jobs, and the images that they run."""

    def pinned(self, image: str) -> AbstractAsyncContextManager[str]:
        """As of ``Instances``."""

    async def attempt(self, spec: AttemptSpec) -> AttemptEnd:
        """Run it to its end, or end it: after its time-out, or when whoever waits is cancelled. Nothing of it is left."""


class Instances(Protocol):
    """One process per revision instance, and the images that they run."""

    def pinned(self, image: str) -> AbstractAsyncContextManager[str]:
        """The image by digest; its build stays for the length of the block at least. Raises StartFailed."""

    def collect(self, used: Collection[str]) -> None:
        """Take away the builds that are not among these digests (64 hex digits) and that nobody else is pinning."""

    async def start(self, spec: InstanceSpec) -> None:
        """Run at least one instance and return once it listens; a no-op if it does. Raises StartFailed."""

    async def stop(self, service: str, revision: str) -> None:
        """SIGTERM, 10 s, SIGKILL. Its sockets end. A no-op if it does not run."""


class Router(Protocol):
    """The ingress: one loopback address per service and one per tag; addresses outlive restarts."""

    async def route(self, service: str, routes: Routes) -> None:
        """From the return on, new connections follow ``routes``; open sockets stay where they are."""

    async def forget(self, service: str) -> None:
        """Close the addresses of a deleted service."""

    def uri(self, service: str, tag: str = "") -> str:
        """``http://127.0.0.1:PORT`` of the service, or of one of its tags; allotted at first use, then kept."""
