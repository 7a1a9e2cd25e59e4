"""What of ``spillway.yaml`` reaches the program and the plan; the clock of a process; which driver is known to be dead."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from infra.settings import Settings, Template
from pipeline.app.wiring import SystemClock, driver, is_dead, settings_for, wish_for
from pipeline.config import schema
from pipeline.config.schema import Container
from pipeline.model import Criterion, Probing, Sampling, ServiceRef, Stage
from tests.fakes import START

DIGEST = "chat@sha256:" + "0" * 64
TEXT = """
service: chat
environments:
  staging: {project: acme-stg, region: us-central1}
container:
  port: 8000
  env: {A: "1"}
  min-instances: 1
  max-instances: 30
  concurrency: 200
  cpu: "2"
  memory: 1Gi
  timeout: 10m
  service-account: chat@acme-stg.iam.gserviceaccount.com
  startup: 1500ms
  deletion-protection: false
scenarios:
  run: {path: /ws, send: {type: hello}, expect: [done]}
"""
READ = schema.parse(TEXT)
STAGING = READ.environments["staging"]


def test_every_setting_of_the_container_reaches_the_program() -> None:
    assert settings_for(READ, STAGING, DIGEST) == Settings(
        project="acme-stg", location="us-central1", service="chat", deletion_protection=False,
        template=Template(
            image=DIGEST, env={"A": "1"}, port=8000, cpu="2", memory="1Gi", concurrency=200, min_instances=1,
            max_instances=30, timeout_s=600, startup_s=2, service_account="chat@acme-stg.iam.gserviceaccount.com",
        ),
    )  # fmt: skip


def test_the_config_above_sets_each_key_to_something_else_than_its_default() -> None:
    """So a key that somebody adds and forgets to hand over fails the test above or this one."""
    plain = Container()
    same = [name for name in Container.model_fields if getattr(READ.container, name) == getattr(plain, name)]
    assert not same


def test_the_candidate_is_named_after_what_the_program_makes(tmp_path: Path) -> None:
    wish = wish_for(READ, STAGING, DIGEST)
    assert wish.candidate == settings_for(READ, STAGING, DIGEST).revision


def test_setting_the_machines_clock_moves_nobodys_time() -> None:
    wall, passed = [START], [100.0]
    clock = SystemClock(wall=lambda: wall[0], elapsed=lambda: passed[0])
    wall[0] += timedelta(hours=5)
    assert clock.now() == START
    wall[0] -= timedelta(days=5)
    passed[0] += 3
    assert clock.now() == START + timedelta(seconds=3)


def test_sleeping_ends_when_told_to_stop() -> None:
    stopped = threading.Event()
    stopped.set()
    clock = SystemClock(stopped)
    begun = clock.now()
    clock.sleep(timedelta(hours=1))
    assert clock.now() - begun < timedelta(minutes=1)


SECOND = timedelta(seconds=1)
JUDGED = """
service: chat
environments:
  staging: {project: acme-stg, region: us-central1, evidence: probes}
container: {min-instances: 3}
scenarios:
  short: {path: /ws, send: {type: hello}, expect: [done], within: 3s}
  long: {path: /ws, send: {type: hello}, expect: [done], within: 40s}
  middle: {path: /ws, send: {type: hello}, expect: [done], within: 20s}
stages: [{percent: 0}, {percent: 10, soak: 60s, deadline: 90s, hold: true}, {percent: 100, soak: 30s}]
criteria: {agent_completed: {limit: 1%, certify: 2%}, first_event: {slower-than: 500ms}}
evidence: {block: 11s, within: 12s, lateness: 13s, warm-up: 14s, min-trials: 15}
probes: {every: 16s, sessions: 17, concurrency: 18}
false-rollbacks: 1 in 5000
bad-promotions: 1 in 50
"""


def test_every_setting_of_the_rollout_reaches_the_plan() -> None:
    read = schema.parse(JUDGED)
    wish = wish_for(read, read.environments["staging"], DIGEST)
    assert (wish.ref, wish.image) == (ServiceRef("acme-stg", "us-central1", "chat"), DIGEST)
    assert wish.stages == (
        Stage(0, 0 * SECOND, timedelta(hours=1)),
        Stage(10, 60 * SECOND, 150 * SECOND, hold=True),  # the time to decide comes after the soak
        Stage(100, 30 * SECOND, 30 * SECOND + timedelta(hours=1)),
    )
    slow = Criterion("first_event", slower_than=timedelta(milliseconds=500))
    assert wish.criteria == (Criterion("agent_completed", limit=0.01, certify=0.02), slow)
    assert wish.sampling == Sampling(11 * SECOND, 12 * SECOND, 13 * SECOND, 14 * SECOND, 15)
    assert wish.probing == Probing(16 * SECOND, 17, 18)
    assert (wish.alpha, wish.beta) == (pytest.approx(1 / 5000), pytest.approx(1 / 50))
    assert (wish.evidence, wish.min_instances) == ("probes", 3)
    assert wish.longest_scenario == 40 * SECOND
    assert wish.scenarios == ("short", "long", "middle")


def _ended() -> int:
    """The number of a process that is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def _with(who: str, *, host: str | None = None, machine: str | None = None, pid: object = None) -> str:
    parts = who.split("/")
    for index, value in enumerate((host, machine, pid)):
        parts[index] = parts[index] if value is None else str(value)
    return "/".join(parts)


def test_a_driver_is_dead_when_its_process_on_this_machine_is_gone() -> None:
    assert not is_dead(driver())
    assert is_dead(_with(driver(), pid=_ended()))


@pytest.mark.parametrize("other", [{"host": "elsewhere"}, {"machine": "00000000"}, {"pid": "x"}, {"pid": ""}])
def test_of_another_machine_boot_or_kind_nobody_is_known_to_be_dead(other: dict[str, str]) -> None:
    assert not is_dead(_with(_with(driver(), pid=_ended()), **other))  # type: ignore[arg-type]


def test_another_users_process_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    assert not is_dead(driver())
