"""What a service may say: the rules of names, labels, annotations, containers and limits, each with its complaint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from tests.contract.cloud import Cloud

Change = Callable[[run_v2.Service], None]

RESERVED = ("run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev")


def container(service: run_v2.Service) -> run_v2.Container:
    return service.template.containers[0]


def set_env(*variables: run_v2.EnvVar) -> Change:
    def change(service: run_v2.Service) -> None:
        container(service).env = list(variables)

    return change


def set_secret(secret: str, version: str) -> Change:
    source = run_v2.EnvVarSource(secret_key_ref=run_v2.SecretKeySelector(secret=secret, version=version))
    return set_env(run_v2.EnvVar(name="TOKEN", value_source=source))


def with_field(path: str, value: object) -> Change:
    """Sets one field, at ``a`` or ``template.a``."""

    def change(service: run_v2.Service) -> None:
        *parents, name = path.split(".")
        setattr(service.template if parents else service, name, value)

    return change


REFUSED: dict[str, tuple[Change, str]] = {
    "description-too-long": (with_field("description", "d" * 513), "513"),
    "label-with-capitals": (with_field("labels", {"Team": "x"}), "Team"),
    "label-value-with-a-space": (with_field("labels", {"team": "a b"}), "team"),
    "label-value-too-long": (with_field("labels", {"team": "v" * 64}), "team"),
    "template-label-with-capitals": (with_field("template.labels", {"Team": "x"}), "Team"),
    "too-many-labels": (with_field("labels", {f"l{n}": "" for n in range(65)}), "65"),
    "annotation-key-with-a-space": (with_field("annotations", {"a b": "x"}), "a b"),
    "annotations-too-large": (with_field("annotations", {"a": "x" * 300_000}), "annotations"),
    "no-container": (with_field("template.containers", []), "containers"),
    "no-image": (with_field("template.containers", [run_v2.Container()]), "image"),
    "concurrency-too-high": (with_field("template.max_instance_request_concurrency", 1001), "1001"),
    "concurrency-negative": (with_field("template.max_instance_request_concurrency", -1), "-1"),
    "timeout-too-long": (with_field("template.timeout", timedelta(seconds=3601)), "3601"),
    "timeout-negative": (with_field("template.timeout", timedelta(seconds=-1)), "timeout"),
    "scaling-upside-down": (
        with_field("template.scaling", run_v2.RevisionScaling(min_instance_count=3, max_instance_count=2)),
        "min_instance_count 3",
    ),
    "reserved-variable": (set_env(run_v2.EnvVar(name="PORT", value="1")), "PORT"),
    "reserved-variable-k": (set_env(run_v2.EnvVar(name="K_REVISION", value="1")), "K_REVISION"),
    "variable-twice": (set_env(run_v2.EnvVar(name="A"), run_v2.EnvVar(name="A")), "more than once"),
    "variable-without-a-name": (set_env(run_v2.EnvVar(value="1")), "without a name"),
    "secret-without-a-name": (set_secret("", "1"), "secret ''"),
    "secret-outside-its-folder": (set_secret("../services", "1"), r"secret '\.\./services'"),
    "secret-of-dots": (set_secret("..", "1"), r"secret '\.\.'"),
    "secret-version-outside-its-folder": (set_secret("token", "../other/1"), r"version '\.\./other/1'"),
    "secret-version-zero": (set_secret("token", "0"), "version '0'"),
    **{
        f"{where}-in-{namespace}": (with_field(where, {f"{namespace}/thing": "x"}), "reserved namespace")
        for namespace in RESERVED
        for where in ("annotations", "labels", "template.annotations")
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_spec_that_breaks_a_rule_is_refused_and_makes_nothing(cloud: Cloud, name: str) -> None:
    change, complaint = REFUSED[name]
    service = run_v2.Service(template=cloud.template())
    change(service)
    service_id = cloud.fresh_id()
    with cloud.refused("INVALID_ARGUMENT", match=complaint):
        cloud.services.create_service(parent=cloud.parent, service=service, service_id=service_id)
    with pytest.raises(exceptions.NotFound):
        cloud.services.get_service(name=f"{cloud.parent}/services/{service_id}")


def test_an_update_obeys_the_same_rules(cloud: Cloud) -> None:
    service = cloud.create()
    change = run_v2.Service(name=service.name, annotations={"serving.knative.dev/creator": "me"})
    with cloud.refused("INVALID_ARGUMENT", match="reserved namespace"):
        cloud.put(change, "annotations")
    assert cloud.get(service).etag == service.etag


@pytest.mark.parametrize(
    "service_id", ["", "Upper", "1st", "-first", "last-", "a" * 50, "under_score", "dot.ted"]
)
def test_a_service_name_that_breaks_the_rule_is_refused(cloud: Cloud, service_id: str) -> None:
    service = run_v2.Service(template=cloud.template())
    with cloud.refused("INVALID_ARGUMENT"):
        cloud.services.create_service(parent=cloud.parent, service=service, service_id=service_id)


@contextmanager
def no_resource(cloud: Cloud) -> Iterator[None]:
    """Over REST the client finds no URL for such a name, and sends nothing."""
    with pytest.raises((exceptions.GoogleAPICallError, ValueError)) as refused:
        yield
    kinds = (ValueError,) if cloud.rest else (exceptions.InvalidArgument, exceptions.PermissionDenied)
    assert isinstance(refused.value, kinds)


@pytest.mark.parametrize("parent", ["", "projects/p", "projects/p/locations/", "locations/l/projects/p"])
def test_a_parent_that_is_no_location_is_refused(cloud: Cloud, parent: str) -> None:
    service = run_v2.Service(template=cloud.template())
    with no_resource(cloud):
        cloud.services.create_service(parent=parent, service=service, service_id=cloud.fresh_id())


@pytest.mark.parametrize("name", ["services/x", "projects/p/locations/l/services/", "nonsense"])
def test_a_name_that_is_no_service_is_refused(cloud: Cloud, name: str) -> None:
    with no_resource(cloud):
        cloud.services.get_service(name=name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("spillway.rollout/record", '{"v":1}'),
        ("plain", ""),
        ("example.com/Mixed.Case-1_2", "anything ü\n\"'"),
        ("run.googleapis.com.example.com/x", "a namespace that only begins like a reserved one"),
    ],
)
def test_annotations_of_ones_own_are_kept_as_they_are(cloud: Cloud, key: str, value: str) -> None:
    service = cloud.create()
    cloud.update(run_v2.Service(name=service.name, annotations={key: value}), "annotations")
    assert cloud.get(service).annotations[key] == value


def test_an_annotation_of_sixteen_kibibytes_is_kept(cloud: Cloud) -> None:
    service = cloud.create()
    record = "x" * 16 * 1024
    cloud.update(run_v2.Service(name=service.name, annotations={"r": record}), "annotations")
    assert cloud.get(service).annotations["r"] == record


def test_the_longest_service_name_is_accepted(cloud: Cloud) -> None:
    service_id = cloud.fresh_id().ljust(49, "x")
    request = run_v2.CreateServiceRequest(
        parent=cloud.parent,
        service=run_v2.Service(template=cloud.template()),
        service_id=service_id,
        validate_only=True,
    )
    assert cloud.services.create_service(request=request).operation.done
