"""What is asked of one Cloud Run service, as typed values: from the stack's config, and back unchanged.  PURE.

The stack's config holds them as one JSON object, ``spillway:service``, so that ``pulumi config set --path
service.template.image ...`` works and a pipeline can hand over the whole. What is left out is not asked for: then it
stays as it is on the service, or gets its default on one that is new (``compose.py``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

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

#: how msgspec ends when a key is unknown, or missing
_OF_FIELD = re.compile(r"field `(.*)`$")
#: of the way to a value; what stands under any key of a mapping has none
_PART = re.compile(r"\.(\w+)|\[(\d+)\]")


class _Asked(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key that is not known, or a value of another type, is an error."""


class Template(_Asked, frozen=True):
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


class Fleet(_Asked, frozen=True):
    """Services that a watchdog's tasks share; see ``spillway tick --all``.

    Args:
        files: patterns of their configurations. ``labels``: that they bear, in the watchdog's project and location.
    """

    files: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    tasks: int = 1


class Watchdog(_Asked, frozen=True):
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


class ProbeJob(_Asked, frozen=True):
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


class Settings(_Asked, frozen=True):
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
        made: Mapping[str, Any] = msgspec.json.decode(msgspec.json.encode(self.template))
        return made

    def encode(self) -> str:
        """The config value: JSON, without what is at its default."""
        # a default is left out where it is the very object, which a number that was counted is not
        usual = self.silent_s == SILENT_S
        return msgspec.json.encode(replace(self, silent_s=SILENT_S) if usual else self).decode()

    @classmethod
    def decode(cls, text: str) -> Settings:
        """Raises ConfigError that names the key."""
        try:
            return msgspec.json.decode(text, type=Settings)
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            said, _, place = str(error).partition(" - at `$")
            field = _OF_FIELD.search(said)
            key = ".".join([f"{PROJECT}:{CONFIG_KEY}{place.rstrip('`')}", *(field.groups() if field else ())])
            raise ConfigError(
                f"{key}: {said}", _got(text, place), f"Set it: pulumi config set --path {key} VALUE"
            ) from error


def _got(text: str, place: str) -> str:
    """What stands at a place as msgspec names it. Of what holds others the keys: it names no key of a mapping."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return f"got {text!r:.200}"
    for key, index in _PART.findall(place):
        value = value[key] if key else value[int(index)]
    return f"its keys are {', '.join(value)}"[:200] if isinstance(value, dict) else f"got {value!r:.200}"
