"""The watchdog of one service, or of a fleet: a Cloud Run job that takes a step, and the schedule that starts it.

A step that failed is not tried again: the next one comes by itself.
Source: google.cloud.scheduler.v1.Job, as pulumi-gcp spells it.
"""

from __future__ import annotations

from collections.abc import Iterator

from infra import job
from infra.alerts import Declared
from infra.job import JOB
from infra.settings import Settings, Watchdog

SCHEDULE = "gcp:cloudscheduler/job:Job"
TYPES = frozenset({JOB, SCHEDULE})
_LONGEST_STEP_S = 600
_LAST_STEP_S = 540  # of a pass that began it late: eight minutes, and what it takes to tell of it


def declared(settings: Settings) -> Iterator[Declared]:
    """The job, then its schedule; nothing where no watchdog is asked for."""
    asked = settings.watchdog
    if asked is None:
        return
    name = f"{settings.service}-watchdog"
    yield job.declared(
        settings,
        name,
        image=asked.image,
        args=["tick", "--env", asked.environment, *_of_fleet(settings, asked), "-o", "ndjson"],
        longest_s=asked.every_minutes * 60 + _LAST_STEP_S if asked.fleet else _LONGEST_STEP_S,
        service_account=asked.service_account,
        secrets=asked.secrets,
        tasks=asked.fleet.tasks if asked.fleet else 1,
    )
    run = f"projects/{settings.project}/locations/{settings.location}/jobs/{name}:run"
    target = {
        "httpMethod": "POST",
        "uri": f"https://run.googleapis.com/v2/{run}",
        "oauthToken": {"serviceAccountEmail": asked.service_account},
    }
    schedule = {
        "project": settings.project,
        "region": settings.location,
        "name": name,
        "description": f"Takes a step of whatever rollout of {'its fleet' if asked.fleet else settings.service} is under way.",
        "schedule": f"*/{asked.every_minutes} * * * *",
        "timeZone": "Etc/UTC",
        "httpTarget": target,
    }
    yield Declared(SCHEDULE, f"{name}-schedule", schedule)


def _of_fleet(settings: Settings, asked: Watchdog) -> Iterator[str]:
    """The words that make the step one of each service of the fleet."""
    if (fleet := asked.fleet) is None:
        return
    yield from ("--all", "--every", f"{asked.every_minutes}m")
    for pattern in fleet.files:
        yield from ("--files", pattern)
    for label in fleet.labels:
        yield from ("--label", label)
    if fleet.labels:
        yield from ("--project", settings.project, "--region", settings.location)
