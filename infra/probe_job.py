"""The job that holds the probes' conversations inside the network: each of its runs is one round, told by the driver."""

from __future__ import annotations

from collections.abc import Iterator

from infra import job
from infra.alerts import Declared
from infra.settings import Settings

ARGS = ("probe",)


def declared(settings: Settings) -> Iterator[Declared]:
    """Nothing where probes are held by the driver itself."""
    asked = settings.probe_job
    if asked is not None:
        yield job.declared(
            settings,
            settings.ref.probe_job.rpartition("/")[2],
            image=asked.image,
            args=ARGS,
            longest_s=asked.longest_s,
            service_account=asked.service_account,
            secrets=asked.secrets,
            network=asked.network,
            subnetwork=asked.subnetwork,
        )
