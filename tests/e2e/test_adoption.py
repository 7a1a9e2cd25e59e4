"""A service that is in production already: a whole rollout and back, and nothing is lost that nobody asked to change."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.cloud import run_v2

from tests import adopting
from tests.e2e import adoption
from tests.e2e.adoption import by_hand, contents
from tests.e2e.project import Project, image


@pytest.fixture
def adopted(project: Project) -> Project:
    return adoption.adopt(project)


def test_every_field_outside_the_asked_change_is_equal_after_a_rollout_and_back(adopted: Project) -> None:
    adoption.every_field_outside_the_asked_change_is_equal_after_a_rollout_and_back(adopted)


def test_what_is_named_comes_and_goes_with_the_file_and_what_is_not_stays(adopted: Project) -> None:
    adoption.what_is_named_comes_and_goes_with_the_file_and_what_is_not_stays(adopted)


def test_a_field_that_the_provider_has_no_word_for_is_kept_and_said(project: Project) -> None:
    stable = next(iter(project.revisions())).image
    project.service = f"{project.service}-key"
    project.configure({"next": image("good", "2")})
    beyond = {"encryptionKeyRevocationAction": "SHUTDOWN", "encryptionKeyShutdownDuration": "3600s"}
    adopting.prepare(project.local)
    with by_hand(project) as (services, _):
        adopting.create(services, project.ref.parent, project.service, adopting.service(stable, **beyond))
    plan = project.run("plan", "--image", "next", "-o", "json")
    assert sorted(plan.document["beyond_provider"]) == [f"template.{name}" for name in sorted(beyond)]
    before = contents(project)[0]
    done = project.run("rollout", "--image", "next", "-o", "json")
    assert done.code == 0, done.stderr
    assert "the Admin API" in done.stderr
    after, revisions = contents(project)
    assert after == before
    assert {k: revisions[done.document["candidate"]][k] for k in beyond} == beyond


def test_the_plan_shows_what_changes_field_by_field_and_no_secret(adopted: Project) -> None:
    adopted.configure(
        {"next": image("good", "2")},
        **{"startup: 30s, ": "env: {MODE: staging, DB_PASSWORD: hush, N: '1'}, concurrency: 40, "},
    )
    done = adopted.run("plan", "--image", "next", "-o", "json")
    assert done.code == 0, done.stderr
    changes = {each["path"]: (each["before"], each["after"]) for each in done.document["changes"]}
    assert changes["template.containers[chat].env[MODE].value"] == ("production", "staging")
    assert changes["template.maxInstanceRequestConcurrency"] == ("33", "40")
    assert changes["template.containers[chat].env[DB_PASSWORD].value"] == (None, "[redacted]")
    assert set(changes) == {
        "template.containers[chat].image", "template.containers[chat].env[MODE].value",
        "template.containers[chat].env[DB_PASSWORD].value", "template.containers[chat].env[N].value",
        "template.maxInstanceRequestConcurrency",
    }  # fmt: skip
    assert "hush" not in json.dumps(done.document)
    text = adopted.run("plan", "--image", "next")
    assert "~ template.containers[chat].env[MODE].value: production -> staging" in text.stdout
    assert "other fields stay as they are" in text.stdout
    assert "hush" not in text.stdout + text.stderr


def test_the_plan_in_the_readme_is_the_plan(adopted: Project) -> None:
    asked = "env: {MODE: staging, DB_PASSWORD: hush}, concurrency: 40, timeout: 1h, "
    service = "service: {custom_audiences: ['https://chat.example.com']}, "
    adopted.configure({"next": image("good", "2")}, **{"startup: 30s, ": asked + service})
    shown = f"template {adopted.run('plan', '--image', 'next').stdout.partition('template ')[2]}"
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (promised,) = re.findall(r"^```text\n(template  .*?)^```", readme, re.DOTALL | re.MULTILINE)

    def lines(text: str) -> list[str]:
        """Without what differs each time: digests, and names of revisions."""
        plain = re.sub(r"@sha256:\S+", "@", re.sub(r"^(template ).*", r"\1", text))
        return [line.strip() for line in plain.splitlines()]

    assert lines(shown)[: len(lines(promised))] == lines(promised)


@pytest.mark.parametrize(
    "closed",
    [{"ingress": "INGRESS_TRAFFIC_NONE"}, {"default_uri_disabled": True}],
    ids=["ingress", "address"],
)
def test_a_service_without_a_public_address_is_refused_and_not_touched(
    project: Project, closed: dict[str, Any]
) -> None:
    with by_hand(project) as (services, _):
        change = run_v2.Service(name=project.ref.name, **closed)
        request = run_v2.UpdateServiceRequest(service=change, update_mask={"paths": list(closed)})
        services.update_service(request=request).result(timeout=100)
    before = project.live()
    for command in ("plan", "rollout"):
        done = project.run(command, "--image", "next", "-o", "json")
        assert done.code == 2, done.stderr
        assert "answer 404" in done.stderr
    assert project.live() == before
