"""Cloud Run jobs that run ``spillway`` beside a service: its watchdog, or a fleet's, and the one that holds its probes.

Declared as plain inputs, as ``alerts.py`` does and for its reason. What is secret comes from Secret Manager: no value of it
passes through here. No task is tried again: of a step the next one comes by itself.
Source: google.cloud.run.v2.Job and google.cloud.scheduler.v1.Job, as pulumi-gcp spells them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from infra.alerts import Declared
from infra.document import Doc
from infra.settings import ProbeJob, Settings, Watchdog
from pipeline.model import ADMIN_API

JOB = "gcp:cloudrunv2/job:Job"
SCHEDULE = "gcp:cloudscheduler/job:Job"
_LONGEST_STEP_S = 600
_LAST_STEP_S = 540  # of a pass that began it late: eight minutes, and what it takes to tell of it


def watchdog(settings: Settings) -> Iterator[Declared]:
    """The job that takes a step, then the schedule that starts it; nothing where no watchdog is asked for."""
    asked = settings.watchdog
    if asked is None:
        return
    name = f"{settings.service}-watchdog"
    args = ["tick", "--env", asked.environment, *_of_fleet(settings, asked), "-o", "ndjson"]
    longest_s = asked.every_minutes * 60 + _LAST_STEP_S if asked.fleet else _LONGEST_STEP_S
    yield _job(
        settings,
        name,
        _container(asked.image, args, asked.secrets),
        _task(longest_s, asked.service_account),
        asked.fleet.tasks if asked.fleet else 1,
    )
    yield Declared(SCHEDULE, f"{name}-schedule", {
        "project": settings.project,
        "region": settings.location,
        "name": name,
        "description": f"Takes a step of whatever rollout of {'its fleet' if asked.fleet else settings.service} is under way.",
        "schedule": f"*/{asked.every_minutes} * * * *",
        "timeZone": "Etc/UTC",
        "httpTarget": {
            "httpMethod": "POST",
            "uri": f"{ADMIN_API}/{settings.ref.parent}/jobs/{name}:run",
            "oauthToken": {"serviceAccountEmail": asked.service_account},
        },
    })  # fmt: skip


def probes(settings: Settings) -> Iterator[Declared]:
    """The job that holds conversations inside the network: each of its runs is one round, told by the driver.

    Nothing where the driver itself holds them.
    """
    asked = settings.probe_job
    if asked is not None:
        name = settings.ref.probe_job.rpartition("/")[2]
        yield _job(settings, name, probe_container(asked), probe_task(asked))


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


def _job(settings: Settings, name: str, container: Doc, task: Doc, tasks: int = 1) -> Declared:
    spelt = {"envs" if key == "env" else key: value for key, value in container.items()}
    return Declared(JOB, name, {
        "project": settings.project,
        "location": settings.location,
        "name": name,
        "deletionProtection": False,
        "template": {"taskCount": tasks, "template": {"containers": [spelt], **task}},
    })  # fmt: skip


def probe_container(asked: ProbeJob) -> Doc:
    """The container of the probes' job, in proto JSON: what is declared, and what a driver puts right."""
    return _container(asked.image, ["probe"], asked.secrets)


def probe_task(asked: ProbeJob) -> Doc:
    """Its task, without the container."""
    return _task(asked.longest_s, asked.service_account, asked.network, asked.subnetwork)


def _container(image: str, args: Sequence[str], secrets: Mapping[str, str]) -> Doc:
    """Args: secrets: of Secret Manager, by the variable that holds each."""
    variables = [
        {"name": variable, "valueSource": {"secretKeyRef": {"secret": secret, "version": "latest"}}}
        for variable, secret in sorted(secrets.items())
    ]
    return {"image": image, "args": [*args], **({"env": variables} if variables else {})}


def _task(longest_s: int, service_account: str, network: str = "", subnetwork: str = "") -> Doc:
    """In a network all of its traffic goes through that: addresses of Cloud Run are public ones, and count as internal
    only if they come from there."""
    interface = {key: value for key, value in {"network": network, "subnetwork": subnetwork}.items() if value}
    inside = {"vpcAccess": {"egress": "ALL_TRAFFIC", "networkInterfaces": [interface]}} if interface else {}
    account = {"serviceAccount": service_account} if service_account else {}
    return {"maxRetries": 0, "timeout": f"{longest_s}s", **account, **inside}
