"""The provider that Pulumi drives on the local Cloud Run, and its spelling of a service."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from pipeline.local.provider import fields
from pipeline.local.provider.service import LocalProvider, to_message, to_outputs
from tests.contract.cloud import Cloud, target

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
    provider.settle(provider.create(inputs))
    assert provider.diff(live(provider, inputs), inputs) == ()


def test_creation_adds_the_label(cloud: Cloud, provider: LocalProvider, inputs: dict[str, Any]) -> None:
    provider.create(inputs)
    assert service_of(cloud, inputs).labels == {"envs": "kept", "goog-pulumi-provisioned": "true"}


def test_creating_what_is_there_is_refused(provider: LocalProvider, inputs: dict[str, Any]) -> None:
    provider.create(inputs)
    with pytest.raises(exceptions.AlreadyExists):
        provider.create(inputs)


def test_a_creation_whose_revision_fails_is_told(provider: LocalProvider, inputs: dict[str, Any]) -> None:
    inputs["template"]["containers"][0]["image"] = "never-listens"
    with pytest.raises(exceptions.GoogleAPICallError, match="not ready and cannot serve"):
        provider.settle(provider.create(inputs))


#: As it stands in the API's spelling, and whether a program that does not declare it loses it.
CLEARED: dict[str, Any] = {
    "description": "set by hand", "client": "gcloud", "client_version": "578.0.0", "iap_enabled": True,
    "invoker_iam_disabled": True, "default_uri_disabled": True, "custom_audiences": ["https://a.example"],
    "binary_authorization": {"use_default": True},
    "template.annotations": {"example.com/by": "hand"}, "template.labels": {"by": "hand"},
    "template.session_affinity": True, "template.health_check_disabled": True,
    "template.vpc_access": {"connector": "projects/p/locations/l/connectors/c"},
    "template.encryption_key": "projects/p/locations/l/keyRings/r/cryptoKeys/k",
    "template.execution_environment": "EXECUTION_ENVIRONMENT_GEN2",
    "template.node_selector": {"accelerator": "nvidia-l4"},
    "template.service_mesh": {"mesh": "m"},
    "template.volumes": [{"name": "v", "empty_dir": {"medium": "MEMORY"}}],
}  # fmt: skip
KEPT: dict[str, Any] = {
    "ingress": "INGRESS_TRAFFIC_INTERNAL_ONLY", "launch_stage": "BETA", "scaling": {"min_instance_count": 1},
    "template.timeout": "77s", "template.service_account": "run@p.example", "template.scaling": {"max_instance_count": 7},
    "template.max_instance_request_concurrency": 7,
}  # fmt: skip
CLEARED_OF_THE_CONTAINER: dict[str, Any] = {
    "args": ["-x"], "command": ["by-hand"], "env": [{"name": "HAND", "value": "1"}], "working_dir": "/srv",
    "base_image_uri": "base", "volume_mounts": [{"name": "v", "mount_path": "/v"}],
    "liveness_probe": {"tcp_socket": {"port": 8000}},
}  # fmt: skip
KEPT_OF_THE_CONTAINER: dict[str, Any] = {
    "ports": [{"name": "http1", "container_port": 8000}], "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
    "startup_probe": {"tcp_socket": {"port": 8000}, "period_seconds": 3, "timeout_seconds": 1, "failure_threshold": 9},
}  # fmt: skip


def by_hand(cloud: Cloud, inputs: dict[str, Any], path: str, value: Any) -> tuple[str, Any]:
    """Somebody sets one field through the Admin API; its top-level name and its value as it is read."""
    service = service_of(cloud, inputs)
    if path.startswith("template.") or path in {*CLEARED_OF_THE_CONTAINER, *KEPT_OF_THE_CONTAINER}:
        service.template.revision = f"{inputs['name']}-hand"
    holder, leaf = holder_of(service, path)
    setattr(holder, leaf, value)
    cloud.fault(cloud.put(service))
    return path, found(cloud, inputs, path)


def holder_of(service: run_v2.Service, path: str) -> tuple[Any, str]:
    if path in {*CLEARED_OF_THE_CONTAINER, *KEPT_OF_THE_CONTAINER}:
        return service.template.containers[0], path
    outer, _, leaf = path.rpartition(".")
    return (service.template if outer else service), leaf


def found(cloud: Cloud, inputs: dict[str, Any], path: str) -> Any:
    return getattr(*holder_of(service_of(cloud, inputs), path))


def service_of(cloud: Cloud, inputs: dict[str, Any]) -> run_v2.Service:
    return cloud.services.get_service(name=f"{cloud.parent}/services/{inputs['name']}")


@pytest.fixture
def bare(provider: LocalProvider, inputs: dict[str, Any]) -> dict[str, Any]:
    """A service that exists, and a program that declares next to nothing of it: another revision, another label."""
    provider.settle(provider.create({
        **{key: inputs[key] for key in ("project", "location", "name")},
        "template": {"revision": f"{inputs['name']}-a", "containers": [{"image": "good"}]},
    }))  # fmt: skip
    return {
        **{key: inputs[key] for key in ("project", "location", "name")},
        "labels": {"again": "1"},
        "template": {"revision": f"{inputs['name']}-b", "containers": [{"image": "good"}]},
    }


@pytest.mark.parametrize("path", [*CLEARED, *CLEARED_OF_THE_CONTAINER])
def test_what_is_optional_and_not_declared_is_cleared(
    cloud: Cloud, provider: LocalProvider, bare: dict[str, Any], path: str
) -> None:
    value = {**CLEARED, **CLEARED_OF_THE_CONTAINER}[path]
    _, set_ = by_hand(cloud, bare, path, value)
    assert set_, "the local Cloud Run keeps it"
    provider.settle(provider.update(live(provider, bare), bare))
    assert not found(cloud, bare, path)


@pytest.mark.parametrize("path", [*KEPT, *KEPT_OF_THE_CONTAINER])
def test_what_is_computed_too_is_sent_again_as_in_the_state(
    cloud: Cloud, provider: LocalProvider, bare: dict[str, Any], path: str
) -> None:
    value = {**KEPT, **KEPT_OF_THE_CONTAINER}[path]
    _, set_ = by_hand(cloud, bare, path, value)
    provider.settle(provider.update(live(provider, bare), bare))
    assert found(cloud, bare, path) == set_


def test_a_stale_state_brings_the_old_value_back(
    cloud: Cloud, provider: LocalProvider, bare: dict[str, Any]
) -> None:
    stale = live(provider, bare)
    by_hand(cloud, bare, "ingress", "INGRESS_TRAFFIC_INTERNAL_ONLY")
    provider.settle(provider.update(stale, bare))
    assert service_of(cloud, bare).ingress.name == "INGRESS_TRAFFIC_ALL"


def test_traffic_that_is_not_declared_is_the_states(
    cloud: Cloud, provider: LocalProvider, bare: dict[str, Any]
) -> None:
    first = f"{bare['name']}-a"
    cloud.add_revision(service_of(cloud, bare), "x")
    split = [target(first, 60, "stable"), target(f"{bare['name']}-x", 40)]
    cloud.split(service_of(cloud, bare), *split)
    provider.settle(provider.update(live(provider, bare), bare))
    assert list(service_of(cloud, bare).traffic) == split


def test_a_percent_left_out_is_that_of_the_line_which_stood_there(
    cloud: Cloud, provider: LocalProvider, bare: dict[str, Any]
) -> None:
    first, second = f"{bare['name']}-a", f"{bare['name']}-x"
    cloud.add_revision(service_of(cloud, bare), "x")
    cloud.split(service_of(cloud, bare), target(first, 60), target(second, 40))
    bare["traffics"] = [{"type": BY_NAME, "revision": name} for name in (second, first)]
    provider.settle(provider.update(live(provider, bare), bare))
    assert [(t.revision, t.percent) for t in service_of(cloud, bare).traffic] == [(second, 60), (first, 40)]


@pytest.mark.parametrize("kind", ["labels", "annotations"])
def test_foreign_keys_stay_as_the_state_knows_them(
    cloud: Cloud, provider: LocalProvider, bare: dict[str, Any], kind: str
) -> None:
    by_hand(cloud, bare, kind, {"theirs": "1"})
    state = live(provider, bare)
    by_hand(cloud, bare, kind, {"theirs": "2", "later": "3"})
    provider.settle(provider.update(state, {**bare, kind: {"ours": "1"}}))
    assert getattr(service_of(cloud, bare), kind) == {"theirs": "1", "ours": "1"}, "without a refresh"


@pytest.mark.parametrize("kind", ["labels", "annotations"])
def test_a_key_that_is_not_declared_any_more_goes(
    cloud: Cloud, provider: LocalProvider, bare: dict[str, Any], kind: str
) -> None:
    before = {**bare, kind: {"ours": "1", "old": "1"}}
    provider.settle(provider.update(live(provider, bare), before))
    state = provider.read(bare, before)
    assert state is not None
    after = {**bare, kind: {"ours": "1"}}
    assert provider.diff(state, after) == (f"{kind}.old",)
    provider.settle(provider.update(state, after))
    assert "old" not in getattr(service_of(cloud, bare), kind)


@pytest.mark.parametrize(
    ("path", "differs_at"),
    [
        ("client", "client"), ("client_version", "clientVersion"),
        ("template.annotations", "template.annotations"),
    ],
)  # fmt: skip
def test_what_gcloud_sets_differs_for_ever(
    cloud: Cloud, provider: LocalProvider, bare: dict[str, Any], path: str, differs_at: str
) -> None:
    provider.settle(provider.update(live(provider, bare), bare))
    assert provider.diff(live(provider, bare), bare) == ()
    by_hand(cloud, bare, path, {"client.knative.dev/user-image": "x"} if "." in path else "gcloud")
    assert differs_at in provider.diff(live(provider, bare), bare)


def test_a_revision_name_that_is_not_declared_differs_for_ever(
    cloud: Cloud, provider: LocalProvider, bare: dict[str, Any]
) -> None:
    del bare["template"]["revision"]
    assert "template.revision" in provider.diff(live(provider, bare), bare)
    provider.settle(provider.update(live(provider, bare), bare))
    assert len(list(cloud.revisions.list_revisions(parent=service_of(cloud, bare).name))) == 2


def test_zeros_are_left_out_and_so_cleared(provider: LocalProvider, bare: dict[str, Any]) -> None:
    sent = fields.sent(
        live(provider, bare), {**bare, "description": "", "iapEnabled": False, "customAudiences": []}
    )
    assert not {"description", "iapEnabled", "customAudiences"} & sent.keys()
    assert provider.diff({}, {**bare, "iapEnabled": False}) == provider.diff({}, bare)


def test_an_empty_block_says_something() -> None:
    sent = fields.sent({}, declared("chat"))
    assert sent["template"]["containers"][0]["startupProbe"]["tcpSocket"] == {}


def test_a_list_that_lost_an_item_differs(provider: LocalProvider, inputs: dict[str, Any]) -> None:
    provider.create(inputs)
    inputs["template"]["containers"][0]["envs"] = []
    inputs["template"]["revision"] = f"{inputs['name']}-b"
    assert provider.diff(live(provider, inputs), inputs) == (
        "template.containers[0].envs",
        "template.revision",
    )


def test_an_update_carries_no_etag(cloud: Cloud, provider: LocalProvider, bare: dict[str, Any]) -> None:
    """The real provider's does not: whoever wrote in between is written over."""
    state = live(provider, bare)
    by_hand(cloud, bare, "description", "by hand")
    provider.settle(provider.update(state, bare))
    assert not service_of(cloud, bare).description


def test_every_field_of_the_resource_has_a_class() -> None:
    """A field that a later version of the SDK has is noticed here."""
    from pulumi._types import input_type_py_to_pulumi_names
    from pulumi_gcp.cloudrunv2 import ServiceArgs

    names = set(input_type_py_to_pulumi_names(ServiceArgs).values())
    not_in_the_api = {"functionalType", "sshEnabled", "tags"}  # declared, they are refused by name
    assert names == fields.INPUTS | fields.PROVIDER_ONLY | not_in_the_api


def test_delete_asks_for_protection_to_be_off(provider: LocalProvider, inputs: dict[str, Any]) -> None:
    provider.create(inputs)
    with pytest.raises(ValueError, match="deletion protection"):
        provider.delete({**inputs, "deletionProtection": True})
    provider.delete(inputs)
    assert provider.read(inputs) is None
    provider.delete(inputs)
