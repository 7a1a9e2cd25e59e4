"""The provider that Pulumi drives on the local Cloud Run, and its spelling of a service."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from pipeline.local.provider.service import LocalProvider
from pipeline.local.provider.spelling import to_message, to_outputs
from tests.contract.cloud import Cloud

BY_NAME = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"


@pytest.fixture
def provider(cloud: Cloud) -> LocalProvider:
    return LocalProvider(cloud.channel)


@pytest.fixture
def inputs(cloud: Cloud) -> dict[str, Any]:
    return declared(cloud.fresh_id())


def declared(name: str) -> dict[str, Any]:
    """A service as Pulumi hands it over: camelCase, every number a float."""
    return {
        "project": "local", "location": "here", "name": name, "deletionProtection": False,
        "labels": {"envs": "kept"}, "annotations": {"example.com/note": "1"}, "ingress": "INGRESS_TRAFFIC_ALL",
        "traffics": [{"type": BY_NAME, "revision": f"{name}-a", "percent": 100.0}],
        "template": {
            "revision": f"{name}-a", "timeout": "600s", "sessionAffinity": False,
            "maxInstanceRequestConcurrency": 20.0, "scaling": {"minInstanceCount": 0.0, "maxInstanceCount": 3.0},
            "containers": [{
                "image": "good", "commands": ["serve"], "args": ["-v"], "envs": [{"name": "A", "value": "1"}],
                "ports": {"name": "http1", "containerPort": 8000.0},
                "resources": {"limits": {"cpu": "1", "memory": "512Mi"}, "cpuIdle": True},
                "startupProbe": {"tcpSocket": {}, "periodSeconds": 5.0, "failureThreshold": 2.0},
            }],
        },
    }  # fmt: skip


def live(provider: LocalProvider, inputs: dict[str, Any]) -> dict[str, Any]:
    found = provider.read(inputs)
    assert found is not None
    return found


def test_every_field_reaches_the_api() -> None:
    service = to_message(declared("chat"))
    container = service.template.containers[0]
    assert list(container.command) == ["serve"]
    assert list(container.args) == ["-v"]
    assert [(v.name, v.value) for v in container.env] == [("A", "1")]
    assert [(p.name, p.container_port) for p in container.ports] == [("http1", 8000)]
    assert container.startup_probe.period_seconds == 5
    assert service.template.timeout.total_seconds() == 600
    assert service.template.scaling.max_instance_count == 3
    assert [(t.type_.name, t.revision, t.percent) for t in service.traffic] == [(BY_NAME, "chat-a", 100)]
    assert dict(service.labels) == {"envs": "kept"}, "keys of a map are data"


def test_spelling_round_trip() -> None:
    service = to_message(declared("chat"))
    assert to_message(to_outputs(service)) == service


def test_a_field_that_the_api_does_not_have_is_refused(provider: LocalProvider) -> None:
    inputs = declared("chat")
    inputs["template"]["sesionAffinity"] = True
    (problem,) = provider.check(inputs)
    assert "sesionAffinity" in problem


@pytest.mark.parametrize("key", ["project", "location", "name", "template"])
def test_what_must_be_set(provider: LocalProvider, key: str) -> None:
    inputs = declared("chat")
    del inputs[key]
    assert provider.check(inputs) == (f"{key}: must be set",)


def test_create_then_no_difference(provider: LocalProvider, inputs: dict[str, Any]) -> None:
    assert provider.read(inputs) is None
    assert not provider.check(inputs)
    provider.create(inputs)
    olds = live(provider, inputs)
    assert provider.diff(olds, inputs) == ()
    assert provider.update(olds, inputs) == ()
    assert live(provider, inputs)["etag"] == olds["etag"]


def test_creating_what_is_there_is_refused(provider: LocalProvider, inputs: dict[str, Any]) -> None:
    provider.create(inputs)
    with pytest.raises(exceptions.AlreadyExists):
        provider.create(inputs)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("annotations", {}),
        ("annotations", {"example.com/note": "1", "example.com/more": "2"}),
        ("labels", {"envs": "other"}),
        ("ingress", "INGRESS_TRAFFIC_INTERNAL_ONLY"),
    ],
)
def test_only_what_differs_is_written(
    cloud: Cloud, provider: LocalProvider, inputs: dict[str, Any], key: str, value: object
) -> None:
    provider.create(inputs)
    name = f"projects/local/locations/here/services/{inputs['name']}"
    by_hand = run_v2.Service(name=name, description="set by hand")
    cloud.update(by_hand, "description")
    assert provider.update(live(provider, inputs), {**inputs, key: value}) == (key,)
    after = live(provider, inputs)
    assert after["description"] == "set by hand"
    assert after.get(key, {}) == value


def test_a_list_that_lost_an_item_differs(provider: LocalProvider, inputs: dict[str, Any]) -> None:
    provider.create(inputs)
    inputs["template"]["containers"][0]["envs"] = []
    inputs["template"]["revision"] = f"{inputs['name']}-b"
    assert provider.diff(live(provider, inputs), inputs) == ("template",)


def test_an_update_carries_the_etag_of_the_read(
    cloud: Cloud, provider: LocalProvider, inputs: dict[str, Any]
) -> None:
    provider.create(inputs)
    olds = live(provider, inputs)
    cloud.update(
        run_v2.Service(name=f"projects/local/locations/here/services/{inputs['name']}", description="x"),
        "description",
    )
    with pytest.raises(exceptions.Aborted):
        provider.update(olds, {**inputs, "labels": {}})


def test_delete_asks_for_protection_to_be_off(provider: LocalProvider, inputs: dict[str, Any]) -> None:
    provider.create(inputs)
    with pytest.raises(ValueError, match="deletion protection"):
        provider.delete({**inputs, "deletionProtection": True})
    provider.delete(inputs)
    assert provider.read(inputs) is None
    provider.delete(inputs)
