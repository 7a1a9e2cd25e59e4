"""The service, its revision and its traffic split, as Pulumi resources; usable from any program.

What is declared follows from the settings and from one read of what is deployed (``live.py``): the service's fields, the
split, the tags and the annotations are declared as they are, and the revision starts from the stable one. So running
the program moves no traffic, clears nothing and loses nobody's notes; what it could not keep it refuses to touch.
Traffic goes to revisions by name, never to LATEST: a later template must not get any by being ready. A tag without
traffic that follows LATEST is declared as it is.
"""

from __future__ import annotations

import secrets
from typing import Any

import pulumi
from pulumi_gcp import cloudrunv2

from infra.arguments import arguments
from infra.deployment import Deployment, deployment
from infra.guard import Ruling, rule
from infra.live import Live
from infra.settings import Settings
from pipeline.model import Target

_BY_NAME = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
_LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"


class CloudRunService(pulumi.ComponentResource):
    """One Cloud Run service with one named revision.

    Args:
        live: what ``live.read`` returned for the same settings.
        hooks: run around the provider's create and update of the service.

    Raises: FieldsLost where an apply would clear what is live and not waived.
    """

    service: cloudrunv2.Service
    revision: str

    def __init__(
        self,
        name: str,
        settings: Settings,
        live: Live | None,
        opts: pulumi.ResourceOptions | None = None,
        *,
        hooks: pulumi.ResourceHookBinding | None = None,
    ) -> None:
        made, ruling = planned(settings, live)
        ruling.refuse_all(settings.service)
        super().__init__("spillway:index:CloudRunService", name, None, opts)
        self.revision = made.revision
        self.service = cloudrunv2.Service(
            name,
            name=settings.service,
            project=settings.project,
            location=settings.location,
            deletion_protection=settings.deletion_protection,
            traffics=[_traffic(target) for target in made.split.targets],
            opts=pulumi.ResourceOptions(parent=self, hooks=hooks),
            **_hidden(arguments(made.document)[0]),
        )
        self.register_outputs({"uri": self.service.uri, "revision": made.revision})


def planned(settings: Settings, live: Live | None) -> tuple[Deployment, Ruling]:
    """What would be declared, and which way that may go. A new revision gets a secret that nobody can guess."""
    made = deployment(settings, live, secrets.token_hex(16))
    return made, rule(made, arguments(made.document)[1], settings.waive)


def _hidden(inputs: dict[str, Any]) -> dict[str, Any]:
    """What a container is given may be secret, and Pulumi's state is a file."""
    for container in inputs["template"]["containers"]:
        for variable in container.get("envs", ()):
            if "value" in variable:
                variable["value"] = pulumi.Output.secret(variable["value"])
    return inputs


def _traffic(target: Target) -> cloudrunv2.ServiceTrafficArgs:
    return cloudrunv2.ServiceTrafficArgs(
        type=_BY_NAME if target.revision else _LATEST,
        revision=target.revision,
        percent=target.percent,
        tag=target.tag or None,
    )
