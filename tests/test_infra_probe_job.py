"""The job that holds probes, as the Pulumi program declares it and the local Cloud Run's provider brings it about."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace
from pulumi_gcp import cloudrunv2

from infra import jobs
from infra.jobs import JOB
from infra.live import read
from infra.settings import ProbeJob, Settings, Template
from pipeline.cloudrun.stack import InProcess
from pipeline.local.provider.plain import PlainProvider
from pipeline.local.provider.service import LocalProvider
from tests.contract.targets import local
from tests.test_infra_watchdog import has

ASKED = ProbeJob("good", 300, "p@acme.iam.gserviceaccount.com", {"WS_TOKEN": "ws-token"}, "default", "inner")
SETTINGS = Settings("local", "here", "chat", Template("good"), deletion_protection=False, probe_job=ASKED)


def test_what_is_declared_is_what_the_provider_takes() -> None:
    (made,) = jobs.probes(SETTINGS)
    assert (made.type, made.name) == (JOB, "chat-probe")
    task = made.inputs["template"]["template"]
    has(cloudrunv2.JobArgs, made.inputs)
    has(cloudrunv2.JobTemplateTemplateArgs, task)
    has(cloudrunv2.JobTemplateTemplateContainerArgs, task["containers"][0])
    has(cloudrunv2.JobTemplateTemplateVpcAccessArgs, task["vpcAccess"])
    has(
        cloudrunv2.JobTemplateTemplateVpcAccessNetworkInterfaceArgs, task["vpcAccess"]["networkInterfaces"][0]
    )
    assert (task["maxRetries"], task["timeout"]) == (0, "300s"), "a round is held once, and ends"
    assert list(jobs.probes(replace(SETTINGS, probe_job=None))) == []


def test_settings_go_through_the_stacks_config_unchanged() -> None:
    assert Settings.decode(SETTINGS.encode()) == SETTINGS


def test_in_process_it_is_made_once_and_put_right() -> None:
    with local() as machine:
        program = InProcess(LocalProvider(machine.channel), partial(read, channel=machine.channel))
        provider = PlainProvider(machine.channel)

        def applied(asked: ProbeJob) -> tuple[str, dict[str, object]]:
            program.apply(replace(SETTINGS, probe_job=asked))
            found = provider.read(JOB, SETTINGS.ref.probe_job)
            assert found is not None
            return found["generation"], found["template"]["template"]["vpcAccess"]

        first, inside = applied(ASKED)
        assert inside == {
            "egress": "ALL_TRAFFIC", "networkInterfaces": [{"network": "default", "subnetwork": "inner"}],
        }  # fmt: skip
        assert applied(ASKED)[0] == first, "nothing differs, nothing is written"
        again, inside = applied(replace(ASKED, subnetwork="outer"))
        assert again != first
        assert inside["networkInterfaces"] == [{"network": "default", "subnetwork": "outer"}]
