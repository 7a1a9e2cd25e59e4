"""The Pulumi program, whoever runs it: ``pulumi up``, the Automation API, or the pipeline in its own process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version

import pulumi

from infra import alerts, jobs
from infra.live import Live
from infra.service import CloudRunService
from infra.settings import CONFIG_KEY, PROJECT, Settings
from infra.slipped import must_be_unchanged, must_not_have_slipped
from pipeline.errors import SpillwayError

Read = Callable[[Settings], Live | None]
#: Of the service as it is now, in one call; empty when there is none.
Etag = Callable[[Settings], str]
Hooks = Callable[[Settings, Live | None], pulumi.ResourceHookBinding | None]


def declare(settings: Settings, read: Read, hooks: Hooks = lambda *_: None) -> None:
    """Read the live service, then declare what is asked and what is there together. Raises what ``read`` raises."""
    live = read(settings)
    made = CloudRunService(settings.service, settings, live, hooks=hooks(settings, live))
    lasting = alerts.declared(settings.ref, settings.alert_channels, settings.silent_s)
    for other in (*lasting, *jobs.watchdog(settings), *jobs.probes(settings)):  # plainly: see alerts.py
        options = pulumi.ResourceOptions(version=version("pulumi-gcp"))
        pulumi.CustomResource(other.type, other.name, dict(other.inputs), options)
    pulumi.export("uri", made.service.uri)
    pulumi.export("revision", made.revision)


def run(read: Read, etag: Etag, failed: Callable[[SpillwayError], None] = lambda _: None) -> None:
    """The same of the stack's config under Pulumi's engine, which prints a RunError as it is and any other error as a traceback.

    The provider's write carries no etag, and between the program's look and that write lies the engine's work. So right
    before it the etag is compared, and what was written in the moment that is left is told after it.

    Args:
        failed: hears each error as it is: Pulumi keeps its text alone.
    """
    with _told(failed):
        settings = Settings.decode(pulumi.Config(PROJECT).require(CONFIG_KEY))
        declare(settings, read, partial(_around, read, etag, failed))


def _around(
    read: Read, etag: Etag, failed: Callable[[SpillwayError], None], settings: Settings, live: Live | None
) -> pulumi.ResourceHookBinding | None:
    """What is asked around the provider's update. A creation needs nothing: it is refused where something is."""
    if live is None:
        return None
    seen = live

    def before(_: pulumi.ResourceHookArgs) -> None:
        with _told(failed):
            must_be_unchanged(settings, seen, etag(settings))

    def after(_: pulumi.ResourceHookArgs) -> None:
        with _told(failed):
            must_not_have_slipped(settings, seen, read(settings))

    return pulumi.ResourceHookBinding(before_update=[before], after_update=[after])


@contextmanager
def _told(failed: Callable[[SpillwayError], None]) -> Iterator[None]:
    try:
        yield
    except SpillwayError as error:
        failed(error)
        raise pulumi.RunError(str(error)) from error
