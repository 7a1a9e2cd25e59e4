"""The watchdog of one service: a Cloud Run job that takes a step, and the schedule that starts it.

Declared as plain inputs, as ``alerts.py`` does and for its reason. What is secret comes from Secret Manager: no value of it
passes through here.
Source: google.cloud.run.v2.Job, google.cloud.scheduler.v1.Job, as pulumi-gcp spells them.
"""

from __future__ import annotations

from collections.abc import Iterator

from infra.alerts import Declared
from infra.settings import Settings, Watchdog

JOB = "gcp:cloudrunv2/job:Job"
SCHEDULE = "gcp:cloudscheduler/job:Job"
TYPES = frozenset({JOB, SCHEDULE})
_LONGEST_STEP = "600s"


def declared(settings: Settings) -> Iterator[Declared]:
    """The job, then its schedule; nothing where no watchdog is asked for."""
    asked = settings.watchdog
    if asked is None:
        return
    name = f"{settings.service}-watchdog"
    job = {
        "project": settings.project,
        "location": settings.location,
        "name": name,
        "deletionProtection": False,
        "template": {"taskCount": 1, "template": _task(asked)},
    }
    yield Declared(JOB, name, job)
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
        "description": f"Takes a step of whatever rollout of {settings.service} is under way.",
        "schedule": f"*/{asked.every_minutes} * * * *",
        "timeZone": "Etc/UTC",
        "httpTarget": target,
    }
    yield Declared(SCHEDULE, f"{name}-schedule", schedule)


def _task(asked: Watchdog) -> dict[str, object]:
    """A step that failed is not tried again: the next one comes by itself."""
    secrets = [
        {"name": variable, "valueSource": {"secretKeyRef": {"secret": secret, "version": "latest"}}}
        for variable, secret in sorted(asked.secrets.items())
    ]
    container = {
        "image": asked.image,
        "args": ["tick", "--env", asked.environment, "-o", "ndjson"],
        **({"envs": secrets} if secrets else {}),
    }
    return {
        "containers": [container],
        "maxRetries": 0,
        "timeout": _LONGEST_STEP,
        "serviceAccount": asked.service_account,
    }
