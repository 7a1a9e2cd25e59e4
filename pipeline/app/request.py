"""What a command asks for, resolved once: an environment of ``spillway.yaml``, and of a rollout its image by digest.

Everything else follows from these two: the service, what the Pulumi program is given, and the wish that a plan is made
of. Whoever needs one of them takes it from here, so that a plan, its gate and its deployment speak of the same thing.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, cast

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from infra.settings import Clearable, ProbeJob, Settings, Watchdog
    from pipeline.app.session import Session
    from pipeline.config.environments_section import Environment
    from pipeline.config.schema import Config
    from pipeline.core.plan import Wish
    from pipeline.model import ServiceRef


class Request(Struct, frozen=True, dict=True):
    """See the module's docstring. ``images.py`` adds the image.

    Args:
        name: of the environment.
        image: by digest; empty where the command names none.
        commit: of its source; empty: not known.
    """

    session: Session
    config: Config
    name: str
    environment: Environment
    image: str = ""
    commit: str = ""

    @classmethod
    def of(cls, session: Session, env: str | None, config: Config | None = None) -> Request:
        """Read the configuration, unless it is at hand, and choose the environment. Raises ConfigError, UserError."""
        config = config or session.config
        return cls(session, config, *config.environment(env))

    def with_image(self, image: str) -> Request:
        """Args: image: by digest."""
        return self if image == self.image else replace(self, image=image)

    @cached_property
    def ref(self) -> ServiceRef:
        return self.config.ref(self.environment)

    @cached_property
    def settings(self) -> Settings:
        """What the Pulumi program is given: the container section of ``spillway.yaml``, with this image."""
        from infra.settings import Settings, Template
        from pipeline.config import template_section

        ref, container = self.ref, self.config.container
        template = Template(
            image=self.image,
            env=container.env,
            port=container.port,
            cpu=container.cpu,
            memory=container.memory,
            concurrency=container.concurrency,
            min_instances=container.min_instances,
            max_instances=container.max_instances,
            timeout_s=_seconds(container.timeout),
            startup_s=_seconds(container.startup),
            service_account=container.service_account or "",
            cleared=cast("tuple[Clearable, ...]", container.cleared),
            fields=template_section.as_document(template_section.TEMPLATE, container.template),
        )
        return Settings(
            project=ref.project,
            location=ref.location,
            service=ref.service,
            template=template,
            deletion_protection=container.deletion_protection,
            fields=template_section.as_document(template_section.SERVICE, container.service),
            waive=tuple(container.waive),
            alert_channels=tuple(self.environment.alert_channels),
            telemetry=self._telemetry,
            watchdog=self._watchdog,
            probe_job=self.probe_job,
            silent_s=int(self.config.watchdog.silent.total_seconds()),
        )

    @property
    def _watchdog(self) -> Watchdog | None:
        from infra.settings import Fleet, Watchdog

        asked = self.config.watchdog
        if asked.image is None:
            return None
        fleet = asked.fleet
        return Watchdog(
            image=asked.image,
            environment=self.name,
            service_account=asked.service_account or "",
            every_minutes=asked.every // timedelta(minutes=1),
            secrets=asked.secrets,
            fleet=Fleet(tuple(fleet.files), tuple(fleet.labels), fleet.tasks) if fleet else None,
        )

    @property
    def probe_job(self) -> ProbeJob | None:
        """Who holds the probes, where it is not this process."""
        from infra.settings import ProbeJob

        asked = self.config.probe_job(self.environment)
        if asked is None:
            return None
        return ProbeJob(
            image=asked.image,
            longest_s=ceil(asked.within.total_seconds()),
            service_account=asked.service_account or "",
            secrets=asked.secrets,
            network=asked.network or "",
            subnetwork=asked.subnetwork or "",
        )

    @property
    def _telemetry(self) -> dict[str, str]:
        """What the middleware is told: users' runs are what the probes' scenarios say."""
        from pipeline.config.known_runs import known_runs
        from pipeline.model import CLIENT_VARIABLE, TELEMETRY_VARIABLE

        known = known_runs(self.config.build_scenarios(), self.config.evidence.within)
        runs = {TELEMETRY_VARIABLE: known.encode()} if known else {}
        return runs | ({CLIENT_VARIABLE: self._client} if self._client else {}) | self._orders

    @property
    def _orders(self) -> dict[str, str]:
        """Where instances look for drain orders: in the service's own annotation, unless somebody else hands them out."""
        from pipeline.model import ADMIN_API, DRAIN_VARIABLE

        drain = self.config.drain
        return {DRAIN_VARIABLE: drain.url or f"{ADMIN_API}/{self.ref.name}"} if drain.asks else {}

    @property
    def _client(self) -> str:
        client = self.config.evidence.client
        return client.encode() if client else ""

    @cached_property
    def wish(self) -> Wish:
        """What a rollout of this image would be: everything validated, nothing asked of any cloud.

        Its candidate has the name that it would have on a new service; ``Drive.aimed`` asks the live one.
        """
        from infra.compose import compose
        from pipeline.core.plan import Wish
        from pipeline.probe import speech

        config = self.config
        ways = config.ways(self.environment)
        by_tls = not self.ref.is_local if ways is None else "https://" in ways.stable + ways.candidate
        for scenario in config.build_scenarios():
            if config.is_inside:  # a job has secrets and certificates of its own
                speech.check_words(scenario)
            else:
                speech.check(scenario, by_tls=by_tls)  # what is missing is told before anything is deployed
        return Wish(
            ref=self.ref,
            image=self.image,
            candidate=compose(self.settings).revision,
            fingerprint=config.fingerprint(self.environment.evidence),
            config=config.shared_fingerprint(),
            commit=self.commit,
            terms=config.terms(),
            longest_scenario=timedelta(seconds=max(s.longest_s for s in config.build_scenarios())),
            client=self._client,
            evidence=self.environment.evidence,
            is_reached=ways is not None,
            is_inside=config.is_inside,
            round_within=timedelta(seconds=self.probe_job.longest_s) if self.probe_job else timedelta(0),
            min_instances=config.container.min_instances or 0,
        )


def _seconds(duration: timedelta | None) -> int | None:
    """Whole ones, which is what Cloud Run counts in."""
    return None if duration is None else ceil(duration.total_seconds())
