"""``spillway.yaml`` to a validated ``Config``; every complaint names file:line:column and key.

Keys are kebab-case; durations and rates are strings with their unit (YAML would turn ``12:30`` into 750 and
leaves a reader to guess what ``5`` means). Unknown keys are errors: a misspelt limit must not be a missing limit.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, TypeVar

from msgspec import Struct, field, structs
from msgspec.structs import replace

from checks.settings import Settings
from pipeline.config import sections, template_section, yamltree
from pipeline.config.container_section import Container, Image
from pipeline.config.drain_section import DrainConfig
from pipeline.config.environments_section import Environment, check_jobs, check_order
from pipeline.config.fields import (
    NOT_A_KEY,
    Duration,
    Misplaced,
    Name,
    Odds,
    between,
    not_empty,
)
from pipeline.config.judging_section import (
    DEFAULT_STAGES,
    CriterionConfig,
    EvidenceConfig,
    StageConfig,
    VerifyConfig,
)
from pipeline.config.places import Places
from pipeline.config.probes_section import ProbeJobConfig, ProbesConfig
from pipeline.config.scenarios_section import ScenarioConfig
from pipeline.config.watchdog_section import WatchdogConfig
from pipeline.config.webhook_section import WebhookConfig
from pipeline.errors import ConfigError, UserError
from pipeline.judging.metrics import METRICS, UNASKED_METRICS
from pipeline.judging.sockets import ERROR_CLOSES
from pipeline.judging.terms import Criterion, Drain, Terms
from pipeline.probe.route import Ways
from pipeline.probe.scenario import Scenario
from pipeline.units import format_duration, format_rate

DEFAULT_FILE = "spillway.yaml"
_UNASKED_WEIGHT = 0.25  # of a criterion that nobody named: the others keep most of the bound

#: what decides how a rollout ends; its image and its service are beside it
_DECIDES = (
    "container", "scenarios", "verify", "stages", "criteria", "evidence", "false_rollbacks", "bad_promotions", "drain",
)  # fmt: skip
_SLOWER_THAN = ("slower-than", "slower_than")


class Checked(Places, frozen=True, kw_only=True):
    """What the static checks read of ``spillway.yaml``; a file for the checks alone may hold these keys alone.

    Args:
        source: the folder of the source that is checked, from this file's.
        container: what is asked of each revision's template, and of the service.
        scenarios: conversations that the candidate must hold before users reach it, by name.
        checks: the static checks; without it none gate a rollout.
    """

    source: str = "."
    container: Container = field(default_factory=Container)
    scenarios: dict[str, ScenarioConfig] = field(default_factory=dict)
    checks: Settings | None = None
    folder: Annotated[str, NOT_A_KEY] = ""  # of the file

    @property
    def is_reached(self) -> bool:
        """Probes go by addresses of a load balancer, at least in some environment."""
        return any(each.probe_address for each in self.environments.values())

    @property
    def is_inside(self) -> bool:
        """Probes are held inside the network, at least in some environment."""
        return any(each.probe_job for each in self.environments.values())

    def build_scenarios(self) -> tuple[Scenario, ...]:
        return tuple(scenario.build(name, self.folder) for name, scenario in self.scenarios.items())


class Config(Checked, frozen=True, kw_only=True):
    """All of ``spillway.yaml``.

    Args:
        images: images of the local Cloud Run, by name: commands on this machine.
        stages: the shares of new connections that the candidate gets, one after the other.
        criteria: what users' runs are judged by.
        evidence: how users' runs are counted.
        probes: how often the scenarios are held.
        verify: commands of yours that the candidate must pass, by name: smoke tests, a load test.
        false_rollbacks: how often a good candidate may be sent back, over the whole rollout.
        bad_promotions: how often a bad candidate may be certified.
        drain: what becomes of sockets that are open on a revision that lost its traffic: see docs/draining.md.
        heartbeat: how long a driver may be silent before another takes over.
        webhook: one address that each step of a rollout is posted to.
        watchdog: who drives a rollout when no command does.
    """

    service: Name
    environments: Annotated[dict[Name, Environment], not_empty]
    images: dict[str, Image] = field(default_factory=dict)
    scenarios: Annotated[dict[str, ScenarioConfig], not_empty]
    stages: Annotated[list[StageConfig], not_empty] = field(default_factory=lambda: list(DEFAULT_STAGES))
    criteria: dict[str, CriterionConfig] = field(default_factory=dict)
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    probes: ProbesConfig = field(default_factory=ProbesConfig)
    verify: dict[Name, VerifyConfig] = field(default_factory=dict)
    false_rollbacks: Odds = 0.001
    bad_promotions: Odds = 0.05
    drain: DrainConfig = field(default_factory=DrainConfig)
    heartbeat: Annotated[Duration, between("1s", "20s")] = timedelta(seconds=20)
    webhook: WebhookConfig | None = None
    watchdog: WatchdogConfig = field(default_factory=WatchdogConfig)

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
        for name, verification in self.verify.items():
            if strange := [each for each in verification.percents if each not in percents]:
                raise Misplaced(
                    ("verify", name, "percents"),
                    f"no stage has {strange[0]}%: stages has {', '.join(map(str, percents))}",
                )
        check_order(self.environments, self.service)
        check_jobs(self.probes.from_, self.probes.job, self.environments)
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

    def build_scenarios(self) -> tuple[Scenario, ...]:
        made = self.scenarios.items()
        return tuple(scenario.build(name, self.folder, self.probes.tls) for name, scenario in made)

    @property
    def is_reached(self) -> bool:
        return any(self.ways(each) for each in self.environments.values())

    @property
    def is_inside(self) -> bool:
        return self.probes.from_ == "job"

    def probe_job(self, environment: Environment) -> ProbeJobConfig | None:
        """Who holds the probes, where it is not the driver itself."""
        return (environment.probe_job or self.probes.job) if self.is_inside else None

    def ways(self, environment: Environment) -> Ways | None:
        """To the revisions, where probes do not go by their tags' addresses."""
        address = environment.probe_address or self.probes.address
        return address.build() if address else None

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
        """Those that are named, and what is judged of any service; ``report-only`` takes a say from those."""
        named = tuple(criterion.build(metric) for metric, criterion in self.criteria.items())
        unasked = (metric for metric in UNASKED_METRICS if metric not in self.criteria)
        return (*named, *(Criterion(metric, weight=_UNASKED_WEIGHT) for metric in unasked))

    def terms(self) -> Terms:
        return Terms(
            stages=tuple(stage.build() for stage in self.stages),
            criteria=self._criteria(),
            scenarios=tuple(self.scenarios),
            sampling=self.evidence.build(),
            probing=self.probes.build(),
            alpha=self.false_rollbacks,
            beta=self.bad_promotions,
            verify=tuple(each.build(name) for name, each in self.verify.items()),
            drain=Drain(self.drain.how),
            drain_max=self.drain.max,
            drain_promoted=Drain(self.drain.promoted),
        )

    def fingerprint(self, evidence: str = "users") -> str:
        """Hash of what decides how a rollout ends, as it stands in the file: comments and key order do not count.

        ``${env:NAME}`` stays a name, so that a token which is renewed midway makes no other rollout of it; neither does
        another address for its news, another watchdog, another pace, or an environment that it does not go to.

        Args:
            evidence: what its environment is judged by.
        """
        return _hashed({**self._decisive(), "judged_by": evidence})

    def shared_fingerprint(self) -> str:
        """The same but for the environment, 16 hex digits: an image goes from one into the next with this."""
        return _hashed(self._decisive())[:16]

    def scenarios_fingerprint(self) -> str:
        """The same of the scenarios alone: who holds them elsewhere holds the same."""
        return _hashed({name: _rows(each) for name, each in self.scenarios.items()})

    def _decisive(self) -> dict[str, Any]:
        whole = _rows(self)
        row = {name: whole[name] for name in _DECIDES}
        del row["container"]["waive"]  # to let a field go is no other rollout
        plain = _rows(DrainConfig())
        row["drain"] = {key: each for key, each in row["drain"].items() if each != plain[key]} or "keep"
        for scenario in row["scenarios"].values():
            del scenario["tls"]  # nor is another way to the same service
        for criterion in row["criteria"].values():
            rates = {name: criterion[name] for name in ("limit", "certify")}
            criterion |= {name: rate if rate is None else format_rate(rate) for name, rate in rates.items()}
        return row | {name: f"1 in {round(1 / row[name])}" for name in ("false_rollbacks", "bad_promotions")}


def _hashed(row: Mapping[str, Any]) -> str:
    said = json.dumps(_without_empty(row), sort_keys=True, default=format_duration)
    return hashlib.sha256(said.encode()).hexdigest()


def _rows(value: Any) -> Any:
    """Sections, and the values that they hold, as dictionaries."""
    if isinstance(value, Struct):
        return {name: _rows(each) for name, each in structs.asdict(value).items()}
    if isinstance(value, Mapping):
        return {name: _rows(each) for name, each in value.items()}
    return type(value)(map(_rows, value)) if isinstance(value, tuple | list) else value


def _without_empty(value: Any) -> Any:
    """A key that a later version knows, and that a file does not have, changes no fingerprint."""
    if isinstance(value, dict):
        return {key: _without_empty(each) for key, each in value.items() if each not in (None, [], {}, "")}
    return [_without_empty(each) for each in value] if isinstance(value, list) else value


_Whole = TypeVar("_Whole", bound=Checked)


def validate(document: yamltree.Document) -> Config:
    """Raises ConfigError: the first complaint in full, with file:line:column, and the number of further ones."""
    return _validated(Config, document)


def parse(text: str, file: str = DEFAULT_FILE) -> Config:
    """Validate a text. Raises ConfigError."""
    return validate(yamltree.parse(text, file))


def validate_checked(document: yamltree.Document) -> Checked:
    """What the checks need: the whole configuration, or their keys alone where it declares no service to deploy.

    Raises: ConfigError.
    """
    keys = document.keys
    is_begun = "checks" not in keys or not keys.keys().isdisjoint(("environments", "scenarios"))
    return _validated(Config if "service" in keys and is_begun else Checked, document)


def _validated(model: type[_Whole], document: yamltree.Document) -> _Whole:
    if not isinstance(document.value, dict):
        raise ConfigError(
            f"{document.file}:1:1: not a configuration", "It must be a mapping that starts with service: NAME"
        )
    made = sections.read(model, document.value, document, Config)
    _refuse_words(document)
    made = replace(made, folder=posixpath.dirname(document.file) or ".")
    template_section.check(document, made.container, is_reached=made.is_reached, is_inside=made.is_inside)
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
