"""``job:`` of ``probes:`` in ``spillway.yaml``: who holds the probes' conversations where only the network leads there."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from msgspec import Struct, field

from pipeline.config.fields import Duration, Misplaced, between, not_empty


class ProbeJobConfig(Struct, frozen=True, kw_only=True):
    """A Cloud Run job in the service's network that holds the probes' rounds. docs/reaching.md says what it needs.

    Args:
        image: of a container that runs `spillway`, with this file; the Pulumi program declares the job.
        service_account: that the job runs as; left out, the project's default.
        secrets: variables of the job by name, each a secret of Secret Manager.
        network: the VPC network that the job sends its traffic through.
        subnetwork: of that network, in the service's region.
        within: how long one round may take, the start of its container included.
    """

    image: Annotated[str, not_empty]
    service_account: Annotated[str, not_empty] | None = None
    secrets: dict[str, Annotated[str, not_empty]] = field(default_factory=dict)
    network: Annotated[str, not_empty] | None = None
    subnetwork: Annotated[str, not_empty] | None = None
    within: Annotated[Duration, between("10s", "9m")] = timedelta(minutes=5)  # a step of a watchdog has ten

    def __post_init__(self) -> None:
        if not (self.network or self.subnetwork):
            raise Misplaced(
                ("image",),
                "needs a network or a subnetwork beside it\n"
                "Without one the job is no more inside than this machine, and tag addresses answer it 404.\n"
                "Name one that the service's ingress lets in: network: default",
            )
