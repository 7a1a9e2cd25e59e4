"""The clouds that the contract is tried on. Each is a context manager that yields a ``Cloud``."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import grpc
from google.cloud import run_v2
from google.cloud.run_v2.services.services.transports import (
    ServicesGrpcAsyncIOTransport,
    ServicesGrpcTransport,
)

from pipeline.local.api.admin import handlers
from pipeline.local.assembly import LocalCloudRun, Settings
from pipeline.local.control.controller import Controller
from pipeline.local.endpoint import Endpoint
from pipeline.local.images import catalogue
from pipeline.local.images.catalogue import Image
from tests.aio import aio_channel as channel_to
from tests.contract.cloud import OUR_PARENT, Cloud, LoopThread
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
def control_plane() -> Iterator[Cloud]:
    """The Admin API of the local Cloud Run on loopback, over a data plane without processes."""
    loop = LoopThread()
    with tempfile.TemporaryDirectory() as folder:
        server, controller, port = loop.run(_serve(Path(folder)))
        address = f"127.0.0.1:{port}"
        with grpc.insecure_channel(address) as channel:
            yield _ours(channel, loop, lambda: grpc.aio.insecure_channel(address))
        loop.run(_end(server, controller))
    loop.close()


@contextmanager
def local() -> Iterator[Cloud]:
    """The local Cloud Run as it is: real processes, addresses, logs, token."""
    loop = LoopThread()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        catalogue.write(folder, _IMAGES)
        run, address = loop.run(_start(folder))
        reached = Endpoint(0, address, _TOKEN, datetime.now(UTC))
        with reached.channel() as channel:
            yield _ours(channel, loop, lambda: channel_to(reached))
        loop.run(run.close())
    loop.close()


def _ours(channel: grpc.Channel, loop: LoopThread, aio_channel: Callable[[], grpc.aio.Channel]) -> Cloud:
    containers = {image: run_v2.Container(image=image) for image in ("good", "never-listens", "missing")}
    return Cloud(channel, OUR_PARENT, containers, loop, aio_channel)


async def _start(folder: Path) -> tuple[LocalCloudRun, str]:
    run = LocalCloudRun(Settings(folder), _TOKEN)
    return run, await run.start()


async def _serve(folder: Path) -> tuple[grpc.aio.Server, Controller, int]:
    controller = Controller(folder, FakeInstances(), FakeRouter())
    await controller.resume()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(handlers(controller))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, controller, port


async def _end(server: grpc.aio.Server, controller: Controller) -> None:
    await server.stop(grace=None)
    await controller.close()


@contextmanager
def online() -> Iterator[Cloud]:
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
        )
    loop.close()


TARGETS: dict[str, Callable[[], AbstractContextManager[Cloud]]] = {
    "control-plane": control_plane,
    "local": local,
    "online": online,
}
