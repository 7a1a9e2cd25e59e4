"""What is asked of one Cloud Run service, as typed values: from the stack's config, and back unchanged.  PURE.

The stack's config holds them as one JSON object, ``spillway:service``, so that ``pulumi config set --path
service.template.image ...`` works and a pipeline can hand over the whole. What is left out is not asked for: then it
stays as it is on the service, or gets its default on one that is new (``compose.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Literal

from pipeline.errors import ConfigError
from pipeline.model import ServiceRef

PROJECT = "spillway"  # of Pulumi.yaml; the namespace of the config keys
CONFIG_KEY = "service"
SILENT_S = 900  # without a step: so long unless somebody says otherwise

Ingress = Literal[
    "INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
]
Clearable = Literal[
    "port",
    "cpu",
    "memory",
    "concurrency",
    "min_instances",
    "max_instances",
    "timeout",
    "startup",
    "service_account",
]


class _Strict:
    """For pydantic: a key that is not known, or a value of another type, is an error."""

    __slots__ = ()
    __pydantic_config__: ClassVar = {"extra": "forbid", "strict": True}


@dataclass(frozen=True, slots=True)
class Template(_Strict):
    """What the next revision shall be, as far as it is asked. None, or nothing: not asked.

    Args:
        image: pinned by digest; on the local Cloud Run the name of a command, with a digest.
        command, args: replace the image's own when not empty.
        port: that the container listens on.
        timeout_s: of one request. A WebSocket is one request, so this is the longest life of a socket.
        startup_s: how long the container may take until it listens; at most 240.
        service_account: that the container runs as.
        cleared: which of the settings above are to be cleared: then Cloud Run's own default applies.
        fields: the rest, as the API's own RevisionTemplate in proto JSON; a field that is null shall be cleared.
    """

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    cpu: str | None = None
    memory: str | None = None
    concurrency: int | None = None
    min_instances: int | None = None
    max_instances: int | None = None
    timeout_s: int | None = None
    startup_s: int | None = None
    service_account: str = ""
    cleared: tuple[Clearable, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fleet(_Strict):
    """Services that a watchdog's tasks share; see ``spillway tick --all``.

    Args:
        files: patterns of their configurations. ``labels``: that they bear, in the watchdog's project and location.
    """

    files: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    tasks: int = 1


@dataclass(frozen=True, slots=True)
class Watchdog(_Strict):
    """Who takes a step of a rollout on a schedule.

    Args:
        image: of a container that runs ``spillway``.
        environment: which of ``spillway.yaml`` the step is of.
        secrets: of Secret Manager, by the variable that holds each.
        fleet: None: of the one service alone.
    """

    image: str
    environment: str
    service_account: str
    every_minutes: int = 1
    secrets: Mapping[str, str] = field(default_factory=dict)
    fleet: Fleet | None = None


@dataclass(frozen=True, slots=True)
class ProbeJob(_Strict):
    """Who holds the probes' rounds inside the network.

    Args:
        image: of a container that runs ``spillway``.
        longest_s: of one round.
        secrets: of Secret Manager, by the variable that holds each.
        network, subnetwork: that its traffic goes through.
    """

    image: str
    longest_s: int
    service_account: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    subnetwork: str = ""


@dataclass(frozen=True, slots=True)
class Settings(_Strict):
    """One service and its next revision.

    Args:
        ingress: None leaves it as it is.
        deletion_protection: ``pulumi destroy`` is refused while it is on.
        labels: added to those that are there.
        fields: of the service, as the API's own Service in proto JSON; a field that is null shall be cleared.
        waive: paths of fields that may be lost.
        alert_channels: resource names of the notification channels that the lasting alerts tell.
        telemetry: environment variables that tell the middleware what the scenarios say, in the container that serves;
            of OWN_VARIABLES. They are no part of what a revision is: another scenario makes no other revision.
        watchdog, probe_job: None declares none.
        silent_s: after so many seconds without a step of the watchdog, or of ticks from elsewhere, the lasting alert fires.
    """

    project: str
    location: str
    service: str
    template: Template
    ingress: Ingress | None = None
    deletion_protection: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    waive: tuple[str, ...] = ()
    alert_channels: tuple[str, ...] = ()
    telemetry: Mapping[str, str] = field(default_factory=dict)
    watchdog: Watchdog | None = None
    probe_job: ProbeJob | None = None
    silent_s: int = SILENT_S

    @property
    def ref(self) -> ServiceRef:
        return ServiceRef(self.project, self.location, self.service)

    @property
    def stack(self) -> str:
        """The Pulumi stack that holds this service's state: one service, one stack."""
        return f"{self.project}.{self.location}.{self.service}"

    @property
    def asked(self) -> Mapping[str, Any]:
        """All that is asked of the template, as JSON's values: what two askings are compared by."""
        return _without_defaults(self.template)

    def encode(self) -> str:
        """The config value: JSON, without what is at its default."""
        return json.dumps(_without_defaults(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> Settings:
        """Raises ConfigError that names the key."""
        from pydantic import TypeAdapter, ValidationError  # who only plans has the values already

        try:
            return TypeAdapter(Settings).validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join([f"{PROJECT}:{CONFIG_KEY}", *map(str, first["loc"])])
            raise ConfigError(
                f"{key}: {first['msg']}",
                f"got {first['input']!r:.200}",
                f"Set it: pulumi config set --path {key} VALUE",
            ) from error


def _without_defaults(made: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON's values, without those that are at their default."""
    row: dict[str, Any] = {}
    for each in fields(made):
        value = getattr(made, each.name)
        if value != (each.default if each.default_factory is MISSING else each.default_factory()):
            row[each.name] = _plain(value)
    return row


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _without_defaults(value)
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
