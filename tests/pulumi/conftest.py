"""Pulumi's real engine on the control plane of the local Cloud Run; what is needed is there, or the tests say why not.

Without ``-m pulumi`` only those that are marked ``ordinary`` run.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cloudrun.pulumi.found import Found, found
from pipeline.errors import UserError
from tests.contract.cloud import Cloud
from tests.pulumi.bench import Bench

HERE = Path(__file__).parent


def _cli() -> Found | str:
    try:
        return found()
    except UserError as error:
        return f"{error.what}: {error.why} {error.fix}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    ours = [item for item in items if HERE in item.path.parents]
    if not ours:
        return
    cli = _cli()
    wants_all = "pulumi" in config.option.markexpr
    for item in ours:
        item.add_marker("pulumi")
        item.add_marker(pytest.mark.timeout(600))
        # The SDK leaves event loops of its threads open.
        item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))
        if isinstance(cli, str):
            item.add_marker(pytest.mark.skip(reason=cli))
        elif not wants_all and item.get_closest_marker("ordinary") is None:
            item.add_marker(pytest.mark.skip(reason="not part of every run: make test-pulumi"))


@pytest.fixture(autouse=True)
def _nothing_of_the_sdk_is_left() -> Iterator[None]:
    """What it leaves is warned of here, where that is expected, and not in whatever test comes next."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def bench(running: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One state folder, so one backend, for all tests of a module."""
    with running.case():
        yield Bench(running, tmp_path_factory.mktemp("state"), found())
