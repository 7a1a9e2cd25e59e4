"""What one Cloud Run service shall be, as typed values: read from the stack's config, written back unchanged.

The stack's config holds them as one JSON object, ``spillway:service``, so that ``pulumi config set --path
service.template.image ...`` works and a pipeline can hand over the whole. What is left out has its default.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.errors import ConfigError
from pipeline.model import ServiceRef

PROJECT = "spillway"  # of Pulumi.yaml; the namespace of the config keys
CONFIG_KEY = "service"

#: Rises when ``service.py`` declares another template for the same settings: the name must change with the content.
_TEMPLATE_VERSION = 1
_HASH_DIGITS = 10  # a service has at most 49 characters, a revision 63

Ingress = Literal[
    "INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
]


@dataclass(frozen=True, slots=True)
class Template:
    """One revision's content. Two templates that differ in anything are two revisions.

    Args:
        image: pinned by digest; on the local Cloud Run the name of a command, with a digest.
        command, args: replace the image's own when not empty.
        port: that the container listens on; None leaves it to Cloud Run (8080).
        timeout_s: of one request. A WebSocket is one request, so this is the longest life of a socket.
        startup_s: how long the container may take until it listens; at most 240.
        service_account: that the container runs as; empty is the project's default.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    cpu: str = "1"
    memory: str = "512Mi"
    concurrency: int = 80
    min_instances: int = 0
    max_instances: int = 10
    timeout_s: int = 3600
    startup_s: int = 240
    service_account: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """One service and its next revision.

    Args:
        deletion_protection: ``pulumi destroy`` is refused while it is on.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    project: str
    location: str
    service: str
    template: Template
    ingress: Ingress = "INGRESS_TRAFFIC_ALL"
    deletion_protection: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def ref(self) -> ServiceRef:
        return ServiceRef(self.project, self.location, self.service)

    @property
    def revision(self) -> str:
        """``SERVICE-`` and a hash of the template: the same content is the same revision, wherever it is asked.

        Defaults do not count, so that a field that a later version adds renames nothing.
        """
        content = _template().dump_python(self.template, mode="json", exclude_defaults=True)
        text = json.dumps([_TEMPLATE_VERSION, content], sort_keys=True, separators=(",", ":"))
        return f"{self.service}-{hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]}"

    @property
    def stack(self) -> str:
        """The Pulumi stack that holds this service's state: one service, one stack."""
        return f"{self.project}.{self.location}.{self.service}"

    def encode(self) -> str:
        """The config value: JSON, without what is at its default."""
        return _settings().dump_json(self, exclude_defaults=True).decode()

    @classmethod
    def decode(cls, text: str) -> Settings:
        """Raises ConfigError that names the key."""
        try:
            return _settings().validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join([f"{PROJECT}:{CONFIG_KEY}", *map(str, first["loc"])])
            raise ConfigError(
                f"{key}: {first['msg']}",
                f"got {first['input']!r:.200}",
                f"Set it: pulumi config set --path {key} VALUE",
            ) from error


@cache
def _settings() -> TypeAdapter[Settings]:
    return TypeAdapter(Settings)


@cache
def _template() -> TypeAdapter[Template]:
    return TypeAdapter(Template)
