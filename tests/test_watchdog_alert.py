"""The lasting alert on a watchdog that fell silent: a job's lines, counted by the policies that the program declares."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from infra import alerts
from pipeline.app.request import Request
from pipeline.app.session import Session
from pipeline.cloudrun import stack
from pipeline.local.api.entries import as_message
from pipeline.model import ServiceRef
from pipeline.output.writer import Output
from pipeline.rpc.logs import logging_v2
from pipeline.rpc.monitoring import monitoring_v3
from tests.test_config import GOOD
from tests.test_local_alerts import World

REF = ServiceRef("p", "here", "chat")
JOB = "projects/p/locations/here/jobs/chat-watchdog"
MINUTE_S = 60
SILENT_S = 900


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    for each in alerts.declared(REF):
        fields = {key: value for key, value in each.inputs.items() if key != "project"}
        if each.type == alerts.METRIC:
            metric: Any = json_format.ParseDict(fields, logging_v2.LogMetric.pb()())
            made.book.metrics.create(f"projects/p/metrics/{fields['name']}", metric)
        else:
            policy = json_format.ParseDict(fields, monitoring_v3.AlertPolicy.pb()())
            made.book.policies.create(made.book.new_name("projects/p", "alertPolicies"), policy)
    yield made
    made.logs.close()


def step(world: World, service: str = REF.name) -> None:
    """What a tick prints, as a job's line."""
    line = json.dumps({"event": "tick", "service": service, "outcome": "under_way"})
    world.logs.line(
        JOB, "", "stdout", line, labels={"run.googleapis.com/execution_name": "chat-watchdog-abcde"}
    )


def silent(world: World, after_s: float) -> bool:
    return any("watchdog is silent" in title for title, _ in world.firing(after_s))


def test_it_fires_when_no_step_is_taken_any_more(world: World) -> None:
    assert not silent(world, SILENT_S * 2), "nobody ever began"
    for _ in range(30):
        step(world)
        assert not silent(world, MINUTE_S)
    assert not silent(world, SILENT_S - 2 * MINUTE_S)
    assert silent(world, 3 * MINUTE_S)
    step(world)
    assert not silent(world, 1)


def test_another_services_watchdog_says_nothing_of_this_one(world: World) -> None:
    step(world)
    assert not silent(world, 1)
    for _ in range(20):
        step(world, REF.name.replace("chat", "other"))
        world.firing(MINUTE_S)
    assert silent(world, 1)


def test_a_jobs_line_is_of_its_own_resource(world: World) -> None:
    step(world)
    (entry,) = world.tail.take()[0]
    shown = as_message(entry)
    assert shown.resource.type == "cloud_run_job"
    assert dict(shown.resource.labels) == {"project_id": "p", "location": "here", "job_name": "chat-watchdog"}


@pytest.mark.parametrize(
    ("silent", "watched"), [("10m", "600s"), ("45m", "2700s"), ("90m30s", "5400s"), ("24h", "84600s")]
)
def test_it_fires_when_the_configuration_says_that_it_is_silent(
    silent: str, watched: str, tmp_path: Path
) -> None:
    text = f"{GOOD}watchdog: {{silent: {silent}}}\n"
    (tmp_path / "spillway.yaml").write_text(text)
    session = Session(Output(), tmp_path / "spillway.yaml", tmp_path, None, yes=True)
    settings = Request.of(session, None).with_image("good").settings
    (policy,) = [
        each.inputs
        for each in stack.declared(settings, lambda _: None).resources
        if "watchdog is silent" in str(each.inputs.get("displayName"))
    ]
    (condition,) = policy["conditions"]
    assert condition["conditionAbsent"]["duration"] == watched
    assert f"{int(watched[:-1]) // 60} minutes" in condition["displayName"]
