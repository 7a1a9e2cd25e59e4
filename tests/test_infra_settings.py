"""Settings: through the stack's config and back, and the revision's name that follows from them."""

from __future__ import annotations

import json
import re

import pytest
from msgspec.structs import replace
from pydantic import TypeAdapter

from infra.compose import compose
from infra.settings import Fleet, ProbeJob, Settings, Template, Watchdog
from pipeline.errors import ConfigError
from tests.mirror import mirrored, shape

PLAIN = Settings("p", "l", "agent-chat", Template("chat@sha256:1"))
FULL = Settings(
    project="acme-stg",
    location="us-central1",
    service="agent-chat",
    template=Template(
        image="chat@sha256:2", command=("serve",), args=("--port", "80"), env={"B": "2", "A": "é\"\n"}, port=8000,
        cpu="2", memory="1Gi", concurrency=200, min_instances=1, max_instances=30, timeout_s=600, startup_s=30,
        service_account="chat@acme-stg.iam.gserviceaccount.com",
    ),
    ingress="INGRESS_TRAFFIC_INTERNAL_ONLY",
    deletion_protection=False,
    labels={"team": "chat"},
)  # fmt: skip


@pytest.mark.parametrize("settings", [PLAIN, FULL], ids=["defaults", "everything"])
def test_round_trip(settings: Settings) -> None:
    assert Settings.decode(settings.encode()) == settings


def test_what_is_written_is_what_pydantic_would_write() -> None:
    """It reads them; two askings are compared by their text, and older programs wrote it with pydantic."""
    fleet = Fleet(labels=("a=b",), tasks=4)
    whole = replace(
        FULL, template=replace(FULL.template, cleared=("cpu",), fields={"containers": [{"env": [], "x": None, "f": 0.5}]}),
        fields={"scaling": {"minInstanceCount": 0}}, waive=("a.b",), telemetry={"A": ""},
        watchdog=Watchdog("i@sha256:3", "live", "w@x", secrets={"A": "s"}, fleet=fleet),
        probe_job=ProbeJob("i@sha256:3", 60), silent_s=600,
    )  # fmt: skip
    for settings in (PLAIN, FULL, whole):
        adapter, template = TypeAdapter(shape(Settings)), TypeAdapter(shape(Template))
        assert settings.encode() == adapter.dump_json(mirrored(settings), exclude_defaults=True).decode()
        assert settings.asked == template.dump_python(
            mirrored(settings.template), mode="json", exclude_defaults=True
        )
        assert Settings.decode(settings.encode()) == settings


def test_config_holds_only_what_was_chosen() -> None:
    assert json.loads(PLAIN.encode()) == {
        "project": "p",
        "location": "l",
        "service": "agent-chat",
        "template": {"image": "chat@sha256:1"},
    }
    assert replace(PLAIN, silent_s=int("900")).encode() == PLAIN.encode()
    assert json.loads(replace(PLAIN, silent_s=int("901")).encode())["silent_s"] == 901


@pytest.mark.parametrize(
    ("text", "key"),
    [
        pytest.param("{}", "spillway:service.project", id="missing"),
        pytest.param("not json", "spillway:service", id="no json"),
        pytest.param('{"project": "\ud800"}', "spillway:service", id="no text"),
        pytest.param(PLAIN.encode()[:-1] + ',"fields":' + '{"a":' * 100_000, "spillway:service", id="deep"),
        pytest.param(PLAIN.encode().replace('"image"', '"imgae"'), "template.", id="misspelt"),
        pytest.param(json.dumps({**json.loads(PLAIN.encode()), "labels": 1}), "spillway:service.labels", id="type"),
        pytest.param(
            json.dumps({**json.loads(PLAIN.encode()), "ingress": "ALL"}), "spillway:service.ingress", id="choice"
        ),
    ],
)  # fmt: skip
def test_bad_config_is_told_by_its_key(text: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.decode(text)
    assert key in caught.value.what
    assert "pulumi config set" in caught.value.fix


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({"labels": 1}, "got 1", id="value"),
        pytest.param({"waive": ["a", 2]}, "got 2", id="item"),
        pytest.param({"labels": {"team": "chat", "token": 7}}, "its keys are team, token", id="mapping"),
        pytest.param({"template": {}}, "its keys are ", id="missing"),
    ],
)
def test_bad_config_is_told_by_what_stands_there(change: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.decode(json.dumps({**json.loads(PLAIN.encode()), **change}))
    assert caught.value.why == told


def test_name_is_stable() -> None:
    """Written down: a change of it renames the revisions of everybody's running services."""
    assert compose(PLAIN).revision == "agent-chat-57ebcdf973"
    assert compose(FULL).revision == "agent-chat-e9391dd937"


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, template=replace(PLAIN.template, image="chat@sha256:3")),
        replace(PLAIN, template=replace(PLAIN.template, env={"A": "1"})),
        replace(PLAIN, template=replace(PLAIN.template, timeout_s=60)),
        replace(PLAIN, template=replace(PLAIN.template, service_account="x@y")),
    ],
    ids=["image", "env", "timeout", "account"],
)
def test_another_template_is_another_revision(other: Settings) -> None:
    assert compose(other).revision != compose(PLAIN).revision


def test_order_and_service_level_settings_do_not_rename() -> None:
    one = replace(PLAIN, template=replace(PLAIN.template, env={"A": "1", "B": "2"}))
    two = replace(PLAIN, template=replace(PLAIN.template, env={"B": "2", "A": "1"}))
    assert compose(one).revision == compose(two).revision
    assert (
        compose(replace(PLAIN, deletion_protection=False, labels={"a": "b"})).revision
        == compose(PLAIN).revision
    )


@pytest.mark.parametrize("service", ["a", "agent-chat", "a" * 49])
def test_name_is_a_dns_label_with_the_services_prefix(service: str) -> None:
    name = compose(replace(PLAIN, service=service)).revision
    assert name.startswith(f"{service}-")
    assert re.fullmatch(r"[a-z][-a-z0-9]{0,61}[a-z0-9]", name)
