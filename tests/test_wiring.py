"""The clock of a process, and which driver is known to be dead."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from pipeline.app.wiring import SystemClock, driver, is_dead
from tests.fakes import START


def test_setting_the_machines_clock_moves_nobodys_time() -> None:
    wall, passed = [START], [100.0]
    clock = SystemClock(wall=lambda: wall[0], elapsed=lambda: passed[0])
    wall[0] += timedelta(hours=5)
    assert clock.now() == START
    wall[0] -= timedelta(days=5)
    passed[0] += 3
    assert clock.now() == START + timedelta(seconds=3)


def test_sleeping_ends_when_told_to_stop() -> None:
    stopped = threading.Event()
    stopped.set()
    clock = SystemClock(stopped)
    begun = clock.now()
    clock.sleep(timedelta(hours=1))
    assert clock.now() - begun < timedelta(minutes=1)


def _ended() -> int:
    """The number of a process that is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def _with(who: str, *, host: str | None = None, machine: str | None = None, pid: object = None) -> str:
    parts = who.split("/")
    for index, value in enumerate((host, machine, pid)):
        parts[index] = parts[index] if value is None else str(value)
    return "/".join(parts)


def test_a_driver_is_dead_when_its_process_on_this_machine_is_gone() -> None:
    assert not is_dead(driver())
    assert is_dead(_with(driver(), pid=_ended()))


@pytest.mark.parametrize("other", [{"host": "elsewhere"}, {"machine": "00000000"}, {"pid": "x"}, {"pid": ""}])
def test_of_another_machine_boot_or_kind_nobody_is_known_to_be_dead(other: dict[str, str]) -> None:
    assert not is_dead(_with(_with(driver(), pid=_ended()), **other))  # type: ignore[arg-type]


def test_another_users_process_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    assert not is_dead(driver())


_IN_THE_CLOUD = """
from types import SimpleNamespace
from pipeline.app.wiring import open_place
from pipeline.budget import PROCESS, urgent
from pipeline.model import ServiceRef
waits = []
session = SimpleNamespace(stopped=SimpleNamespace(wait=waits.append))
with open_place(session, ServiceRef("acme-prd", "us-central1", "chat")):
    for _ in range(9):
        PROCESS.spend("/google.cloud.run.v2.Services/GetService")
    with urgent():
        PROCESS.spend("/google.cloud.run.v2.Services/UpdateService")
print(len(waits), PROCESS.calls)
"""


def test_in_the_cloud_the_whole_process_keeps_to_its_quota() -> None:
    """In a process of its own: it is the process that is limited."""
    done = subprocess.run(
        [sys.executable, "-c", _IN_THE_CLOUD], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "4 {'GetService': 9, 'UpdateService': 1}", done.stderr
