"""The service, its revision and its traffic split, as Pulumi resources; usable from any program.

What is declared follows from the settings and from one read of what is deployed (``live.py``): the split, the tags and
the annotations are declared as they are, so running the program moves no traffic and loses nobody's notes. Revisions
are named, never LATEST: a later template must not get traffic by being ready.
"""

from __future__ import annotations

import secrets

import pulumi
from pulumi_gcp import cloudrunv2

from infra.live import Live
from infra.settings import Settings, Template
from pipeline.model import NONCE_VARIABLE, Split, Target

_BY_NAME = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
_LONGEST_PERIOD_S = 10


class CloudRunService(pulumi.ComponentResource):
    """One Cloud Run service with one named revision.

    Args:
        live: what ``live.read`` returned for the same settings.
    """

    service: cloudrunv2.Service

    def __init__(
        self, name: str, settings: Settings, live: Live | None, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("spillway:index:CloudRunService", name, None, opts)
        self.service = cloudrunv2.Service(
            name,
            name=settings.service,
            project=settings.project,
            location=settings.location,
            ingress=settings.ingress,
            labels=dict(settings.labels),
            annotations=dict(live.annotations) if live else {},
            deletion_protection=settings.deletion_protection,
            template=_template(settings, nonce_of(live)),
            traffics=[
                cloudrunv2.ServiceTrafficArgs(
                    type=_BY_NAME, revision=t.revision, percent=t.percent, tag=t.tag or None
                )
                for t in split_of(settings, live).targets
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"uri": self.service.uri, "revision": settings.revision})


def split_of(settings: Settings, live: Live | None) -> Split:
    """The split to declare: the one that is live; 100 % to the first revision where there is none to keep."""
    if live is None or live.serves_nobody:
        return Split((Target(settings.revision, 100),))
    # LATEST while nothing is ready: whoever is ready first gets it, and that is the revision declared here.
    return Split(tuple(Target(t.revision or settings.revision, t.percent, t.tag) for t in live.split.targets))


def nonce_of(live: Live | None) -> str:
    """The revision's own secret, which its telemetry lines carry.

    Read back where the revision exists, since a revision never changes; otherwise new and not to be guessed.
    """
    if live is not None and live.nonce is not None:
        return live.nonce
    return secrets.token_hex(16)


def _template(settings: Settings, nonce: str) -> cloudrunv2.ServiceTemplateArgs:
    wanted = settings.template
    return cloudrunv2.ServiceTemplateArgs(
        revision=settings.revision,
        containers=[_container(wanted, nonce)],
        timeout=f"{wanted.timeout_s}s",
        max_instance_request_concurrency=wanted.concurrency,
        scaling=cloudrunv2.ServiceTemplateScalingArgs(
            min_instance_count=wanted.min_instances, max_instance_count=wanted.max_instances
        ),
        service_account=wanted.service_account or None,
        session_affinity=False,  # it beats the split: returning clients would stay where they were
    )


def _container(wanted: Template, nonce: str) -> cloudrunv2.ServiceTemplateContainerArgs:
    env: list[cloudrunv2.ServiceTemplateContainerEnvArgs] = [
        cloudrunv2.ServiceTemplateContainerEnvArgs(name=name, value=value)
        for name, value in sorted(wanted.env.items())
    ]
    if nonce:
        secret = pulumi.Output.secret(nonce)
        env.append(cloudrunv2.ServiceTemplateContainerEnvArgs(name=NONCE_VARIABLE, value=secret))
    return cloudrunv2.ServiceTemplateContainerArgs(
        image=wanted.image,
        commands=list(wanted.command),
        args=list(wanted.args),
        envs=env,
        ports=_ports(wanted.port),
        resources=cloudrunv2.ServiceTemplateContainerResourcesArgs(
            limits={"cpu": wanted.cpu, "memory": wanted.memory},
            cpu_idle=True,  # Cloud Run's default, which naming limits would otherwise switch off
        ),
        startup_probe=_startup_probe(wanted.startup_s),
    )


def _ports(port: int | None) -> cloudrunv2.ServiceTemplateContainerPortsArgs | None:
    """http1: a WebSocket upgrade does not pass through HTTP/2 end to end."""
    if port is None:
        return None
    return cloudrunv2.ServiceTemplateContainerPortsArgs(name="http1", container_port=port)


def _startup_probe(startup_s: int) -> cloudrunv2.ServiceTemplateContainerStartupProbeArgs:
    """TCP, tried until exactly ``startup_s`` have passed."""
    period = next(p for p in range(_LONGEST_PERIOD_S, 0, -1) if startup_s % p == 0)
    return cloudrunv2.ServiceTemplateContainerStartupProbeArgs(
        tcp_socket=cloudrunv2.ServiceTemplateContainerStartupProbeTcpSocketArgs(),
        period_seconds=period,
        timeout_seconds=1,
        failure_threshold=startup_s // period,
    )
