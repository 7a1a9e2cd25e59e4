"""The clouds that the contract is tried on. Each is a context manager that yields a ``Cloud``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import grpc
from google.cloud import run_v2
from google.cloud.run_v2.services.services.transports import (
    ServicesGrpcAsyncIOTransport,
    ServicesGrpcTransport,
)
from google.oauth2.credentials import Credentials

from pipeline.local.alerts.book import AlertBook
from pipeline.local.api import admin, alerts, jobs, methods, schedule
from pipeline.local.api.rest import RestFace
from pipeline.local.assembly import LocalCloudRun, Settings
from pipeline.local.bearer import Access
from pipeline.local.control.controller import Controller
from pipeline.local.control.job_controller import JobController
from pipeline.local.endpoint import Endpoint
from pipeline.local.front.addresses import listen
from pipeline.local.images import catalogue
from pipeline.local.images.catalogue import Image
from pipeline.local.scheduler.scheduler import Scheduler
from tests.aio import aio_channel as channel_to
from tests.contract.cloud import OUR_PARENT, Cloud, LoopThread, Rest
from tests.contract.fakes import FakeInstances, FakeRouter

ONLINE_PARENT = "SPILLWAY_ONLINE"
ONLINE_IMAGE = "SPILLWAY_ONLINE_IMAGE"
_HOST = "run.googleapis.com"
_TOKEN = "of-the-tests"
_LISTENER = """
import os, socket
server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    server.accept()[0].close()
"""
_IMAGES = {
    name: Image((sys.executable, "-I", "-S", "-c", code))
    for name, code in {"good": _LISTENER, "never-listens": "raise SystemExit('Traceback: boom')"}.items()
}


@contextmanager
def control_plane(*, over_rest: bool = False, strict_masks: bool = False) -> Iterator[Cloud]:
    """The Admin API of the local Cloud Run on loopback, over a data plane without processes."""
    loop = LoopThread()
    with tempfile.TemporaryDirectory() as folder:
        server = loop.run(_serve(Path(folder), strict_masks))
        with grpc.insecure_channel(server.address) as channel:
            rest = _rest(server.rest_address) if over_rest else None
            yield _ours(channel, loop, lambda: grpc.aio.insecure_channel(server.address), rest)
        loop.run(server.close())
    loop.close()


@contextmanager
def local(*, over_rest: bool = False) -> Iterator[Cloud]:
    """The local Cloud Run as it is: real processes, addresses, logs, token."""
    loop = LoopThread()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        catalogue.write(folder, _IMAGES)
        run, address = loop.run(_start(folder))
        reached = Endpoint(0, address, _TOKEN, datetime.now(UTC))
        with reached.channel() as channel:
            rest = _rest(run.rest_address) if over_rest else None
            yield _ours(channel, loop, lambda: channel_to(reached), rest)
        loop.run(run.close())
    loop.close()


def _ours(
    channel: grpc.Channel, loop: LoopThread, aio_channel: Callable[[], grpc.aio.Channel], rest: Rest | None
) -> Cloud:
    containers = {image: run_v2.Container(image=image) for image in ("good", "never-listens", "missing")}
    return Cloud(channel, OUR_PARENT, containers, loop, aio_channel, rest)


def _rest(address: str) -> Rest:
    return Rest(f"http://{address}", Credentials(_TOKEN))


async def _start(folder: Path) -> tuple[LocalCloudRun, str]:
    run = LocalCloudRun(Settings(folder), _TOKEN)
    return run, await run.start()


@dataclass(frozen=True)
class _ControlPlane:
    """Both faces over one controller."""

    controller: Controller
    jobs: JobController
    server: grpc.aio.Server
    face: RestFace
    address: str
    rest_address: str

    async def close(self) -> None:
        await self.server.stop(grace=None)
        await self.face.close()
        await self.jobs.close()
        await self.controller.close()


async def _serve(folder: Path, strict_masks: bool) -> _ControlPlane:
    controller = Controller(folder, FakeInstances(), FakeRouter())
    await controller.resume()
    jobs_ = JobController(folder, FakeInstances(), controller.operations)  # kept, and never run
    offered = (
        *methods.offered(controller, strict_masks=strict_masks),
        *jobs.offered(jobs_),
        *schedule.offered(Scheduler(folder, partial(schedule.start, jobs_))),
        *alerts.offered(AlertBook(folder)),
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(admin.handlers(offered))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    face, listener = RestFace(offered, Access(_TOKEN)), listen("127.0.0.1", 0)
    await face.start(listener)
    return _ControlPlane(
        controller, jobs_, server, face, f"127.0.0.1:{port}", f"127.0.0.1:{listener.getsockname()[1]}"
    )


@contextmanager
def online(*, over_rest: bool = False) -> Iterator[Cloud]:
    """A real project, with the default credentials of the environment. It costs money."""
    image = os.environ[ONLINE_IMAGE]
    containers = {
        "good": run_v2.Container(image=image),
        "never-listens": run_v2.Container(image=image, command=["sleep"], args=["3600"]),
        "missing": run_v2.Container(image=f"{image.partition('@')[0].partition(':')[0]}-missing"),
    }
    loop = LoopThread()
    with ServicesGrpcTransport.create_channel(_HOST) as channel:
        yield Cloud(
            channel,
            os.environ[ONLINE_PARENT],
            containers,
            loop,
            lambda: ServicesGrpcAsyncIOTransport.create_channel(_HOST),
            Rest(f"https://{_HOST}") if over_rest else None,
        )
    loop.close()


TARGETS: dict[str, Callable[[], AbstractContextManager[Cloud]]] = {
    "control-plane": control_plane,
    "local": local,
    "online": online,
    "control-plane-rest": partial(control_plane, over_rest=True),
    "local-rest": partial(local, over_rest=True),
    "online-rest": partial(online, over_rest=True),
}
