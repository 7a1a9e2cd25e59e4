"""``environments:`` of ``spillway.yaml``: where a service lives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Struct, field

from pipeline.config.fields import Duration, Misplaced, Name, between, text_like
from pipeline.config.probes_section import AddressConfig, ProbeJobConfig
from pipeline.model import LOCAL_PROJECT, LOCAL_REGION, ServiceRef
from pipeline.units import shown

Check = Callable[[str, str, Mapping[str, Any]], None]


def _is_in_one_place(value: str, name: str, beside: Mapping[str, Any]) -> None:
    """Commands go where the project says, so a local environment that names one would go to two places."""
    if beside.get("endpoint") == "local":
        raise ValueError(
            f"{shown(value)} stands beside endpoint: local\n"
            "The local Cloud Run is on this machine and has neither project nor region.\n"
            "Leave out project and region; for the cloud, leave out endpoint: local."
        )
    if name == "project" and value == LOCAL_PROJECT:
        raise ValueError(
            f"{LOCAL_PROJECT} is the local Cloud Run's own project\n"
            "No Google Cloud project can have a name that short.\n"
            "Name the project, or write endpoint: local in place of project and region."
        )


_PROJECT = text_like(
    r"[a-z0-9](?:[-a-z0-9.:]*[a-z0-9])?", "a project's id: small letters, digits and hyphens"
)
#: A zone is a region's name with a letter behind it.
_REGION = text_like(
    r"(?![a-z0-9-]*[0-9]-[a-z]$)[a-z](?:[-a-z0-9]*[a-z0-9])?",
    "a region, such as us-central1, and no zone of it",
)
_REPOSITORY = text_like(
    r"(?:[\w.-]+(?::[0-9]+)?/)?[\w.-]+(?:/[\w.-]+)*", "a name in a registry, without tag or digest"
)


class After(Struct, frozen=True, kw_only=True):
    """Which environment an image comes from, and how long it must have had all traffic there.

    Args:
        environment: the one before, by its name.
        soak: how long, counted from its promotion there until another image is given a share.
    """

    environment: Name
    soak: Annotated[Duration, between("1s", "30d")] = timedelta(hours=24)


class Environment(Struct, frozen=True, kw_only=True):
    """Where a service lives: the local Cloud Run, or a project and a region.

    Args:
        endpoint: `local` is the local Cloud Run on this machine, which has neither project nor region.
        project: the Google Cloud project.
        region: the region of the service, such as `us-central1`.
        service: the name of the service here, where it is another than the file's.
        image: where `rollout --from` takes images for this environment from, without tag or digest; left out, from where
            the environment before it has them.
        after: only images that have soaked in another environment are rolled out here.
        soak_lock: what soaks here for an environment that comes after is not cut short: a rollout waits for its end.
        evidence: `users` judges by users' runs, from the lines of the telemetry; `probes` by scenarios alone.
        id_token: probes carry an ID token for the service's address: for a service that asks for an invoker.
        probe_address: where probes go here, instead of `address` of `probes`.
        probe_job: who holds the probes here, instead of `job` of `probes`.
        alert_channels: notification channels that the lasting alerts tell: `projects/P/notificationChannels/N`.
    """

    endpoint: Literal["local", "cloud"] = "cloud"
    project: Annotated[str, _PROJECT] = ""
    region: Annotated[str, _REGION] = ""
    service: Name | None = None
    image: Annotated[str, _REPOSITORY] = ""
    after: After | None = None
    soak_lock: bool = False
    evidence: Literal["users", "probes"] = "users"
    id_token: bool = False
    probe_address: AddressConfig | None = None
    probe_job: ProbeJobConfig | None = None
    alert_channels: list[str] = field(default_factory=list)

    CHECKS: ClassVar[Mapping[str, Check]] = {"project": _is_in_one_place, "region": _is_in_one_place}
    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "if": {"required": ["endpoint"], "properties": {"endpoint": {"const": "local"}}},
        "then": {"properties": {"project": False, "region": False}},
        "else": {
            "required": ["project", "region"],
            "properties": {
                "project": {"minLength": 1, "not": {"const": LOCAL_PROJECT}},
                "region": {"minLength": 1},
            },
        },
    }

    def __post_init__(self) -> None:
        if self.endpoint == "cloud" and not (self.project and self.region):
            raise ValueError("needs project and region (or endpoint: local)")

    def ref(self, service: str) -> ServiceRef:
        """Args: service: its name where the environment has no other."""
        is_local = self.endpoint == "local"
        place = (LOCAL_PROJECT, LOCAL_REGION) if is_local else (self.project, self.region)
        return ServiceRef(*place, self.service or service)


def check_order(environments: Mapping[str, Environment], service: str) -> None:
    """Raises Misplaced for an ``after`` that leads nowhere or in a circle, and for a lock that nobody has the key to.

    Args:
        service: its name where an environment has no other.
    """
    for name, each in environments.items():
        if each.after is not None:
            _check_after(environments, service, name, each.after)
        elif each.soak_lock and not followers(environments, name):
            raise Misplaced(
                ("environments", name, "soak-lock"),
                f"no environment comes after {name}, so nothing soaks there",
            )


def _check_after(environments: Mapping[str, Environment], service: str, name: str, after: After) -> None:
    where = ("environments", name, "after", "environment")
    if after.environment not in environments:
        raise Misplaced(where, f"no environment {shown(after.environment)}; known: {', '.join(environments)}")
    way = [name]
    while (last := environments[way[-1]].after) is not None and last.environment in environments:
        way.append(last.environment)
        if last.environment in way[:-1]:
            raise Misplaced(where, f"a circle: {' after '.join(way)}")
    own, before = environments[name], environments[after.environment]
    if own.ref(service) == before.ref(service):
        raise Misplaced(
            where,
            f"{after.environment} is the same service as {name}\n"
            "What is rolled out in one of them is rolled out in the other.\n"
            "Give one of them a project, a region or a service of its own.",
        )


def followers(environments: Mapping[str, Environment], name: str) -> Mapping[str, timedelta]:
    """The environments that come after this one, and how long an image soaks here for each."""
    return {
        other: each.after.soak
        for other, each in environments.items()
        if each.after is not None and each.after.environment == name
    }


def check_jobs(held: str, job: ProbeJobConfig | None, environments: Mapping[str, Environment]) -> None:
    """Raises Misplaced where nobody would hold the probes, and for a job that would hold none.

    Args:
        held: ``from`` of ``probes``, beside its ``job``.
    """
    own = [name for name, each in environments.items() if each.probe_job]
    without = [name for name in environments if name not in own]
    if held == "job" and job is None and without:
        raise Misplaced(
            ("probes", "from"),
            f"no job for the environment {without[0]}\nProbes are held by a job that has an image.\n"
            f"Name it under probes.job, or under environments.{without[0]}.probe-job.",
        )
    if held != "job" and (own or job):
        raise Misplaced(
            ("environments", own[0], "probe-job") if own else ("probes", "job"),
            "stands there, and the driver holds the probes itself\n"
            "probes.from says who does; without it nobody would run this job.\n"
            "Write from: job under probes, or leave the job out.",
        )
