"""``environments:``: where a service lives, which comes after which, and what of it makes another rollout."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipeline.config import schema
from pipeline.config.environments_section import After, followers
from pipeline.errors import ConfigError
from pipeline.model import ServiceRef

REST = """
scenarios:
  run: {path: /ws, send: {type: hello}, expect: [done]}
"""
STAGING = "staging: {project: acme-stg, region: r}"
PRODUCTION = "production: {project: acme-prd, region: r, after: {environment: staging, soak: 36h}}"


def parsed(*environments: str, rest: str = REST) -> schema.Config:
    lines = "\n".join(f"  {each}" for each in environments)
    return schema.parse(f"service: chat\nenvironments:\n{lines}\n{rest}")


def test_one_comes_after_another() -> None:
    made = parsed(STAGING, PRODUCTION)
    assert made.environments["production"].after == After(environment="staging", soak=timedelta(hours=36))
    assert followers(made.environments, "staging") == {"production": timedelta(hours=36)}
    assert followers(made.environments, "production") == {}


def test_a_soak_that_is_not_said_is_a_day() -> None:
    made = parsed(STAGING, "production: {project: p-prd, region: r, after: {environment: staging}}")
    assert followers(made.environments, "staging") == {"production": timedelta(hours=24)}


def test_two_services_of_one_local_cloud_run_to_try_it_with() -> None:
    made = parsed(
        "staging: {endpoint: local, service: chat-stg, soak-lock: true}",
        "production: {endpoint: local, after: {environment: staging, soak: 3s}}",
    )
    refs = [made.ref(each) for each in made.environments.values()]
    assert refs == [ServiceRef("local", "local", "chat-stg"), ServiceRef("local", "local", "chat")]
    assert made.environments["staging"].soak_lock


@pytest.mark.parametrize(
    ("environments", "where", "words"),
    [
        (
            [STAGING, PRODUCTION.replace("staging", "stagin")],
            "environments.production.after.environment",
            "no environment 'stagin'; known: staging, production",
        ),
        (
            [STAGING.replace("region: r", "region: r, after: {environment: production}"), PRODUCTION],
            "environments.staging.after.environment",
            "a circle: staging after production after staging",
        ),
        (
            [STAGING, PRODUCTION.replace("environment: staging", "environment: production")],
            "environments.production.after.environment",
            "a circle: production after production",
        ),
        (
            ["staging: {endpoint: local}", "production: {endpoint: local, after: {environment: staging}}"],
            "environments.production.after.environment",
            "staging is the same service as production",
        ),
        ([STAGING, PRODUCTION.replace("36h", "0s")], "environments.production.after.soak", "between 1s and 30d"),
        ([STAGING, PRODUCTION.replace("36h", "31d")], "environments.production.after.soak", "between 1s and 30d"),
        ([STAGING, PRODUCTION.replace("36h", "36")], "environments.production.after.soak", "36"),
        (
            [STAGING, PRODUCTION.replace("after: {environment: staging, soak: 36h}", "soak-lock: true")],
            "environments.production.soak-lock",
            "no environment comes after production",
        ),
        (
            [STAGING.replace("region: r", "region: r, image: 'reg/chat:v1'"), PRODUCTION],
            "environments.staging.image",
            "must be a name in a registry, without tag or digest",
        ),
    ],
    ids=["unknown", "circle", "itself", "same service", "no soak", "too long", "bare", "lock", "tag"],
)  # fmt: skip
def test_what_is_refused_is_told_with_its_place(environments: list[str], where: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(*environments)
    assert f": {where}: " in caught.value.what
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["localhost:5000/chat", "us-docker.pkg.dev/acme/repo/chat", "chat"])
def test_names_in_a_registry(name: str) -> None:
    made = parsed(STAGING, PRODUCTION.replace("region: r", f"region: r, image: '{name}'"))
    assert made.environments["production"].image == name


def test_when_a_rollout_may_begin_makes_no_other_rollout_of_it() -> None:
    plain = parsed(STAGING, PRODUCTION.replace(", after: {environment: staging, soak: 36h}", ""))
    for other in (
        parsed(STAGING, PRODUCTION),
        parsed(STAGING.replace("r}", "r, soak-lock: true}"), PRODUCTION.replace("36h", "1h")),
        parsed(STAGING, PRODUCTION.replace("region: r", "region: r, image: other/chat")),
    ):
        assert other.fingerprint() == plain.fingerprint()
        assert other.shared_fingerprint() == plain.shared_fingerprint()


def test_what_soaked_is_bound_to_all_but_the_environments() -> None:
    made = parsed(STAGING, PRODUCTION)
    elsewhere = parsed(STAGING.replace("acme-stg", "acme-s"), PRODUCTION)
    assert made.fingerprint() == elsewhere.fingerprint()  # the service's full name stands beside it in the id
    assert made.fingerprint("probes") != made.fingerprint()
    assert made.shared_fingerprint() == elsewhere.shared_fingerprint()
    looser = parsed(STAGING, PRODUCTION, rest=REST + "false-rollbacks: 1 in 10\n")
    assert made.shared_fingerprint() != looser.shared_fingerprint()
