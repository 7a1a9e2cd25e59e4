"""The watchdog as the Pulumi program declares it, and as the local Cloud Run's provider brings it about."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from msgspec.structs import replace
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc
from pulumi_gcp import cloudrunv2, cloudscheduler
from typer.main import get_command

from infra import jobs
from infra.jobs import JOB, SCHEDULE
from infra.live import read
from infra.settings import Fleet, Settings, Template, Watchdog
from pipeline.app.side_by_side import Bounds
from pipeline.app.timing import Timing
from pipeline.cli.app import app
from pipeline.cloudrun.stack import InProcess, declared
from pipeline.config.schema import parse
from pipeline.errors import ConfigError
from pipeline.local.provider import engine
from pipeline.local.provider.plain import PlainProvider
from pipeline.local.provider.service import LocalProvider
from tests.contract.cloud import Cloud
from tests.contract.targets import local
from tests.test_config import GOOD

ASKED = Watchdog("good", "production", "w@p.iam.gserviceaccount.com", 2, {"WS_TOKEN": "ws-token"})
SETTINGS = Settings("local", "here", "chat", Template("good"), deletion_protection=False, watchdog=ASKED)
JOB_NAME = "projects/local/locations/here/jobs/chat-watchdog"


@pytest.fixture(scope="module")
def machine() -> Iterator[Cloud]:
    """A whole local Cloud Run: jobs and schedules are the server's own."""
    with local() as cloud:
        yield cloud


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def has(kind: Any, inputs: Mapping[str, Any]) -> None:
    """Each key is an argument of the provider's typed class, and so below."""
    known = inspect.signature(kind.__init__).parameters
    assert {snake(key) for key in inputs} <= set(known), kind


def test_what_is_declared_is_what_the_provider_takes() -> None:
    job, schedule = jobs.watchdog(SETTINGS)
    assert (job.type, schedule.type) == (JOB, SCHEDULE)
    has(cloudrunv2.JobArgs, job.inputs)
    task = job.inputs["template"]["template"]
    has(cloudrunv2.JobTemplateArgs, job.inputs["template"])
    has(cloudrunv2.JobTemplateTemplateArgs, task)
    (container,) = task["containers"]
    has(cloudrunv2.JobTemplateTemplateContainerArgs, container)
    has(cloudrunv2.JobTemplateTemplateContainerEnvArgs, container["envs"][0])
    has(cloudscheduler.JobArgs, schedule.inputs)
    has(cloudscheduler.JobHttpTargetArgs, schedule.inputs["httpTarget"])
    assert schedule.inputs["schedule"] == "*/2 * * * *"
    assert schedule.inputs["httpTarget"]["uri"] == f"https://run.googleapis.com/v2/{JOB_NAME}:run"
    assert container["args"] == ["tick", "--env", "production", "-o", "ndjson"]


def test_a_fleet_is_shared_by_the_tasks_of_one_job() -> None:
    fleet = Fleet(("services/*/spillway.yaml", "more/*.yaml"), ("spillway=watched",), 4)
    settings = replace(SETTINGS, watchdog=replace(ASKED, fleet=fleet))
    job, _ = jobs.watchdog(Settings.decode(settings.encode()))
    assert job.inputs["template"]["taskCount"] == 4
    (container,) = job.inputs["template"]["template"]["containers"]
    words = (
        "tick --env production --all --every 2m --files services/*/spillway.yaml --files more/*.yaml "
        "--label spillway=watched --project local --region here -o ndjson"
    )
    assert container["args"] == words.split()
    known: Any = get_command(app)
    known.commands["tick"].make_context("tick", list(container["args"][1:]))  # it takes these words


@pytest.mark.parametrize("minutes", [1, 3, 30])
def test_the_job_of_a_fleet_outlasts_the_longest_pass(minutes: int) -> None:
    asked = replace(ASKED, every_minutes=minutes, fleet=Fleet(("services/*/spillway.yaml",)))
    job, _ = jobs.watchdog(replace(SETTINGS, watchdog=asked))
    seconds = int(job.inputs["template"]["template"]["timeout"].removesuffix("s"))
    longest = Timing(timedelta(minutes=minutes)).starts_within + Bounds().longest
    assert timedelta(seconds=seconds) > longest


def test_without_one_none_is_declared() -> None:
    assert list(jobs.watchdog(replace(SETTINGS, watchdog=None))) == []
    kinds = [each.type for each in declared(replace(SETTINGS, watchdog=None), lambda _: None).resources]
    assert not {JOB, SCHEDULE} & set(kinds)


def test_in_process_it_is_made_once_and_put_right(machine: Cloud) -> None:
    program = InProcess(LocalProvider(machine.channel), partial(read, channel=machine.channel))
    program.apply(SETTINGS)
    provider = PlainProvider(machine.channel)
    made = provider.read(JOB, JOB_NAME)
    assert made is not None
    assert made["template"]["template"]["serviceAccount"] == ASKED.service_account
    (variable,) = made["template"]["template"]["containers"][0]["env"]
    assert variable["valueSource"]["secretKeyRef"] == {"secret": "ws-token", "version": "latest"}
    program.apply(SETTINGS)
    again = provider.read(JOB, JOB_NAME)
    assert again is not None
    assert again["generation"] == made["generation"], "nothing differs, nothing is written"
    program.apply(replace(SETTINGS, watchdog=replace(ASKED, secrets={}, every_minutes=5)))
    changed, schedule = provider.read(JOB, JOB_NAME), provider.read(SCHEDULE, JOB_NAME)
    assert changed is not None
    assert schedule is not None
    assert "env" not in changed["template"]["template"]["containers"][0]
    assert schedule["schedule"] == "*/5 * * * *"


def test_pulumis_engine_makes_refreshes_changes_and_deletes_it(machine: Cloud) -> None:
    settings = replace(SETTINGS, service="other")
    with engine.serving(machine.channel) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        provider = provider_pb2_grpc.ResourceProviderStub(channel)
        for each in jobs.watchdog(settings):
            urn = f"urn:pulumi:dev::spillway::{each.type}::{each.name}"
            inputs = struct_pb2.Struct()
            inputs.update(each.inputs)
            assert not provider.Check(provider_pb2.CheckRequest(urn=urn, news=inputs)).failures
            made = provider.Create(provider_pb2.CreateRequest(urn=urn, properties=inputs))
            found = provider.Read(
                provider_pb2.ReadRequest(urn=urn, id=made.id, properties=made.properties, inputs=inputs)
            )
            for olds in (made.properties, found.properties):
                same = provider.Diff(provider_pb2.DiffRequest(urn=urn, id=made.id, olds=olds, news=inputs))
                assert same.changes == provider_pb2.DiffResponse.DIFF_NONE
            other = struct_pb2.Struct()
            key = "template" if each.type == JOB else "schedule"
            other.update({**each.inputs, key: {"taskCount": 2, "template": each.inputs["template"]["template"]}
                          if each.type == JOB else "0 * * * *"})  # fmt: skip
            diff = provider.Diff(
                provider_pb2.DiffRequest(urn=urn, id=made.id, olds=found.properties, news=other)
            )
            assert list(diff.diffs) == [key]
            provider.Update(
                provider_pb2.UpdateRequest(urn=urn, id=made.id, olds=found.properties, news=other)
            )
            after = provider.Read(provider_pb2.ReadRequest(urn=urn, id=made.id))
            assert after.properties[key] != found.properties[key]
            provider.Delete(provider_pb2.DeleteRequest(urn=urn, id=made.id, properties=other))
            assert not provider.Read(provider_pb2.ReadRequest(urn=urn, id=made.id)).id


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("{every: 90s}", "whole minutes"),
        ("{every: 10m, silent: 15m}", "shorter than 3 steps"),
        ("{image: watchdog}", "service-account"),
        ("{every: 30s}", "between 1m and 30m"),
        ("{image: watchdog, service-account: w, fleet: {tasks: 4}}", "needs files or labels"),
        ("{image: watchdog, service-account: w, fleet: {labels: [a=b], tasks: 21}}", "at most 20"),
        ("{image: watchdog, service-account: w, fleet: {labels: ['a b']}}", "a label"),
        ("{fleet: {files: ['*.yaml']}}", "needs an image"),
    ],
)
def test_a_watchdog_that_cannot_be_is_refused(section: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(f"{GOOD}watchdog: {section}\n")


def test_another_watchdog_is_no_other_rollout() -> None:
    assert parse(f"{GOOD}watchdog: {{every: 5m}}\n").fingerprint() == parse(GOOD).fingerprint()
