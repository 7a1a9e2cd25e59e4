"""``environments:`` of ``spillway.yaml``: where a service lives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pipeline.model import LOCAL_PROJECT, LOCAL_REGION, ServiceRef
from pipeline.units import shown


def _is_in_one_place(value: str, name: str, beside: Mapping[str, Any]) -> None:
    """Commands go where the project says, so a local environment that names one would go to two places."""
    if beside.get("endpoint") == "local":
        raise ValueError(
            f"{shown(value)} stands beside endpoint: local\n"
            "The local Cloud Run is on this machine and has neither project nor region.\n"
            "Leave out project and region; for the cloud, leave out endpoint: local."
        )
    if name == "project" and value == LOCAL_PROJECT:
        raise ValueError(
            f"{LOCAL_PROJECT} is the local Cloud Run's own project\n"
            "No Google Cloud project can have a name that short.\n"
            "Name the project, or write endpoint: local in place of project and region."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where a service lives: the local Cloud Run, or a project and a region.

    Args:
        endpoint: `local` is the local Cloud Run on this machine, which has neither project nor region.
        project: the Google Cloud project.
        region: the region of the service, such as `us-central1`.
        evidence: `users` judges by users' runs, from the lines of the telemetry; `probes` by scenarios alone.
        id_token: probes carry an ID token for the service's address: for a service that asks for an invoker.
        alert_channels: notification channels that the lasting alerts tell: `projects/P/notificationChannels/N`.
    """

    endpoint: Literal["local", "cloud"] = "cloud"
    project: str = field(default="", metadata={"check": _is_in_one_place})
    region: str = field(default="", metadata={"check": _is_in_one_place})
    evidence: Literal["users", "probes"] = "users"
    id_token: bool = False
    alert_channels: list[str] = field(default_factory=list)

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "if": {"required": ["endpoint"], "properties": {"endpoint": {"const": "local"}}},
        "then": {"properties": {"project": False, "region": False}},
        "else": {
            "required": ["project", "region"],
            "properties": {
                "project": {"minLength": 1, "not": {"const": LOCAL_PROJECT}},
                "region": {"minLength": 1},
            },
        },
    }

    def __post_init__(self) -> None:
        if self.endpoint == "cloud" and not (self.project and self.region):
            raise ValueError("needs project and region (or endpoint: local)")

    def ref(self, service: str) -> ServiceRef:
        if self.endpoint == "local":
            return ServiceRef(LOCAL_PROJECT, LOCAL_REGION, service)
        return ServiceRef(self.project, self.region, service)
