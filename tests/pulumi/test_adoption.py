"""A service that is in production already, through Pulumi's real engine: what holds in process holds here.

A stack of its own for each: the engine takes the service in as it is, and then deploys.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e import adoption
from tests.e2e.project import Project, alone, image

IMAGES = {"good": image(), "next": image("good", "2"), "bad": image("close-1011")}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with alone(tmp_path_factory.mktemp("project"), IMAGES, "in-process", strict_masks=True) as made:
        yield made


@pytest.fixture
def adopted(project: Project) -> Project:
    service = adoption.adopt(project)
    service.engine = "pulumi"
    return service


def test_every_field_outside_the_asked_change_is_equal_after_a_rollout_and_back(adopted: Project) -> None:
    adoption.every_field_outside_the_asked_change_is_equal_after_a_rollout_and_back(adopted)


def test_what_is_named_comes_and_goes_with_the_file_and_what_is_not_stays(adopted: Project) -> None:
    adoption.what_is_named_comes_and_goes_with_the_file_and_what_is_not_stays(adopted)
