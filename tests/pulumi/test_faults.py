"""What can be wrong with Pulumi: each is put right or told with the way out, and no roll-back waits for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from infra.live import Live
from infra.settings import Settings
from pipeline.cloudrun.pulumi.home import CloudHome, LocalHome
from pipeline.errors import PlatformError, PlatformUnavailable
from tests.contract.cloud import shares
from tests.pulumi.bench import Bench, another, lock


@pytest.fixture
def settings(bench: Bench) -> Settings:
    made = bench.settings()
    bench.cli.apply(made)
    return made


def gone() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.mark.ordinary
def test_a_lock_that_nobody_holds_any_more_is_cancelled(bench: Bench, settings: Settings) -> None:
    file = lock(bench.folder, settings.stack, gone())
    said: list[str] = []
    replace(bench.cli, say=said.append).apply(another(settings))
    assert any("cancelling it" in line for line in said)
    assert not file.exists()
    assert bench.shows_no_change(another(settings))


def test_a_lock_that_is_held_is_waited_for_and_told(
    bench: Bench, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.cloudrun.pulumi.apply._LOCK_PATIENCE_S", 1.0)
    file = lock(bench.folder, settings.stack, os.getpid())
    with pytest.raises(PlatformUnavailable, match="holds the lock") as caught:
        bench.cli.apply(another(settings))
    assert f"pid {os.getpid()}" in caught.value.why
    assert "pulumi cancel" in caught.value.fix
    assert "spillway rollback" in caught.value.fix
    file.unlink()
    bench.cli.apply(another(settings))


def pending(bench: Bench, settings: Settings, kind: str) -> None:
    """As the state is after a CLI that was killed while the provider worked. (``stack import`` would clean it.)"""
    (file,) = (bench.folder / "pulumi/backend/.pulumi/stacks").rglob(f"{settings.stack}.json")
    content = json.loads(file.read_text())
    state = content["checkpoint"]["latest"]
    ours = next(r for r in state["resources"] if r["type"].endswith("service:Service"))
    if kind == "creating":
        state["resources"].remove(ours)
        ours = {key: value for key, value in ours.items() if key not in {"id", "outputs"}}
    state["pending_operations"] = [{"resource": ours, "type": kind}]
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("kind", ["creating", pytest.param("updating", marks=pytest.mark.ordinary)])
def test_an_update_that_was_interrupted_is_gone_on_with(bench: Bench, settings: Settings, kind: str) -> None:
    pending(bench, settings, kind)
    said: list[str] = []
    replace(bench.cli, say=said.append).apply(another(settings))
    assert any("was interrupted" in line for line in said)
    assert not bench.state(settings).get("pending_operations")
    assert bench.shows_no_change(another(settings))
    assert shares(bench.message(settings)) == {bench.name(settings): 100}


def test_a_creation_that_was_interrupted_before_it_was_sent_is_made(bench: Bench, settings: Settings) -> None:
    pending(bench, settings, "creating")
    bench.cloud.result(bench.cloud.services.delete_service(name=settings.ref.name))
    bench.cli.apply(settings)
    assert shares(bench.message(settings)) == {bench.name(settings): 100}


def test_a_wrong_passphrase_is_told(bench: Bench, settings: Settings) -> None:
    file = bench.folder / "pulumi" / "passphrase"
    right = file.read_text()
    file.write_text("another")
    with pytest.raises(PlatformError, match="passphrase") as caught:
        bench.cli.apply(another(settings))
    assert "PULUMI_CONFIG_PASSPHRASE" in caught.value.fix
    assert "spillway rollback" in caught.value.fix
    file.write_text(right)
    bench.cli.apply(another(settings))


@pytest.mark.parametrize("url", ["file:///nowhere/at/all", "nonsense://x"])
def test_a_missing_backend_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    settings = bench.settings()
    monkeypatch.setenv("PULUMI_BACKEND_URL", url)
    monkeypatch.setenv("PULUMI_HOME", str(bench.folder / "another-home"))
    with pytest.raises(PlatformError) as caught:
        replace(bench.cli, home=CloudHome(bench.folder)).apply(settings)
    assert "backend" in caught.value.what
    assert "pulumi login" in caught.value.fix


def test_a_state_that_was_lost_is_made_again_from_what_is_live(bench: Bench, settings: Settings) -> None:
    shutil.rmtree(bench.folder / "pulumi")
    before = bench.message(settings)
    bench.cli.apply(settings)
    assert bench.message(settings).traffic == before.traffic
    assert bench.shows_no_change(settings)


def hold(entered: threading.Event, goes_on: threading.Event, read: Callable[[Settings], Live | None]) -> Any:
    def slow(asked: Settings) -> Live | None:
        entered.set()
        goes_on.wait(60)
        return read(asked)

    return slow


@pytest.mark.ordinary
def test_told_to_stop_it_ends_and_the_next_one_goes_on(bench: Bench, settings: Settings) -> None:
    """The program is under way when the signal comes: the CLI has a SIGINT and three seconds, and we do not wait."""
    entered, goes_on, stopped = threading.Event(), threading.Event(), threading.Event()
    cli = bench.cli
    slow = replace(cli, read=hold(entered, goes_on, cli.read), stopped=stopped.is_set)

    def interrupt() -> None:
        entered.wait(60)
        stopped.set()
        time.sleep(1.0)
        goes_on.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(PlatformUnavailable, match="told to end"):
        slow.apply(another(settings))
    thread.join()
    assert shares(bench.message(settings)) == {bench.name(settings): 100}
    bench.cli.apply(another(settings))
    assert bench.shows_no_change(another(settings))


def test_the_provider_is_gone_with_the_command(bench: Bench, settings: Settings) -> None:
    """Nobody finds an open port between two applies."""
    with LocalHome(bench.folder, bench.cloud.channel).opened("x") as (_, environment):
        port = int(environment["PULUMI_DEBUG_PROVIDERS"].partition(":")[2])
        socket.create_connection(("127.0.0.1", port)).close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))
