"""What of ``spillway.yaml`` reaches the Pulumi program; the clock of a process."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

from infra.settings import Settings, Template
from pipeline import config
from pipeline.cli.wiring import SystemClock, settings_for, wish_for
from pipeline.config import Container
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
READ = config.parse(TEXT)
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
