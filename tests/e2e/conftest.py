"""One local Cloud Run for all projects of a test process, and nothing left of it afterwards."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.local import daemon
from tests.e2e.project import Project, image

_NUMBERS = itertools.count()
_IMAGES = {"good": image(), "next": image("good", "2"), "bad": image("close-1011")}


@pytest.fixture(scope="session")
def shared_local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("local") / "state"
    daemon.up(folder, {}, strict_masks=True)
    yield folder
    daemon.down(folder)


@pytest.fixture
def empty(tmp_path: Path, shared_local: Path) -> Project:
    """A project whose service does not exist yet."""
    made = Project(tmp_path, shared_local, f"chat-{next(_NUMBERS)}")
    made.configure(_IMAGES)
    return made


@pytest.fixture
def project(empty: Project) -> Project:
    """A project whose stable revision is up: image ``good``."""
    return _with_stable(empty)


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Project]:
    """The same on a local Cloud Run of its own, which the test may break."""
    made = Project(tmp_path, tmp_path / ".spillway" / "local")
    made.configure(_IMAGES)
    assert made.run("local", "up", "--strict-masks").code == 0
    try:
        yield _with_stable(made)
    finally:
        daemon.down(made.local)


def _with_stable(project: Project) -> Project:
    done = project.run_here("rollout", "--image", "good", "-o", "json")
    assert done.document["outcome"] == "first_deployment", done.stderr
    return project
