"""Several containers of one revision: processes of their own, started in order, alive and ended together."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from google.cloud import run_v2
from msgspec.structs import replace

from pipeline.local.control.codec import spec_of
from pipeline.local.control.running import instance_spec
from pipeline.local.control.state import Stamp, digests, pinned
from pipeline.local.control.writes import create, with_defaults
from pipeline.local.dataplane import ContainerSpec, InstanceSpec, Probe, StartFailed
from pipeline.local.entries.store import LogStore
from pipeline.model import ServiceRef
from tests.contract.cloud import Cloud
from tests.contract.targets import control_plane
from tests.ingress import SERVICE, until
from tests.processes import exists
from tests.test_local_controller import AT
from tests.test_local_instances import FOREVER, LISTEN, PYTHON, Machine

SAY = "import json, os, sys, time; print(json.dumps(dict(os.environ)), flush=True)"
WAIT = "\nwhile True: time.sleep(1000)"
MAIN = ContainerSpec("main", "chat", startup=Probe(period_s=240.0, failures=1))


class Pod(Machine):
    """A machine that runs instances of several containers."""

    def images(self, **codes: str) -> None:
        for name, code in codes.items():
            self.image(code, name)

    async def run(self, main: ContainerSpec, *sidecars: ContainerSpec, **fields: Any) -> None:
        async with AsyncExitStack() as stack:
            found = [
                replace(each, image=await stack.enter_async_context(self.fleet.pinned(each.image)))
                for each in (main, *sidecars)
            ]
            await self.fleet.start(InstanceSpec(SERVICE, "one", found[0], tuple(found[1:]), **fields))

    def lines(self, container: str) -> list[str]:
        return [
            line
            for (_, _, line), name in zip(self.logs.lines, self.logs.containers, strict=True)
            if name == container
        ]


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    made = Pod(tmp_path, backoff_s=0.01)
    yield made
    await made.fleet.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def test_each_is_a_process_of_its_image_with_its_variables_and_a_name_on_its_lines(pod: Pod) -> None:
    pod.images(main=f"{SAY}{LISTEN}{FOREVER}", other=f"{SAY}{WAIT}")
    await pod.run(replace(MAIN, env={"A": "1"}), ContainerSpec("other", "proxy", env={"B": "2"}))
    await until(lambda: pod.lines("chat") and pod.lines("proxy"))
    main, proxy = (json.loads(pod.lines(name)[0]) for name in ("chat", "proxy"))
    assert (main["A"], proxy["B"]) == ("1", "2")
    assert main["K_REVISION"] == proxy["K_REVISION"] == "one"
    assert "B" not in main
    assert not {"A", "PORT"} & set(proxy)
    pids = pod.pids()
    assert len(pids) == 2
    lease = await pod.fleet.acquire(SERVICE, "one")
    assert lease.port == int(main["PORT"])
    lease.release()
    await pod.fleet.stop(SERVICE, "one")
    await until(lambda: not any(map(exists, pids)))


async def test_a_container_starts_when_those_it_depends_on_have_started(pod: Pod) -> None:
    port = free_port()
    listens = f"import socket, time; time.sleep(0.3); kept = socket.create_server(('127.0.0.1', {port}))"
    reaches = f"{LISTEN}socket.create_connection(('127.0.0.1', {port})); print('reached', flush=True)"
    pod.images(main=f"{reaches}{FOREVER}", base=f"{listens}\nprint('up', flush=True){WAIT}")
    base = ContainerSpec("base", "base", startup=Probe(port=port, period_s=240.0, failures=1))
    between = ContainerSpec(
        "base",
        "between",
        depends_on=("base",),
        command=(*PYTHON, f"print('then', flush=True)\nimport time{WAIT}"),
    )
    await pod.run(replace(MAIN, depends_on=("between", "base")), between, base)
    # One without a startup probe has started when its process has, which may say its line much later.
    await until(lambda: pod.lines("chat") == ["reached"] and pod.lines("between") == ["then"])


@pytest.mark.parametrize(
    "main", [f"{LISTEN}{FOREVER}", f"import time{WAIT}"], ids=["main-is-up", "main-never-is"]
)
async def test_one_that_ends_while_others_start_fails_the_revision_with_its_lines(
    pod: Pod, main: str
) -> None:
    """At once, and not when the patience with the others is over."""
    pod.images(
        main=main,
        other="import sys, time; time.sleep(0.3); print('no database'); sys.exit(3)",
        sleeps=f"import time{WAIT}",
    )
    waits = ContainerSpec("sleeps", "waits", startup=Probe(port=free_port(), period_s=240.0, failures=1))
    with pytest.raises(StartFailed, match="no database") as failed:
        await pod.run(MAIN, ContainerSpec("other", "proxy"), waits)
    assert failed.value.reason == "HEALTH_CHECK_CONTAINER_ERROR"
    assert "'proxy' failed to start: Container called exit(3)." in failed.value.message
    assert not pod.pids()


async def test_one_that_never_passes_its_startup_probe_fails_the_revision_and_ends_all(pod: Pod) -> None:
    pod.images(main=f"{LISTEN}print(os.getpid(), flush=True){FOREVER}", other=f"import time{WAIT}")
    never = Probe(port=free_port(), period_s=0.5, failures=1)
    with pytest.raises(
        StartFailed, match=r"container 'proxy' failed to start: it did not listen within 0\.5 s"
    ):
        await pod.run(MAIN, ContainerSpec("other", "proxy", startup=never))
    await until(lambda: not any(exists(int(pid)) for pid in pod.lines("chat")))


@pytest.mark.parametrize("which", ["chat", "proxy"])
async def test_when_one_ends_the_instance_ends_and_another_is_started(pod: Pod, which: str) -> None:
    say = "import os, time; print(os.getpid(), flush=True)"
    pod.images(main=f"{LISTEN}print(os.getpid(), flush=True){FOREVER}", other=f"{say}{WAIT}")
    await pod.run(MAIN, ContainerSpec("other", "proxy"))
    await until(lambda: pod.lines("chat") and pod.lines("proxy"))
    first = [int(pod.lines(name)[0]) for name in ("chat", "proxy")]
    os.kill(int(pod.lines(which)[0]), 9)
    await until(lambda: len(pod.lines("chat")) == 2 and len(pod.lines("proxy")) == 2)
    await until(lambda: not any(map(exists, first)))
    assert (
        "one",
        "ERROR",
        f"Container terminated on signal 9. It was container '{which}'.",
    ) in pod.logs.events
    await until(lambda: len(pod.pids()) == 2)


async def test_a_sidecars_grace_is_its_own(tmp_path: Path) -> None:
    """Who ends first takes nobody along."""
    pod = Pod(tmp_path, grace_s=120.0)
    polite = "import os, signal, sys, time\ndef leave(*_): time.sleep(0.5); os.write(1, b'bye\\n'); sys.exit(0)\nsignal.signal(signal.SIGTERM, leave); print('up', flush=True)"
    pod.images(main=f"{LISTEN}{FOREVER}", other=f"{polite}{WAIT}")
    await pod.run(MAIN, ContainerSpec("other", "proxy"))
    await until(lambda: pod.lines("proxy") == ["up"])
    await pod.fleet.stop(SERVICE, "one")
    await pod.fleet.close()
    assert pod.lines("proxy") == ["up", "bye"], pod.logs.events


def made(*containers: run_v2.Container) -> tuple[Any, InstanceSpec]:
    ref = ServiceRef("local", "here", "chat")
    service = run_v2.Service(template={"containers": list(containers)})
    found = create(
        ref, with_defaults(ref, spec_of(run_v2.Service.pb(service))), Stamp("me", AT, lambda: "one")
    )
    return found, instance_spec(found, found.revisions[0])


def port(number: int = 8080) -> list[run_v2.ContainerPort]:
    return [run_v2.ContainerPort(container_port=number)]


def test_the_one_with_a_port_takes_requests_wherever_it_stands() -> None:
    _, spec = made(
        run_v2.Container(name="side", image="a"),
        run_v2.Container(name="main", image="b", ports=port(), depends_on=["side"]),
    )
    assert (spec.container.name, spec.container.depends_on) == ("main", ("side",))
    assert [each.name for each in spec.sidecars] == ["side"]
    assert spec.container.startup == Probe(timeout_s=240, period_s=240, failures=1)
    assert spec.sidecars[0].startup is None


def test_the_images_of_all_are_held_by_digest() -> None:
    service, _ = made(
        run_v2.Container(name="main", image="b", ports=port()), run_v2.Container(name="side", image="a")
    )
    held = pinned(service, service.revisions[0].name, {name: f"{name}@sha256:{name * 64}" for name in "ab"})
    spec = instance_spec(held, held.revisions[0])
    assert [each.image for each in (spec.container, *spec.sidecars)] == [
        f"{name}@sha256:{name * 64}" for name in "ba"
    ]
    assert digests(held) == {"a" * 64, "b" * 64}


def test_a_line_bears_its_containers_name(tmp_path: Path) -> None:
    store = LogStore(tmp_path)
    with store.tail() as tail:
        store.line(SERVICE, "one", "stdout", "plain", "proxy")
        store.line(SERVICE, "one", "stdout", '{"logging.googleapis.com/labels": {"a": "1"}}', "proxy")
        store.line(SERVICE, "one", "stdout", "plain")
        entries, _ = tail.take()
    store.close()
    assert [dict(each.labels) for each in entries] == [
        {"container_name": "proxy"}, {"a": "1", "container_name": "proxy"}, {},
    ]  # fmt: skip


@pytest.fixture
def plane() -> Iterator[Cloud]:
    with control_plane() as running, running.case():
        yield running


def a(name: str, *depends_on: str, is_main: bool = False) -> dict[str, Any]:
    return {"name": name, "depends_on": list(depends_on), "ports": port() if is_main else []}


@pytest.mark.parametrize(
    ("containers", "complaint"),
    [
        ([a("main"), a("side")], "exactly one container with an exposed port, not 0"),
        ([a("main", is_main=True), a("side", is_main=True)], "exactly one container with an exposed port, not 2"),
        ([a("main", is_main=True), a("main")], "'main' is the name of another container"),
        ([a("main", "none", is_main=True)], r"containers\[0\].depends_on: there is no container 'none'"),
        ([a("main", "main", is_main=True)], "main wait for each other"),
        ([a("main", "x", is_main=True), a("x", "y"), a("y", "x"), a("z")], "main, x, y wait for each other"),
    ],
)  # fmt: skip
def test_containers_that_do_not_go_together_are_refused(
    plane: Cloud, containers: list[dict[str, Any]], complaint: str
) -> None:
    service = run_v2.Service(
        template={"containers": [run_v2.Container(image="good", **each) for each in containers]}
    )
    with plane.refused("INVALID_ARGUMENT", match=complaint):
        plane.services.create_service(parent=plane.parent, service=service, service_id=plane.fresh_id())


async def test_what_one_machine_does_not_have_is_named_once(pod: Pod) -> None:
    pod.images(main=f"{LISTEN}{FOREVER}")
    for _ in range(2):
        await pod.run(MAIN, left_out=("VPC access", "GPU"))
    told = [event for event in pod.logs.events if "Not acted out" in event[2]]
    assert told == [("one", "NOTICE", "Not acted out by the local Cloud Run: VPC access, GPU.")]


def test_every_setting_that_is_not_acted_out_has_a_name() -> None:
    """Of each kind of volume but emptyDir and secret, too: a kind that a newer client brings fails here."""
    kinds = run_v2.Volume.pb().DESCRIPTOR.oneofs_by_name["volume_type"].fields
    volumes = [run_v2.Volume({"name": kind.name, kind.name: {}}) for kind in kinds]
    template = run_v2.RevisionTemplate(
        containers=[run_v2.Container(image="good", working_dir="/srv")],
        volumes=volumes,
        vpc_access=run_v2.VpcAccess(connector="c"),
        node_selector=run_v2.NodeSelector(accelerator="nvidia-l4"),
        encryption_key="projects/p/locations/l/keyRings/r/cryptoKeys/k",
        service_mesh=run_v2.ServiceMesh(mesh="m"),
    )
    assert set(planned(template).left_out) == {
        "VPC access", "GPU", "encryption key", "service mesh", "working directory /srv",
        "Cloud SQL volume 'cloud_sql_instance'", "NFS volume 'nfs'", "Cloud Storage volume 'gcs'",
    }  # fmt: skip
    assert not planned(run_v2.RevisionTemplate(containers=[run_v2.Container(image="good")])).left_out


def planned(template: run_v2.RevisionTemplate) -> InstanceSpec:
    ref = ServiceRef("local", "here", "chat")
    spec = with_defaults(ref, spec_of(run_v2.Service.pb(run_v2.Service(template=template))))
    found = create(ref, spec, Stamp("me", AT, lambda: "one"))
    return instance_spec(found, found.revisions[0])
