"""The Pulumi program, whoever runs it: ``pulumi up``, the Automation API, or the pipeline in its own process."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import pulumi

from infra import alerts
from infra.live import Live
from infra.service import CloudRunService
from infra.settings import CONFIG_KEY, PROJECT, Settings
from pipeline.errors import SpillwayError

Read = Callable[[Settings], Live | None]


def declare(read: Read) -> None:
    """Read the stack's config and the live service, then declare both together. Raises what ``read`` raises."""
    settings = Settings.decode(pulumi.Config(PROJECT).require(CONFIG_KEY))
    made = CloudRunService(settings.service, settings, read(settings))
    for alert in alerts.declared(settings.ref, settings.alert_channels):
        _declare_plainly(alert)
    pulumi.export("uri", made.service.uri)
    pulumi.export("revision", made.revision)


def _declare_plainly(alert: alerts.Declared) -> None:
    """Without the provider's typed class: see ``alerts.py``."""
    options = pulumi.ResourceOptions(version=version("pulumi-gcp"))
    pulumi.CustomResource(alert.type, alert.name, dict(alert.inputs), options)


def run(read: Read) -> None:
    """The same under Pulumi's engine, which prints a RunError as it is and any other error as a traceback."""
    try:
        declare(read)
    except SpillwayError as error:
        raise pulumi.RunError(str(error)) from error
