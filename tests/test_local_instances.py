"""Instances are real processes: started with what Cloud Run gives them, watched, restarted, and ended with their family."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.dataplane import ContainerSpec, InstanceSpec, Probe, StartFailed
from pipeline.local.images import catalogue
from pipeline.local.images.catalogue import Image
from pipeline.local.run import child, strays
from pipeline.local.run.container import INHERITED
from pipeline.local.run.fleet import Fleet, NoInstance, backoff
from tests.ingress import SERVICE, Sink, until
from tests.processes import exists

PYTHON = (sys.executable, "-I", "-S", "-c")
LISTEN = """
import os, signal, socket, sys, time
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
"""
FOREVER = """
while True:
    server.accept()[0].close()
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc; elsewhere a family is a group")


class Machine:
    """A fleet whose images are lines of Python."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        self.folder = folder
        self.logs = Sink()
        self.fleet = Fleet(folder, self.logs, **{"grace_s": 5.0, **fields})

    def image(self, code: str, name: str = "image", **env: str) -> None:
        catalogue.write(self.folder, {name: Image((*PYTHON, code), None, env)})

    async def start(self, revision: str = "one", **fields: Any) -> None:
        async with self.fleet.pinned(fields.pop("image", "image")) as image:
            await self.fleet.start(spec(revision, image=image, **fields))

    def pids(self, revision: str = "one") -> list[int]:
        return self.fleet.pids().get((SERVICE, revision), [])

    async def said(self, text: str) -> list[str]:
        """Lines of output, once one of them holds the text."""
        await until(lambda: any(text in line for _, _, line in self.logs.lines))
        return [line for _, _, line in self.logs.lines]


def spec(revision: str = "one", **fields: Any) -> InstanceSpec:
    """Fields of the container, the others of the instance."""
    names = fields.keys() & set(ContainerSpec.__struct_fields__)
    container = ContainerSpec(
        **{
            "image": "image",
            "startup": Probe(period_s=240.0, failures=1),
            **{name: fields.pop(name) for name in names},
        }
    )
    return InstanceSpec(SERVICE, revision, container, **fields)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path, backoff_s=0.01)
    yield made
    await made.fleet.close()


async def test_it_gets_the_variables_of_the_contract_its_own_and_few_others(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPILLWAY_SECRET", "of the server")
    monkeypatch.setenv("PYTHONPATH", "/of/the/server")
    machine.image(
        f"{LISTEN}import json; print(json.dumps(dict(os.environ)), flush=True){FOREVER}", A="image", B="image"
    )
    await machine.start(env={"B": "container", "C": "container"})
    (line,) = await machine.said("K_SERVICE")
    found = json.loads(line)
    ours = {"K_SERVICE": "chat", "K_REVISION": "one", "K_CONFIGURATION": "chat"}
    assert found.items() >= {**ours, "A": "image", "B": "container", "C": "container"}.items()
    assert 10_000 <= int(found["PORT"]) < 20_000
    assert set(found) <= {*INHERITED, *ours, "PORT", "A", "B", "C", strays.VARIABLE}
    assert found["PATH"] == os.environ["PATH"]


async def test_a_start_is_over_when_it_listens(machine: Machine) -> None:
    machine.image(
        f"import time; time.sleep(0.2); {LISTEN.strip()}{FOREVER}".replace("; \nimport", "\nimport")
    )
    await machine.start()
    lease = await machine.fleet.acquire(SERVICE, "one")
    _, writer = await asyncio.open_connection("127.0.0.1", lease.port)
    writer.close()
    lease.release()


async def test_a_process_that_exits_fails_the_revision_with_its_last_lines(machine: Machine) -> None:
    machine.image("print('first'); print('loading'); raise SystemExit('boom: no such table')")
    with pytest.raises(StartFailed) as failed:
        await machine.start()
    assert failed.value.reason == "HEALTH_CHECK_CONTAINER_ERROR"
    assert "PORT=" in failed.value.message
    assert "Container called exit(1)." in failed.value.message
    assert {"first", "loading", "boom: no such table"} <= set(failed.value.message.splitlines())
    assert not machine.pids()


async def test_only_the_last_lines_are_in_the_condition(machine: Machine) -> None:
    machine.image("import sys\nfor n in range(200): print(f'line {n}')\nsys.exit(3)")
    with pytest.raises(StartFailed) as failed:
        await machine.start()
    shown = failed.value.message.splitlines()
    assert "exit(3)" in failed.value.message
    assert shown[-1] == "line 199"
    assert "line 189" not in shown
    assert len(machine.logs.lines) == 200


async def test_a_process_that_never_listens_fails_and_is_ended(machine: Machine) -> None:
    machine.image("import os, time; print(os.getpid(), flush=True); time.sleep(1000)")
    with pytest.raises(StartFailed, match=r"did not listen within 0\.5 s"):
        await machine.start(startup=Probe(period_s=0.5, failures=1))
    ((_, _, pid),) = machine.logs.lines
    await until(lambda: not exists(int(pid)))


LISTENS = "import os, signal, socket, sys, time\nprint('starting', flush=True)\nkept = "


@pytest.mark.parametrize(
    ("does", "text"),
    [
        ("socket.create_server(('127.0.0.1', {port}))", "it listens on {port}, not on $PORT (within 1 s)"),
        ("socket.create_server(('127.0.0.1', {port})), os.fork()", "it listens on {port}, not on $PORT"),
        (
            "socket.create_server(('127.0.0.2', int(os.environ['PORT'])))",
            "it listens on $PORT of 127.0.0.2 alone, not of 127.0.0.1",
        ),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "Container terminated on signal 11."),
        ("sys.exit(7)", "Container called exit(7)."),
    ],
)
@linux
async def test_what_it_did_instead_of_listening_is_told(machine: Machine, does: str, text: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    machine.image(f"{LISTENS}{does.format(port=port)}\ntime.sleep(1000)")
    with pytest.raises(StartFailed) as failed:
        await machine.start(startup=Probe(period_s=1.0, failures=1))
    assert text.format(port=port) in failed.value.message
    assert failed.value.message.endswith("Last log lines:\nstarting")


@pytest.mark.parametrize(
    ("image", "reason", "text"),
    [
        (
            Image(("/no/such/command",)),
            "HEALTH_CHECK_CONTAINER_ERROR",
            "cannot start /no/such/command",
        ),
        (Image(("true",), "/no/such/folder"), "CONTAINER_MISSING", "/no/such/folder"),
    ],
)
async def test_a_command_that_cannot_be_run_says_why(
    machine: Machine, image: Image, reason: str, text: str
) -> None:
    catalogue.write(machine.folder, {"image": image})
    with pytest.raises(StartFailed, match=text) as failed:
        await machine.start()
    assert failed.value.reason == reason


async def test_an_unknown_image_names_those_that_are_known(machine: Machine) -> None:
    machine.image("", "agent-good")
    with pytest.raises(StartFailed, match="Did you mean 'agent-good'") as failed:
        await machine.start(image="agent-god")
    assert failed.value.reason == "CONTAINER_MISSING"


async def test_a_broken_catalogue_fails_the_revision(machine: Machine) -> None:
    (machine.folder / "images.json").write_text("[1, 2")
    with pytest.raises(StartFailed, match=r"images\.json") as failed:
        await machine.start()
    assert failed.value.reason == "INTERNAL"


async def test_command_and_args_of_the_container_beat_the_images(machine: Machine) -> None:
    machine.image("raise SystemExit('the image')")
    code = f"import sys; print(sys.argv[1:], flush=True){LISTEN}{FOREVER}"
    await machine.start(command=(*PYTHON, code), args=("a", "b"))
    assert await machine.said("a") == ["['a', 'b']"]


async def test_starting_what_runs_changes_nothing(machine: Machine) -> None:
    machine.image(LISTEN + FOREVER)
    await machine.start()
    before = machine.pids()
    await machine.start()
    assert machine.pids() == before
    assert len(before) == 1


async def test_sigterm_is_heard_and_its_last_words_are_kept(machine: Machine) -> None:
    handler = "def leave(*_): print('bye', flush=True); sys.exit(0)\nsignal.signal(signal.SIGTERM, leave)"
    machine.image(f"import signal, sys\n{handler}{LISTEN}{FOREVER}")  # it hears before it is ready
    await machine.start()
    (pid,) = machine.pids()
    await machine.fleet.stop(SERVICE, "one")
    assert ("one", "stdout", "bye") in machine.logs.lines
    await until(lambda: not exists(pid))
    assert not any("signal 9" in text for _, _, text in machine.logs.events)


async def test_what_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    machine = Machine(tmp_path, grace_s=0.2)
    machine.image(
        f"{LISTEN}signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True){FOREVER}"
    )
    await machine.start()
    (pid,) = await machine.said("")
    await machine.fleet.stop(SERVICE, "one")
    await until(lambda: not exists(int(pid)))
    assert ("one", "WARNING", "Container terminated on signal 9.") in machine.logs.events
    await machine.fleet.close()


async def test_children_of_an_instance_end_with_it(machine: Machine) -> None:
    fork = "pid = os.fork()\nif not pid:\n    time.sleep(1000)\nprint(pid, flush=True)"
    machine.image(f"{LISTEN}{fork}{FOREVER}")
    await machine.start()
    (child,) = await machine.said("")
    assert exists(int(child))
    await machine.fleet.stop(SERVICE, "one")
    await until(lambda: not exists(int(child)))


async def test_an_instance_that_dies_is_replaced(machine: Machine) -> None:
    machine.image(f"{LISTEN}print(os.getpid(), flush=True){FOREVER}")
    await machine.start()
    (first,) = await machine.said("")
    os.kill(int(first), 9)
    await until(lambda: len(machine.logs.lines) == 2 and len(machine.pids()) == 1)
    assert ("one", "ERROR", "Container terminated on signal 9.") in machine.logs.events
    lease = await machine.fleet.acquire(SERVICE, "one")
    lease.release()


async def test_what_is_said_of_an_instance_bears_its_id_and_an_exit_with_0_is_told_too(
    machine: Machine,
) -> None:
    machine.image(LISTEN + "print('up', flush=True); server.accept(); os._exit(0)")
    await machine.start()
    await machine.said("up")
    first = machine.logs.instances["up"]
    starts = "Starting new instance. Reason: DEPLOYMENT_ROLLOUT"
    told = next(text for _, _, text in machine.logs.events if text.startswith(starts))
    assert first
    assert machine.logs.instances[told] == first
    lease = await machine.fleet.acquire(SERVICE, "one")
    assert lease.id == first
    with suppress(ConnectionRefusedError):  # what it accepted, and ended by, may have been the startup probe
        socket.create_connection(("127.0.0.1", lease.port)).close()
    await until(lambda: ("one", "ERROR", "Container called exit(0).") in machine.logs.events)
    lease.release()
    assert machine.logs.instances["Container called exit(0)."] == first
    await until(lambda: len(machine.logs.lines) > 1)
    assert machine.logs.instances["up"] != first  # it was replaced


async def test_a_killed_supervisor_leaves_nothing_behind(machine: Machine) -> None:
    machine.image(f"{LISTEN}print(os.getpid(), flush=True){FOREVER}")
    await machine.start()
    (worker,) = await machine.said("")
    os.kill(machine.pids()[0], 9)
    await until(lambda: not exists(int(worker)))
    await until(lambda: len(machine.pids()) == 1)


def test_restarts_are_put_off_longer_each_time_up_to_half_a_minute() -> None:
    waits = [backoff(crashes, 0.2) for crashes in range(1, 200)]
    assert waits[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert waits == sorted(waits)
    assert waits[-1] == 30.0


async def test_a_full_instance_gets_a_second_one_beside_it(machine: Machine) -> None:
    machine.image(LISTEN + FOREVER)
    await machine.start(concurrency=1, max_instances=2)
    first = await machine.fleet.acquire(SERVICE, "one")
    second = await machine.fleet.acquire(SERVICE, "one")
    assert first.port != second.port
    assert len(machine.pids()) == 2
    with pytest.raises(NoInstance):
        await machine.fleet.acquire(SERVICE, "one")
    first.release()
    third = await machine.fleet.acquire(SERVICE, "one")
    assert third.port == first.port
    for lease in (second, third):
        lease.release()


async def test_a_revision_that_is_stopped_while_an_instance_is_made_ready_runs_nothing(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path, idle_s=0.01)
    machine.image(LISTEN + FOREVER)
    for turns in (2, 4, 8, 12, 16, 20, 24, 28):  # of the loop, until it is stopped
        await machine.start()
        await until(lambda: not machine.pids())
        request = asyncio.create_task(machine.fleet.acquire(SERVICE, "one"))
        for _ in range(turns):
            await asyncio.sleep(0)
        await machine.fleet.stop(SERVICE, "one")
        await asyncio.wait([request])
        assert isinstance(request.exception(), NoInstance | StartFailed | None)
        left = [*strays.pids(strays.folder_token(tmp_path))]
        strays.end(strays.folder_token(tmp_path))
        assert not left
    await machine.fleet.close()


async def test_requests_go_to_the_least_busy_instance_or_the_one_that_is_asked_for(machine: Machine) -> None:
    machine.image(LISTEN + FOREVER)
    await machine.start(min_instances=2, max_instances=2)
    leases = [await machine.fleet.acquire(SERVICE, "one") for _ in range(2)]
    assert len({lease.port for lease in leases}) == 2
    again = await machine.fleet.acquire(SERVICE, "one", port=leases[0].port)
    assert again.port == leases[0].port
    for lease in (*leases, again):
        lease.release()


async def test_an_idle_revision_runs_nothing_until_it_is_asked(tmp_path: Path) -> None:
    machine = Machine(tmp_path, idle_s=0.1)
    machine.image(LISTEN + FOREVER)
    await machine.start()
    await until(lambda: not machine.pids())
    lease = await machine.fleet.acquire(SERVICE, "one")
    assert len(machine.pids()) == 1
    lease.release()
    await machine.fleet.close()


async def test_min_instances_stay_when_idle(tmp_path: Path) -> None:
    machine = Machine(tmp_path, idle_s=0.05)
    machine.image(LISTEN + FOREVER)
    await machine.start("kept", min_instances=1)
    await machine.start("idle")
    await until(lambda: not machine.pids("idle"))
    assert len(machine.pids("kept")) == 1
    await machine.fleet.close()


async def test_a_revision_that_was_stopped_has_no_instances(machine: Machine) -> None:
    machine.image(LISTEN + FOREVER)
    await machine.start()
    await machine.fleet.stop(SERVICE, "one")
    await machine.fleet.stop(SERVICE, "one")
    with pytest.raises(NoInstance):
        await machine.fleet.acquire(SERVICE, "one")


async def test_a_stop_that_nobody_waits_for_any_more_goes_on(tmp_path: Path) -> None:
    machine = Machine(tmp_path, grace_s=0.2)
    machine.image(
        f"{LISTEN}signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True){FOREVER}"
    )
    await machine.start()
    (pid,) = await machine.said("")
    stop = asyncio.create_task(machine.fleet.stop(SERVICE, "one"))
    await asyncio.sleep(0)
    stop.cancel()
    await machine.fleet.close()
    await until(lambda: not exists(int(pid)))


async def test_lines_are_cut_and_told_apart_by_stream(machine: Machine) -> None:
    machine.image(
        "import sys; print('out'); print('err', file=sys.stderr); print('x' * 400_000); sys.exit('no end')"
    )
    with pytest.raises(StartFailed):
        await machine.start()
    out = [line for _, stream, line in machine.logs.lines if stream == "stdout"]
    err = [line for _, stream, line in machine.logs.lines if stream == "stderr"]
    assert err == ["err", "no end"]
    assert [len(line) for line in out] == [3, 256 * 1024]


async def test_when_the_server_is_gone_its_instances_go_however_stubborn(tmp_path: Path) -> None:
    stubborn = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.fork()
print(os.getpid(), flush=True)
time.sleep(1000)
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", child.__file__, *PYTHON, stubborn,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdin
    pids = [int(await process.stdout.readline()) for _ in range(2)]
    assert all(map(exists, pids))
    process.stdin.close()  # as the end of the server's process does
    await until(lambda: not any(map(exists, pids)))
    assert await process.wait() != 0
