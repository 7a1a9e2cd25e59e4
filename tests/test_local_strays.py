"""Whoever an instance starts ends with it, whatever group, session, parent or environment it gave itself."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from pipeline.local import daemon
from pipeline.local.run import strays
from pipeline.local.run.fleet import Fleet
from tests.ingress import SERVICE, Sink, until
from tests.processes import exists
from tests.test_local_instances import FOREVER, LISTEN, Machine, linux

pytestmark = linux

START = "import os, signal, subprocess, sys, time\n"
SLEEP = (
    "[sys.executable, '-I', '-S', '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(1000)']"
)
#: Python that starts a process which leaves the group of its instance, and prints its number.
WAYS = {
    "setsid": f"subprocess.Popen({SLEEP}, start_new_session=True)\n",
    "no-environment": f"subprocess.Popen({SLEEP}, start_new_session=True, env={{}})\n",
    "two-forks": """
if not os.fork():
    os.setsid()
    if not os.fork():
        server.close()
        print(os.getpid(), flush=True)
        time.sleep(1000)
    os._exit(0)
os.wait()
""",
}
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


class Family:
    """An instance with somebody who left its group."""

    def __init__(self, machine: Machine, way: str, before: str = "") -> None:
        self.machine = machine
        machine.image(f"{START}{LISTEN}{before}{WAYS[way]}print('main', os.getpid(), flush=True){FOREVER}")

    async def start(self, revision: str = "one") -> None:
        await self.machine.start(revision)
        await until(lambda: len(self._said(revision)) == 2)
        said = self._said(revision)
        (self.stray,) = (int(line) for line in said if line.isdecimal())
        (self.main,) = (int(line.split()[1]) for line in said if line.startswith("main"))
        (self.supervisor,) = self.machine.pids(revision)
        assert os.getpgid(self.stray) != self.supervisor

    def _said(self, revision: str) -> list[str]:
        return [line for who, _, line in self.machine.logs.lines if who == revision]

    async def is_gone(self) -> None:
        await until(lambda: not any(map(exists, [self.stray, self.main, self.supervisor])))


@pytest.mark.parametrize("way", WAYS)
async def test_when_it_is_stopped(tmp_path: Path, way: str) -> None:
    family = Family(Machine(tmp_path), way)
    await family.start()
    await family.machine.fleet.stop(SERVICE, "one")
    await family.is_gone()


@pytest.mark.parametrize("way", WAYS)
async def test_when_it_ignores_sigterm(tmp_path: Path, way: str) -> None:
    family = Family(Machine(tmp_path, grace_s=0.2), way, STUBBORN)
    await family.start()
    await family.machine.fleet.stop(SERVICE, "one")
    await family.is_gone()


@pytest.mark.parametrize("way", WAYS)
async def test_when_it_dies(tmp_path: Path, way: str) -> None:
    family = Family(Machine(tmp_path, backoff_s=1000.0), way)
    await family.start()
    os.kill(family.main, signal.SIGKILL)
    await family.is_gone()
    await family.machine.fleet.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_when_its_supervisor_is_killed_or_stopped(tmp_path: Path, number: int) -> None:
    family = Family(Machine(tmp_path, grace_s=0.2, backoff_s=1000.0), "two-forks")
    await family.start()
    os.kill(family.supervisor, number)
    await family.machine.fleet.close()
    await family.is_gone()


async def test_nobody_else_is_ended(tmp_path: Path) -> None:
    """Another instance's family, another folder's, and who only mentions the token."""
    ours, others = Machine(tmp_path / "ours"), Machine(tmp_path / "others")
    one, two, other = Family(ours, "setsid"), Family(ours, "setsid"), Family(others, "setsid")
    await one.start("one")
    await two.start("two")
    await other.start()
    token = strays.folder_token(ours.folder)
    mentions = await asyncio.create_subprocess_exec(
        "sleep", "1000", env={**os.environ, "NOTE": f"{strays.VARIABLE}={token}"}
    )
    await ours.fleet.stop(SERVICE, "one")
    await one.is_gone()
    assert exists(two.stray)
    await ours.fleet.close()
    await two.is_gone()
    assert strays.end(token) == 0
    assert exists(other.stray)
    assert exists(mentions.pid)
    mentions.kill()
    await mentions.wait()
    await others.fleet.close()


async def _leave(folder: Path) -> list[asyncio.subprocess.Process]:
    environment = {**os.environ, strays.VARIABLE: strays.fresh_token(folder)}
    return [
        await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True, env=environment)
        for _ in range(3)
    ]


async def test_who_was_left_by_a_killed_server_ends_when_the_next_one_starts(tmp_path: Path) -> None:
    left = await _leave(tmp_path)
    await Fleet(tmp_path, Sink()).end_strays()
    assert [await process.wait() for process in left] == [-signal.SIGKILL] * 3


async def test_who_was_left_by_a_killed_server_ends_by_local_down(tmp_path: Path) -> None:
    left = await _leave(tmp_path)
    assert not await asyncio.to_thread(daemon.down, tmp_path)
    assert [await process.wait() for process in left] == [-signal.SIGKILL] * 3


async def test_who_comes_to_the_supervisor_as_an_orphan_is_buried(tmp_path: Path) -> None:
    orphan = (
        "    if not os.fork():\n        os.fork() or time.sleep(0.05)\n        os._exit(0)\n    os.wait()\n"
    )
    machine = Machine(tmp_path)
    machine.image(f"{START}{LISTEN}for _ in range(20):\n{orphan}print('up', flush=True){FOREVER}")
    await machine.start()
    await machine.said("up")
    (supervisor,) = machine.pids()
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children")
    await until(lambda: len(children.read_text().split()) == 1)
    await machine.fleet.close()
