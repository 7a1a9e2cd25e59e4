"""The cloud project: APIs, each permission by name, quota, clock, the repository of images, the runtime account."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import Struct, field

from pipeline import budget
from pipeline.cloudrun.project import Identity, Project
from pipeline.doctor.answer import Answer, note, ok, unasked, wrong
from pipeline.errors import SpillwayError
from pipeline.model import ServiceRef
from pipeline.units import format_duration

APIS = {
    "run": "the service",
    "logging": "evidence, by users' runs",
    "monitoring": "the lasting alerts",
    "iam": "the account that revisions run as",
    "artifactregistry": "images",
}
_DEVELOPER, _VIEWER = "roles/run.developer", "roles/logging.viewer"
_METRICS, _ALERTS = "roles/logging.configWriter", "roles/monitoring.alertPolicyEditor"
ACT_AS = "iam.serviceAccounts.actAs"
#: permission: what it is for, and the smallest role of Google's that has it
PERMISSIONS = {
    "run.services.get": ("to look at the service", _DEVELOPER),
    "run.services.create": ("for a first deployment", _DEVELOPER),
    "run.services.update": ("to move traffic, and to roll back", _DEVELOPER),
    "run.revisions.get": ("to look at a revision", _DEVELOPER),
    "run.revisions.list": ("to find revisions", _DEVELOPER),
    "run.operations.get": ("to see how a deployment ends", _DEVELOPER),
    ACT_AS: ("to deploy what runs as the service's account", "roles/iam.serviceAccountUser"),
    "logging.logEntries.list": ("to judge by users' runs", _VIEWER),
    "logging.logMetrics.create": ("for the lasting alerts", _METRICS),
    "logging.logMetrics.update": ("for the lasting alerts", _METRICS),
    "monitoring.alertPolicies.create": ("for the lasting alerts", _ALERTS),
    "monitoring.alertPolicies.list": ("to show which alerts there are", _ALERTS),
    "monitoring.alertPolicies.update": ("for the lasting alerts", _ALERTS),
}
_JOB = "to hold probes by a job (probes.from: job)"
#: the same where a job holds the probes
OF_A_JOB = {
    "run.jobs.run": (_JOB, _DEVELOPER),
    "run.jobs.runWithOverrides": (_JOB, _DEVELOPER),
    "run.executions.get": (_JOB, _DEVELOPER),
    "run.executions.cancel": ("to end a round that nobody waits for", _DEVELOPER),
    "run.jobs.get": ("to declare the job of probes.from: job", _DEVELOPER),
    "run.jobs.create": ("to declare the job of probes.from: job", _DEVELOPER),
    "run.jobs.update": ("to declare the job of probes.from: job", _DEVELOPER),
}
#: the same where a revision that was sent back is deleted
TO_DELETE = {"run.revisions.delete": ("to delete a revision that was sent back", _DEVELOPER)}
#: LOCATION-docker.HOST/PROJECT/REPOSITORY/IMAGE
_REPOSITORY = re.compile(r"([a-z0-9-]+)-docker\.[^/]+/([^/]+)/([^/]+)/.+")


class ProjectQuestions(Struct, frozen=True):
    """Args: account: that revisions run as; empty: the project's default. ``needed``: permissions, by name."""

    project: Project
    who: Identity
    ref: ServiceRef
    account: str = ""
    lateness: timedelta = timedelta(seconds=10)
    needed: Mapping[str, tuple[str, str]] = field(default_factory=lambda: PERMISSIONS)

    def apis(self) -> Sequence[Answer]:
        enabled = self.project.enabled(APIS)
        return [self._api(api, is_on=api in enabled) for api in APIS]

    def _api(self, api: str, *, is_on: bool) -> Answer:
        name = f"api {api}"
        if is_on:
            return ok(name, "enabled")
        fix = f"gcloud services enable {api}.googleapis.com --project {self.project.name}"
        return wrong(name, f"not enabled: needed for {APIS[api]}", fix)

    def permissions(self) -> Sequence[Answer]:
        """On the project; what is missing there may be granted on the service or the account alone."""
        granted = self.project.granted(self.needed)
        missing = {name for name in self.needed.keys() - granted if name.startswith("run.")}
        if missing:
            granted |= _or_none(lambda: self.project.granted_on(self.ref.name, missing))
        if ACT_AS not in granted and self.account:
            granted |= _or_none(lambda: {ACT_AS} if self.project.may_act_as(self.account) else set())
        return [self._permission(name, is_granted=name in granted) for name in self.needed]

    def _permission(self, name: str, *, is_granted: bool) -> Answer:
        purpose, role = self.needed[name]
        if is_granted:
            return ok(f"permission {name}", "granted", is_access=True)
        fix = f"gcloud projects add-iam-policy-binding {self.project.name} --member {self.who.member} --role {role}"
        return wrong(f"permission {name}", f"not granted: needed {purpose}", fix, is_access=True)

    def quota(self) -> Sequence[Answer]:
        most = sum(budget.Quota.LOGS.value)
        limit = self.project.log_reads_a_minute()
        if limit is None:
            return [unasked("quota", "the project does not say how many log reads it has")]
        said = f"{limit} log reads a minute; one rollout takes {most} at most"
        fix = "Ask for more, or drive fewer services of the project at once."
        return [ok("quota", said) if limit >= most else note("quota", said, fix)]

    def clock(self, now: Callable[[], datetime]) -> Sequence[Answer]:
        if (told := self.project.time()) is None:
            return [unasked("clock", "no answer told the time")]
        return [compared(told, now(), self.lateness)]

    def registry(self, image: str) -> Sequence[Answer]:
        """Args: image: that the service runs now; empty where there is none."""
        match = _REPOSITORY.fullmatch(image)
        if match is None:
            return [unasked("registry", "no image of a repository is known yet")]
        place = f"{match[2]}/{match[3]} in {match[1]}"
        if self.project.may_pull(*match.groups()):
            return [ok("registry", place)]
        fix = (
            f"gcloud artifacts repositories add-iam-policy-binding {match[3]} --project {match[2]} --location {match[1]} "
            f"--member {self.who.member} --role roles/artifactregistry.reader"
        )
        return [wrong("registry", f"{place}: images may not be read", fix, is_access=True)]


def compared(told: datetime, now: datetime, lateness: timedelta) -> Answer:
    """This machine's clock beside another one, which tells whole seconds."""
    off = abs(now - told)
    said = f"{off.total_seconds():.0f} s off"
    if off <= lateness:
        return ok("clock", said)
    limit = format_duration(lateness)
    return wrong("clock", f"{said}: evidence.lateness is {limit}", "Set the clock: timedatectl set-ntp true")


def _or_none(ask: Callable[[], set[str]]) -> set[str]:
    """A service that is not there yet, or an account that we may not ask about, grants nothing."""
    try:
        return ask()
    except SpillwayError:
        return set()
