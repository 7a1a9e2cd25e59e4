"""One project per test, and nothing left of it afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.project import Project, image


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project whose stable revision is up: image ``good``."""
    made = Project(tmp_path)
    made.configure({"good": image(), "next": image("good", "2"), "bad": image("close-1011")})
    assert made.run("local", "up").code == 0
    try:
        done = made.run("rollout", "--image", "good", "-o", "json")
        assert done.document["outcome"] == "first_deployment", done.stderr
        yield made
    finally:
        made.down()
