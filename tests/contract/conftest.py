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


@pytest.fixture(
    scope="session",
    params=[pytest.param(name, marks=_ONLINE_MARKS if name == "online" else ()) for name in TARGETS],
)
def running_cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    with TARGETS[request.param]() as cloud:
        yield cloud


@pytest.fixture
def cloud(running_cloud: Cloud) -> Iterator[Cloud]:
    """A Cloud Run; the services that a case made are deleted after it."""
    with running_cloud.case():
        yield running_cloud
