"""A Cloud Run job that runs ``spillway``, beside the service that it is for.

Declared as plain inputs, as ``alerts.py`` does and for its reason. What is secret comes from Secret Manager: no value of it
passes through here.
Source: google.cloud.run.v2.Job, as pulumi-gcp spells it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.alerts import Declared
from infra.settings import Settings

JOB = "gcp:cloudrunv2/job:Job"


def declared(
    settings: Settings,
    name: str,
    *,
    image: str,
    args: Sequence[str],
    longest_s: int,
    service_account: str,
    secrets: Mapping[str, str],
    tasks: int = 1,
    network: str = "",
    subnetwork: str = "",
) -> Declared:
    """No task of it is tried again.

    Args:
        secrets: of Secret Manager, by the variable that holds each.
        network, subnetwork: that all its traffic goes through; empty: it is in none.
    """
    variables = [
        {"name": variable, "valueSource": {"secretKeyRef": {"secret": secret, "version": "latest"}}}
        for variable, secret in sorted(secrets.items())
    ]
    task = {
        "containers": [{"image": image, "args": list(args), **({"envs": variables} if variables else {})}],
        "maxRetries": 0,
        "timeout": f"{longest_s}s",
        **({"serviceAccount": service_account} if service_account else {}),
        **_inside(network, subnetwork),
    }
    return Declared(
        JOB,
        name,
        {
            "project": settings.project,
            "location": settings.location,
            "name": name,
            "deletionProtection": False,
            "template": {"taskCount": tasks, "template": task},
        },
    )


def _inside(network: str, subnetwork: str) -> Mapping[str, object]:
    """All of its traffic: addresses of Cloud Run are public ones, and count as internal only if they come from the network."""
    named = {"network": network, "subnetwork": subnetwork}
    interface = {key: value for key, value in named.items() if value}
    return {"vpcAccess": {"egress": "ALL_TRAFFIC", "networkInterfaces": [interface]}} if interface else {}
