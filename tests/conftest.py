"""What several test modules share: a control plane with fake instances, and a WebSocket service that is none of ours."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline import budget
from tests.order import dealt

if TYPE_CHECKING:
    from tests.contract.cloud import Cloud


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Which seeds were played is said whatever came of them."""
    passed = terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
    if any("test_no_fault_breaks_an_invariant" in report.nodeid for report in passed):
        from tests.simulation.seeds import told

        terminalreporter.write_line(told())


gc.disable()  # collecting ten thousand tests makes half a million objects that stay, and were looked through 30 times


def pytest_collection_finish() -> None:
    gc.freeze()  # and no later collection looks through them again
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    items[:] = dealt(items, lambda item: item.nodeid, workers)


os.environ["SPILLWAY_ENGINE"] = "in-process"  # whoever means Pulumi's engine says so: tests/pulumi


@pytest.fixture(autouse=True)
def _quota_of_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that went to the cloud in this process leaves the next test's none of its waits."""
    monkeypatch.setattr(budget.PROCESS, "_buckets", {})


SOURCE = Path(__file__).parent / "foreign"


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """A control plane; which one, a module may say with ``PLANE``."""
    from tests.contract.targets import control_plane  # gRPC: not for those who do not need it

    with control_plane(**getattr(request.module, "PLANE", {"strict_masks": True})) as cloud:
        yield cloud


@pytest.fixture
def cloud(running: Cloud) -> Iterator[Cloud]:
    with running.case():
        yield running


@pytest.fixture(scope="session")
def foreign(pytestconfig: pytest.Config) -> Path:
    """The foreign service with its one dependency, installed once per checkout."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        pytest.skip("node and npm are not here")
    assert pytestconfig.cache
    cache = Path(pytestconfig.cache.mkdir("foreign"))
    home = cache / "service"
    if not _is_current(home):
        with tempfile.TemporaryDirectory(dir=cache) as scratch:  # another worker may install at the same time
            fresh = Path(
                shutil.copytree(
                    SOURCE, Path(scratch) / "service", ignore=shutil.ignore_patterns("node_modules")
                )
            )
            _install(npm, fresh)
            shutil.rmtree(home, ignore_errors=True)
            fresh.rename(home)
    return home


def _is_current(home: Path) -> bool:
    files = ("package.json", "server.mjs")
    return all((home / f).is_file() and (home / f).read_bytes() == (SOURCE / f).read_bytes() for f in files)


def _install(npm: str, folder: Path) -> None:
    flags = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
    try:
        run = subprocess.run(
            [npm, "install", *flags], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip("npm install did not end within 60 s: is the registry reachable?")
    if run.returncode:
        pytest.skip(f"npm install failed: {run.stderr.strip()[-300:]}")
