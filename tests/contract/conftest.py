"""Runs every case of this folder on every target of ``targets.py``."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.contract.cloud import Cloud
from tests.contract.targets import ONLINE_IMAGE, ONLINE_PARENT, TARGETS

_IS_ONLINE = bool(os.environ.get(ONLINE_PARENT) and os.environ.get(ONLINE_IMAGE))
_ONLINE_MARKS = (
    pytest.mark.online,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not _IS_ONLINE, reason=f"set {ONLINE_PARENT} and {ONLINE_IMAGE}"),
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every target, but over REST only where the client package has a client for it."""
    if "running_cloud" in metafunc.fixturenames:
        is_for_rest = getattr(metafunc.module, "HAS_REST", True)
        names = [name for name in TARGETS if is_for_rest or not name.endswith("-rest")]
        targets = [pytest.param(n, marks=_ONLINE_MARKS if n.startswith("online") else ()) for n in names]
        metafunc.parametrize("running_cloud", targets, indirect=True, scope="session")


@pytest.fixture(scope="session")
def running_cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    with TARGETS[request.param]() as cloud:
        yield cloud


@pytest.fixture
def cloud(running_cloud: Cloud) -> Iterator[Cloud]:
    """A Cloud Run; the services that a case made are deleted after it."""
    with running_cloud.case():
        yield running_cloud
