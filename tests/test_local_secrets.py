"""Secrets of the local Cloud Run: files of the state folder stand in for Secret Manager, and nothing shows their values."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from google.cloud import run_v2

from pipeline.local.control.codec import spec_of
from pipeline.local.control.running import instance_spec
from pipeline.local.control.state import Stamp
from pipeline.local.control.writes import create, with_defaults
from pipeline.local.dataplane import StartFailed
from pipeline.local.state_secrets import Trusted, secrets_of
from pipeline.model import ServiceRef
from pipeline.redact import REDACTED, SINK
from tests.contract.cloud import Cloud, ready_condition, short
from tests.contract.targets import local
from tests.test_local_controller import AT
from tests.test_local_instances import FOREVER, LISTEN, Machine

TOLD = f"{LISTEN}print('got', os.environ['TOKEN'], flush=True){FOREVER}"


def keep(folder: Path, secret: str, version: str, value: str | bytes) -> None:
    file = folder / "secrets" / secret / version
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(value.encode() if isinstance(value, str) else value)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path, backoff_s=0.01)
    made.image(TOLD)
    yield made
    await made.fleet.close()


@pytest.mark.parametrize(
    ("secret", "version", "value"),
    [
        ("token", "2", "of-the-second"),
        ("token", "latest", "of-the-tenth"),
        ("token", "stage", "of-the-alias"),
        ("projects/other/secrets/token", "2", "of-the-second"),
    ],
)
async def test_a_variable_has_the_value_of_its_version(
    machine: Machine, secret: str, version: str, value: str
) -> None:
    for kept, content in {"2": "of-the-second", "10": "of-the-tenth", "stage": "of-the-alias"}.items():
        keep(machine.folder, "token", kept, content)
    await machine.start(secrets={"TOKEN": (secret, version)}, env={"OTHER": "1"})
    assert await machine.said("got") == [f"got {value}"]
    assert SINK.text(value) == REDACTED


@pytest.mark.parametrize(
    ("kept", "why"),
    [
        ({}, "versions/latest was not found"),
        ({"7": b"a\0b-of-bytes"}, "cannot be read"),
        ({"7": b"\xff\xfe-of-bytes"}, "cannot be read"),
        ({"7": b"x" * 70_000}, "cannot be read"),
    ],
)
async def test_a_version_that_gives_no_value_fails_the_revision(
    machine: Machine, kept: dict[str, bytes], why: str
) -> None:
    for version, value in kept.items():
        keep(machine.folder, "token", version, value)
    with pytest.raises(StartFailed, match=why) as failed:
        await machine.start(secrets={"TOKEN": ("token", "latest")})
    assert failed.value.reason == "SECRETS_ACCESS_CHECK_FAILED"
    assert "Secret projects/local/secrets/token/versions/latest" in failed.value.message
    assert str(machine.folder / "secrets" / "token" / (max(kept, default="1"))) in failed.value.message
    assert "of-bytes" not in failed.value.message
    assert not machine.pids()


async def test_what_it_said_before_it_failed_is_told_without_its_secret(machine: Machine) -> None:
    keep(machine.folder, "token", "1", "first line of it\nsecond line of it")
    machine.image("import os, sys; print(os.environ['TOKEN']); sys.exit('no table')")
    with pytest.raises(StartFailed) as failed:
        await machine.start(secrets={"TOKEN": ("token", "1")})
    assert "no table" in failed.value.message
    assert "line of it" not in failed.value.message


def test_whoever_prints_knows_the_versions_and_hears_of_new_ones(tmp_path: Path) -> None:
    keep(tmp_path, "token", "1", "the-first")
    trusted = Trusted(tmp_path)
    assert "the-first" in trusted.fresh()
    assert not trusted.fresh()
    keep(tmp_path, "token", "2", "the-second\nof two")
    assert {"the-first", "the-second\nof two", "the-second", "of two"} <= set(trusted.fresh())
    keep(tmp_path, "other", "1", "another one")
    assert "another one" in trusted.fresh()
    keep(tmp_path, "other", "1", "written anew")
    assert "written anew" in trusted.fresh()
    (tmp_path / "secrets" / "other" / "1").write_bytes(b"\xff")
    assert "another one" not in secrets_of(tmp_path)


def test_a_variable_is_either_a_value_or_a_secret() -> None:
    source = run_v2.EnvVarSource(secret_key_ref=run_v2.SecretKeySelector(secret="token"))
    env = [run_v2.EnvVar(name="A", value="1"), run_v2.EnvVar(name="B", value_source=source)]
    service = run_v2.Service(template={"containers": [run_v2.Container(image="good", env=env)]})
    ref = ServiceRef("local", "here", "chat")
    made = create(
        ref, with_defaults(ref, spec_of(run_v2.Service.pb(service))), Stamp("me", AT, lambda: "one")
    )
    found = instance_spec(made, made.revisions[0]).container
    assert (found.env, found.secrets) == ({"A": "1"}, {"B": ("token", "latest")})


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with local() as running, running.case():
        yield running


def test_through_the_api_the_revision_fails_with_the_reason_of_secrets(cloud: Cloud) -> None:
    source = run_v2.EnvVarSource(secret_key_ref=run_v2.SecretKeySelector(secret="token", version="5"))
    template = cloud.template()
    template.containers[0].env = [run_v2.EnvVar(name="TOKEN", value_source=source)]
    service = run_v2.Service(template=template)
    name = cloud.fresh_id()
    fault = cloud.failure(
        cloud.services.create_service(parent=cloud.parent, service=service, service_id=name)
    )
    assert "Secret projects/local/secrets/token/versions/5 was not found" in str(fault)
    found = cloud.services.get_service(name=f"{cloud.parent}/services/{name}")
    revision = cloud.revision(found, short(found.latest_created_revision))
    condition = ready_condition(revision)
    assert condition.reason is run_v2.Condition.CommonReason.SECRETS_ACCESS_CHECK_FAILED
    assert json.loads(run_v2.EnvVarSource.to_json(revision.containers[0].env[0].value_source))
