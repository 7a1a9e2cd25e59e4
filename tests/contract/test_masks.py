"""Update masks: what they name is replaced, what no service has is dropped, or refused where masks are strict."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.cloud import run_v2

from tests.contract.cloud import LATEST, Cloud, short, target
from tests.contract.targets import control_plane

UNKNOWN = ("nonsense", "template.nonsense", "trafic", "annotations.key", "traffic.percent")


@pytest.fixture(scope="module", params=["grpc", "rest"])
def running_strict(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    with control_plane(over_rest=request.param == "rest", strict_masks=True) as cloud:
        yield cloud


@pytest.fixture
def strict(running_strict: Cloud) -> Iterator[Cloud]:
    """The local Cloud Run with strict masks."""
    with running_strict.case():
        yield running_strict


@pytest.mark.parametrize("path", UNKNOWN)
def test_an_unknown_path_is_dropped_and_the_known_ones_count(cloud: Cloud, path: str) -> None:
    service = cloud.create(annotations={"a": "1"}, description="old", labels={"l": "1"})
    change = run_v2.Service(name=service.name, description="new", annotations={"b": "2"})
    updated = cloud.update(change, path, "description")
    assert updated.description == "new"
    assert (updated.annotations, updated.labels) == (service.annotations, service.labels)
    assert (updated.template, updated.traffic) == (service.template, service.traffic)


@pytest.mark.parametrize("path", UNKNOWN)
def test_a_mask_with_nothing_known_replaces_the_whole_service(cloud: Cloud, path: str) -> None:
    service = cloud.create(revision="one", annotations={"a": "1"}, description="old")
    cloud.split(service, target(f"{short(service.name)}-one", 100, "kept"))
    change = run_v2.Service(name=service.name, template=cloud.template(), labels={"l": "1"})
    updated = cloud.update(change, path)
    assert "a" not in updated.annotations
    assert updated.description == ""
    assert updated.labels["l"] == "1"
    assert [(t.type_, t.percent, t.tag) for t in updated.traffic] == [(LATEST, 100, "")]


def test_a_sparse_body_under_a_misspelt_mask_is_a_service_without_containers(cloud: Cloud) -> None:
    service = cloud.create(description="old")
    with cloud.refused("INVALID_ARGUMENT"):
        cloud.put(run_v2.Service(name=service.name, description="new"), "descripton")
    assert cloud.get(service).etag == service.etag


@pytest.mark.parametrize("path", UNKNOWN)
@pytest.mark.parametrize("others", [(), ("description",)])
def test_a_strict_mask_with_an_unknown_path_is_refused(
    strict: Cloud, path: str, others: tuple[str, ...]
) -> None:
    service = strict.create(description="old")
    change = run_v2.Service(name=service.name, template=strict.template(), description="new")
    with strict.refused("INVALID_ARGUMENT", match=f"'{path}' is not a field of Service"):
        strict.put(change, *others, path)
    assert strict.get(service).etag == service.etag


def test_a_strict_mask_that_is_known_or_a_star_is_taken(strict: Cloud) -> None:
    service = strict.create(description="old", labels={"l": "1"})
    change = run_v2.Service(name=service.name, template=service.template, description="new")
    assert dict(strict.update(change, "description").labels) == {"l": "1"}
    assert dict(strict.update(change, "*").labels) == {}
