"""``spillway.yaml`` to a validated ``Config``; every complaint names file:line:column and key.

Keys are kebab-case; durations and rates are strings with their unit (YAML would turn ``12:30`` into 750 and
leaves a reader to guess what ``5`` means). Unknown keys are errors: a misspelt limit must not be a missing limit.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from checks.settings import Settings
from pipeline.config import sections, template_section, yamltree
from pipeline.config.fields import (
    Duration,
    Misplaced,
    Name,
    Odds,
    Rate,
    between,
    not_empty,
    not_our_variables,
    text_like,
    told,
    whole,
)
from pipeline.config.scenarios_section import ScenarioConfig
from pipeline.errors import ConfigError, UserError
from pipeline.judging.evidence import METRICS
from pipeline.judging.metrics import PLATFORM_METRICS
from pipeline.judging.sequential import trials_to_certify
from pipeline.judging.terms import Criterion, Drain, Probing, Sampling, Stage, Terms
from pipeline.judging.trials import ERROR_CLOSES
from pipeline.model import LOCAL_PROJECT, LOCAL_REGION, ServiceRef
from pipeline.probe.scenario import Scenario
from pipeline.units import format_duration, format_rate, shown

DEFAULT_FILE = "spillway.yaml"
_UNASKED_WEIGHT = 0.25  # of a criterion that nobody named: the others keep most of the bound


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where a service lives: the local Cloud Run, or a project and a region.

    Args:
        endpoint: `local` is the local Cloud Run on this machine, which has neither project nor region.
        project: the Google Cloud project.
        region: the region of the service, such as `us-central1`.
        evidence: `users` judges by users' runs, from the lines of the telemetry; `probes` by scenarios alone.
        id_token: probes carry an ID token for the service's address: for a service that asks for an invoker.
        alert_channels: notification channels that the lasting alerts tell: `projects/P/notificationChannels/N`.
    """

    endpoint: Literal["local", "cloud"] = "cloud"
    project: str = field(default="", metadata={"check": _is_in_one_place})
    region: str = field(default="", metadata={"check": _is_in_one_place})
    evidence: Literal["users", "probes"] = "users"
    id_token: bool = False
    alert_channels: list[str] = field(default_factory=list)

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
        if self.endpoint == "local":
            return ServiceRef(LOCAL_PROJECT, LOCAL_REGION, service)
        return ServiceRef(self.project, self.region, service)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A named command, and the folder that it needs: what an image is to the local Cloud Run.

    Args:
        command: the words of the command; `{project}` stands for this file's folder, `{python}` for Spillway's interpreter.
        directory: the folder that is copied and that the command runs in.
        env: environment variables, beside those of `container`.
    """

    command: Annotated[list[str], not_empty]
    directory: Annotated[str, not_empty] | None = None
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What is asked of each revision's template, and of the service. What is not named stays as it is live.

    Args:
        port: the port that the container listens on.
        env: environment variables.
        min_instances: instances that are kept on each revision; a candidate at 0% has them too.
        max_instances: instances at most.
        concurrency: requests, and so sockets, that one instance takes at once.
        cpu: such as `"1"` or `500m`.
        memory: such as `512Mi`.
        timeout: of a request; Cloud Run cuts a WebSocket after it.
        service_account: the service account that instances run as.
        startup: how long an instance may take to listen.
        deletion_protection: Pulumi refuses to delete the service.
        template: the rest of Cloud Run's RevisionTemplate, in the API's own words.
        service: fields of Cloud Run's Service, in the API's own words.
        waive: live fields that may be lost, by the names that a refusal gives.
    """

    port: Annotated[int, whole(1, 65_535)] | None = None
    env: Annotated[dict[str, str], not_our_variables] = field(default_factory=dict)
    min_instances: Annotated[int, whole(0, 1000)] | None = None
    max_instances: Annotated[int, whole(1, 1000)] | None = None
    concurrency: Annotated[int, whole(1, 1000)] | None = None
    cpu: str | None = None
    memory: str | None = None
    timeout: Annotated[Duration, between("1s", "1h")] | None = None  # Cloud Run's own limits, as for startup
    service_account: str | None = None
    startup: Annotated[Duration, between("1s", "4m")] | None = None
    deletion_protection: bool = True
    template: dict[str, Any] = field(default_factory=dict)  # template_section.py
    service: dict[str, Any] = field(default_factory=dict)
    waive: list[Annotated[str, not_empty]] = field(default_factory=list)
    cleared: tuple[str, ...] = field(default=(), metadata={"key": None})  # short keys that are null


@dataclass(frozen=True, slots=True, kw_only=True)
class StageConfig:
    """A share of new connections, and how long it is held. The first stage is 0%, the last 100%.

    Args:
        percent: of new connections that go to the candidate.
        soak: how long the stage is watched at least, once Cloud Run serves the share.
        deadline: how long after the soak the evidence may still be missing; then a person is called.
        hold: wait for `spillway promote` when everything has passed.
    """

    percent: Annotated[int, whole(0, 100)]
    soak: Duration = timedelta(0)
    deadline: Duration = timedelta(hours=1)
    hold: bool = False

    def build(self) -> Stage:
        return Stage(self.percent, self.soak, self.soak + self.deadline, self.hold)


@told(const=Drain.KEEP.value)
def _drain(value: object) -> Drain:
    if value != Drain.KEEP.value:
        raise ValueError(
            f"{shown(value)} is not built yet; keep counts the open sockets until the last one ends"
        )
    return Drain.KEEP


@told(**{"not": {"pattern": "^100"}})
def _below_all(rate: float) -> float:
    if rate >= 1:
        raise ValueError("100% is no limit: every rate lies within it")
    return rate


_LEAST_CERTIFIED = 0.0005


@told(**{"not": {"pattern": r"^0{1,3}(?:\.0*)?\s?%$"}})
def _above_none(rate: float) -> float:
    if rate <= 0:
        one, tenth = (trials_to_certify(level, 0.05) for level in (0.01, 0.001))
        raise ValueError(f"0% can never be certified: {one} clean runs certify 1%, {tenth:,} certify 0.1%")
    if rate < _LEAST_CERTIFIED:
        raise ValueError(
            f"{format_rate(rate)} is below what can be certified, {format_rate(_LEAST_CERTIFIED)}: "
            "each client counts once per stage, and the record has room for some 8,000 of them"
        )
    return rate


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionConfig:
    """What a revision is judged by: it goes back when it is worse than stable beside it.

    Args:
        limit: the rate of failures that is too much where no stable revision runs beside it.
        certify: the rate below which failures must be shown to lie, once, before the candidate is promoted.
        slower_than: for `first_event` alone: a run whose first event took longer is a failure.
        weight: its share of the one bound, beside those of the others.
        report_only: shown, and neither sends back nor holds.
        ignore_reasons: patterns of a close's reason that is not this service's doing, such as an upstream model's.
    """

    limit: Annotated[Rate, _below_all] | None = None
    certify: Annotated[Rate, _below_all, _above_none] | None = None
    slower_than: Annotated[Duration, between("1ms", "1h")] | None = None
    weight: Annotated[int, whole(1, 100)] = 1
    report_only: bool = False
    ignore_reasons: list[Annotated[str, not_empty]] = field(default_factory=list)

    def build(self, metric: str) -> Criterion:
        return Criterion(
            metric,
            self.limit,
            self.certify,
            self.slower_than,
            weight=float(self.weight),
            report_only=self.report_only,
            ignore_reasons=tuple(self.ignore_reasons),
        )


_header = text_like(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", "the name of a request header")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """Who a user's socket is counted for, where the last entry of X-Forwarded-For is not the user's address.

    Args:
        header: the request header that names the user.
        forwarded_for: the entry of X-Forwarded-For, counted from its end, that is the user's address.
    """

    header: Annotated[str, _header] | None = None
    forwarded_for: Annotated[int, whole(1, 10)] | None = None

    def __post_init__(self) -> None:
        if (self.header is None) == (self.forwarded_for is None):
            raise ValueError("either header: NAME, or forwarded-for: N, the entry from the end")

    def encode(self) -> str:
        """As the middleware is told."""
        said = {"forwarded-for": self.forwarded_for} if self.header is None else {"header": self.header}
        return json.dumps(said, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceConfig:
    """How users' runs are counted.

    Args:
        block: runs are compared in blocks of this length, by when they started.
        within: a run without its outcome after this long failed.
        lateness: how late a line of the log may come.
        warm_up: runs in this first part of a stage are shown and not judged.
        min_trials: runs of the candidate that a stage needs before it may pass.
        min_clients: clients of the candidate that those must come from.
        client: who a socket is counted for; left out, the last entry of X-Forwarded-For.
    """

    block: Annotated[Duration, between("100ms", "1d")] = Sampling().block
    within: Annotated[Duration, between("1ms", "1h")] = Sampling().within
    lateness: Annotated[Duration, between("0s", "1d")] = Sampling().lateness
    warm_up: Annotated[Duration, between("0s", "1d")] = Sampling().warm_up
    min_trials: Annotated[int, whole(1, 10_000_000)] = Sampling().min_trials
    min_clients: Annotated[int, whole(1, 10_000)] = Sampling().min_clients
    client: ClientConfig | None = None

    def build(self) -> Sampling:
        return Sampling(**{each.name: getattr(self, each.name) for each in fields(Sampling)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbesConfig:
    """How often the scenarios are held.

    Args:
        every: from one round to the next.
        sessions: conversations per scenario and round.
        concurrency: conversations at once.
    """

    every: Annotated[Duration, between("100ms", "1d")] = timedelta(seconds=10)
    sessions: Annotated[int, whole(1, 1000)] = 5
    concurrency: Annotated[int, whole(1, 500)] = 5


_ON_THIS_MACHINE = r"http://(localhost|127\.0\.0\.1|\[::1\])[:/]"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookConfig:
    """Who is told what a rollout does: one address that each step is posted to.

    Args:
        url: the address, `https://...`; `${env:NAME}` in it is the variable's value where the command runs.
        format: the shape of the bodies: our own JSON, or what Slack or Google Chat takes.
        secret: what each body is signed with; `${env:NAME}` likewise.
    """

    url: Annotated[str, text_like(r"https?://[^\s]+|.*\$\{env:.*", "an address, https://...")]
    format: Literal["json", "slack", "google-chat"] = "json"
    secret: Annotated[str, not_empty] | None = None

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "properties": {
            "url": {"anyOf": [{"pattern": f"^{_ON_THIS_MACHINE}"}, {"not": {"pattern": "^http://"}}]}
        }
    }

    def __post_init__(self) -> None:
        if self.url.startswith("http://") and not re.match(_ON_THIS_MACHINE, self.url):
            raise Misplaced(("url",), "http:// would show everybody on the way what it says: write https://")


_SLOWER_THAN = ("slower-than", "slower_than")
DEFAULT_STAGES = [
    StageConfig(percent=0),
    StageConfig(percent=5, soak=timedelta(minutes=5)),
    StageConfig(percent=25, soak=timedelta(minutes=10)),
    StageConfig(percent=50, soak=timedelta(minutes=10)),
    StageConfig(percent=100, soak=timedelta(minutes=30)),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What the static checks read of ``spillway.yaml``; a file without ``service`` may hold these keys alone.

    Args:
        source: the folder of the source that is checked, from this file's.
        environments: where the service lives, by a name of yours: `--env NAME`.
        container: what is asked of each revision's template, and of the service.
        scenarios: conversations that the candidate must hold before users reach it, by name.
        checks: the static checks; without it none gate a rollout.
    """

    source: str = "."
    environments: dict[Name, Environment] = field(default_factory=dict)
    container: Container = field(default_factory=Container)
    scenarios: dict[str, ScenarioConfig] = field(default_factory=dict)
    checks: Settings | None = None

    def build_scenarios(self) -> tuple[Scenario, ...]:
        return tuple(scenario.build(name) for name, scenario in self.scenarios.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Checked):
    """All of ``spillway.yaml``.

    Args:
        service: the name of the Cloud Run service.
        images: images of the local Cloud Run, by name: commands on this machine.
        stages: the shares of new connections that the candidate gets, one after the other.
        criteria: what users' runs are judged by.
        evidence: how users' runs are counted.
        probes: how often the scenarios are held.
        false_rollbacks: how often a good candidate may be sent back, over the whole rollout.
        bad_promotions: how often a bad candidate may be certified.
        drain: what happens to sockets that are open on a revision that lost its traffic; `keep` counts them.
        heartbeat: how long a driver may be silent before another takes over.
        webhook: one address that each step of a rollout is posted to.
    """

    service: Name
    environments: Annotated[dict[Name, Environment], not_empty]
    images: dict[str, Image] = field(default_factory=dict)
    scenarios: Annotated[dict[str, ScenarioConfig], not_empty]
    stages: Annotated[list[StageConfig], not_empty] = field(default_factory=lambda: list(DEFAULT_STAGES))
    criteria: dict[str, CriterionConfig] = field(default_factory=dict)
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    probes: ProbesConfig = field(default_factory=ProbesConfig)
    false_rollbacks: Odds = 0.001
    bad_promotions: Odds = 0.05
    drain: Annotated[Drain, _drain] = Drain.KEEP
    heartbeat: Annotated[Duration, between("1s", "20s")] = timedelta(seconds=20)
    webhook: WebhookConfig | None = None

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "properties": {
            "stages": {
                "items": [{"properties": {"percent": {"const": 0}}}],
                "contains": {"required": ["percent"], "properties": {"percent": {"const": 100}}},
            },
            "criteria": {
                "propertyNames": {"enum": list(METRICS)},
                "properties": {"first_event": {"anyOf": [{"required": [key]} for key in _SLOWER_THAN]}},
                "additionalProperties": {"properties": {key: {"type": "null"} for key in _SLOWER_THAN}},
            },
        }
    }

    def __post_init__(self) -> None:
        percents = [stage.percent for stage in self.stages]
        if percents[0] != 0 or percents[-1] != 100 or percents != sorted(set(percents)):
            raise Misplaced(
                ("stages",), f"percent must rise from 0 to 100, got {', '.join(map(str, percents))}"
            )
        for metric, criterion in self.criteria.items():
            if metric not in METRICS:
                near = difflib.get_close_matches(metric, METRICS, n=1)
                hint = f", did you mean {near[0]}?" if near else f"; known: {', '.join(METRICS)}"
                raise Misplaced(("criteria",), f"no metric {metric!r}{hint}")
            if (metric == "first_event") != (criterion.slower_than is not None):
                raise Misplaced(
                    ("criteria", metric), "slower-than belongs to first_event, and first_event needs it"
                )
            if criterion.ignore_reasons and metric not in ERROR_CLOSES:
                closes = " and ".join(sorted(ERROR_CLOSES))
                raise Misplaced(
                    ("criteria", metric), f"ignore-reasons belongs to {closes}, which have reasons"
                )

    def environment(self, name: str | None) -> tuple[str, Environment]:
        """The named environment, or the only one. Raises UserError."""
        known = ", ".join(self.environments)
        if name is None:
            if len(self.environments) > 1:
                raise UserError(f"{len(self.environments)} environments: {known}", fix="Name one: --env NAME")
            name = next(iter(self.environments))
        if name not in self.environments:
            raise UserError(
                f"no environment {name!r}", f"spillway.yaml has: {known}", "Name one of them: --env NAME"
            )
        return name, self.environments[name]

    def ref(self, environment: Environment) -> ServiceRef:
        return environment.ref(self.service)

    def image_reference(self, image: str, environment: Environment) -> str:
        """The image by digest, or locally a name under ``images:`` that is still to be pinned. Raises UserError."""
        if re.search(r"@sha256:[0-9a-f]{64}$", image):
            return image
        if not self.ref(environment).is_local or "@" in image:
            raise UserError(
                f"--image {image}: not pinned by digest",
                "A tag can point elsewhere tomorrow; the rollout's identity is the digest.",
                "Give NAME@sha256:... (gcloud artifacts docker images describe prints it).",
            )
        if image not in self.images:
            known = ", ".join(self.images) or "none"
            near = difflib.get_close_matches(image, self.images, n=1)
            raise UserError(
                f"--image {image}: no such image in spillway.yaml",
                f"images has: {known}",
                f"Did you mean --image {near[0]}?" if near else "Add it under images: with its command.",
            )
        return image

    def _criteria(self) -> tuple[Criterion, ...]:
        """Those that are named, and what the platform tells of any service; ``report-only`` takes a say from those."""
        named = tuple(criterion.build(metric) for metric, criterion in self.criteria.items())
        unasked = (metric for metric in PLATFORM_METRICS if metric not in self.criteria)
        return (*named, *(Criterion(metric, weight=_UNASKED_WEIGHT) for metric in unasked))

    def terms(self) -> Terms:
        return Terms(
            stages=tuple(stage.build() for stage in self.stages),
            criteria=self._criteria(),
            scenarios=tuple(self.scenarios),
            sampling=self.evidence.build(),
            probing=Probing(**asdict(self.probes)),
            alpha=self.false_rollbacks,
            beta=self.bad_promotions,
            drain=self.drain,
        )

    def fingerprint(self) -> str:
        """Hash of everything validated that a rollout depends on; comments and key order do not count.

        ``checks`` decide whether a rollout may begin, not what it is: mending them must not make another one of it; nor
        must another address for its news.
        """
        row = asdict(self)
        for name in ("images", "source", "checks", "webhook"):
            del row[name]
        del row["container"]["waive"]  # to let a field go is no other rollout
        for criterion in row["criteria"].values():
            rates = {name: criterion[name] for name in ("limit", "certify")}
            criterion |= {name: rate if rate is None else format_rate(rate) for name, rate in rates.items()}
        row |= {name: f"1 in {round(1 / row[name])}" for name in ("false_rollbacks", "bad_promotions")}
        return hashlib.sha256(json.dumps(row, sort_keys=True, default=format_duration).encode()).hexdigest()


_Whole = TypeVar("_Whole", bound=Checked)


def validate(document: yamltree.Document) -> Config:
    """Raises ConfigError: the first complaint in full, with file:line:column, and the number of further ones."""
    return _validated(Config, document)


def parse(text: str, file: str = DEFAULT_FILE) -> Config:
    """Validate a text. Raises ConfigError."""
    return validate(yamltree.parse(text, file))


def validate_checked(document: yamltree.Document) -> Checked:
    """What the checks need: the whole configuration where there is a ``service``, else their keys alone.

    Raises: ConfigError.
    """
    is_whole = isinstance(document.value, dict) and "service" in document.value
    return _validated(Config if is_whole else Checked, document)


def _validated(model: type[_Whole], document: yamltree.Document) -> _Whole:
    if not isinstance(document.value, dict):
        raise ConfigError(
            f"{document.file}:1:1: not a configuration", "It must be a mapping that starts with service: NAME"
        )
    reader = sections.Reader(document, Config)
    made: _Whole = reader.read(model, document.value)
    if reader.complaints:
        raise _told(reader.complaints)
    _refuse_words(document)
    template_section.check(document, made.container)
    cleared = template_section.cleared(document)
    return replace(made, container=replace(made.container, cleared=cleared)) if cleared else made


def _refuse_words(document: yamltree.Document) -> None:
    """In a message ``yes`` would silently become ``true``: there nobody says what kind of value is wanted."""
    for path, word in document.words.items():
        if path[0] == "scenarios":
            raise ConfigError(
                f"{document.where(path)}: {sections.path_text(path)}: {word} is true or false to YAML 1.1 and text to YAML 1.2",
                "",
                f'Write "{word}" for the text, or true or false.',
            )


def _told(complaints: list[sections.Complaint]) -> ConfigError:
    # A misspelt key is told before the key that is missing because of it.
    lines = [each.text for each in sorted(complaints, key=lambda each: each.is_missing)]
    what, why, fix = [*lines[0].split("\n"), "", ""][:3]
    more = "\n".join(line.split("\n")[0] for line in lines[1:6])
    return ConfigError(what, more or why, f"and {len(lines) - 6} more" if len(lines) > 6 else fix)
