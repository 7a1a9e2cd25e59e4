"""The whole local Cloud Run in one loop: Admin API, processes, ingress and logs as its users meet them together."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud import run_v2
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2AsyncClient
from google.cloud.logging_v2.services.logging_service_v2.transports import (
    LoggingServiceV2GrpcAsyncIOTransport,
)
from google.cloud.logging_v2.types import ListLogEntriesRequest, LogEntry
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcAsyncIOTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport
from google.longrunning import operations_pb2
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from pipeline.local.assembly import LocalCloudRun, Settings
from pipeline.local.endpoint import Endpoint
from pipeline.local.images import catalogue
from pipeline.local.images.catalogue import Image
from tests.aio import aio_channel
from tests.contract.cloud import OUR_PARENT, ready_condition, target, waited
from tests.ingress import until
from tests.processes import exists

NAME = f"{OUR_PARENT}/services/chat"
SPEAKER = """
import asyncio, json, os
from websockets.asyncio.server import serve
async def handle(connection):
    await connection.send(os.environ["K_REVISION"])
    async for message in connection:
        print(json.dumps({"severity": "NOTICE", "message": message}), flush=True)
        code, _, reason = message.partition(" ")
        await connection.close(int(code), reason) if code.isdecimal() else await connection.send(message)
async def main():
    async with serve(handle, "127.0.0.1", int(os.environ["PORT"])) as server:
        await server.serve_forever()
asyncio.run(main())
"""
CATALOGUE = {
    "speaker": Image((sys.executable, "-I", "-c", SPEAKER)),
    "broken": Image(
        (sys.executable, "-I", "-S", "-c", "print('loading'); raise RuntimeError('no such table')")
    ),
}


class Place:
    """A running local Cloud Run and clients of it."""

    def __init__(self, folder: Path) -> None:
        catalogue.write(folder, CATALOGUE)
        self.run = LocalCloudRun(Settings(folder, grace_s=5.0, strict_masks=True), "token")

    async def open(self) -> None:
        address = await self.run.start()
        self.channel = aio_channel(Endpoint(0, address, "token", datetime.now(UTC)))
        self.services = run_v2.ServicesAsyncClient(
            transport=ServicesGrpcAsyncIOTransport(channel=self.channel)
        )
        self.revisions = run_v2.RevisionsAsyncClient(
            transport=RevisionsGrpcAsyncIOTransport(channel=self.channel)
        )
        self.logging = LoggingServiceV2AsyncClient(
            transport=LoggingServiceV2GrpcAsyncIOTransport(channel=self.channel)
        )

    async def close(self) -> None:
        await self.channel.close()
        await self.run.close()

    async def deploy(self, revision: str, image: str = "speaker") -> run_v2.Service:
        template = run_v2.RevisionTemplate(
            revision=f"chat-{revision}", containers=[run_v2.Container(image=image)]
        )
        return await self.write(["template"], template=template)

    async def split(self, *traffic: run_v2.TrafficTarget) -> run_v2.Service:
        return await self.write(["traffic"], traffic=list(traffic))

    async def write(self, paths: list[str], **fields: Any) -> run_v2.Service:
        request = run_v2.UpdateServiceRequest(
            service=run_v2.Service(name=NAME, **fields), update_mask={"paths": paths}, allow_missing=True
        )
        return await self.settled(await self.services.update_service(request=request))

    async def settled(self, operation: Any) -> run_v2.Service:
        request = operations_pb2.WaitOperationRequest(name=operation.operation.name)
        assert waited(await self.services.wait_operation(request, timeout=60)).done
        return await self.services.get_service(name=NAME)

    async def entries(self, wanted: str) -> list[LogEntry]:
        request = ListLogEntriesRequest(resource_names=["projects/local"], filter=wanted)
        return [entry async for entry in await self.logging.list_log_entries(request)]

    def closed(self) -> dict[tuple[str, int], int]:
        """(revision, close code) to count, as ``local status`` shows it."""
        return {
            (row["revision"], row["code"]): row["count"] for row in self.run.status()["sockets"]["closed"]
        }

    def still_open(self) -> dict[str, int]:
        return {row["revision"]: row["count"] for row in self.run.status()["sockets"]["open"]}


def socket(uri: str) -> connect:
    return connect(uri.replace("http://", "ws://"), proxy=None)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    made = Place(tmp_path)
    await made.open()
    yield made
    await made.close()


async def test_an_open_socket_outlives_traffic_and_tag_and_ends_with_its_revision(place: Place) -> None:
    await place.deploy("one")
    tagged = await place.split(target("chat-one", 100, "old"))
    await place.deploy("two")
    async with socket(tagged.uri) as by_weight, socket(tagged.traffic_statuses[0].uri) as by_tag:
        assert await by_weight.recv() == await by_tag.recv() == "chat-one"
        moved = await place.split(target("chat-two", 100))
        for held in (by_weight, by_tag):
            await held.send("still there?")
            assert await held.recv() == "still there?"
        async with socket(moved.uri) as fresh:
            assert await fresh.recv() == "chat-two"
        await until(lambda: place.still_open() == {"chat-one": 2})
        pids = [
            pid
            for row in place.run.status()["processes"]
            if row["revision"] == "chat-one"
            for pid in row["pids"]
        ]

        operation = await place.revisions.delete_revision(name=f"{NAME}/revisions/chat-one")
        await place.settled(operation)

        for held in (by_weight, by_tag):
            with pytest.raises(ConnectionClosed):
                await held.recv()
    assert pids
    await until(lambda: not any(map(exists, pids)))
    await until(lambda: not place.still_open())
    assert sum(count for (revision, _), count in place.closed().items() if revision == "chat-one") == 2


@pytest.mark.parametrize(("code", "reason"), [(1011, "internal error"), (4001, "kicked ü")])
async def test_close_codes_arrive_are_counted_and_the_socket_is_logged(
    place: Place, code: int, reason: str
) -> None:
    service = await place.deploy("one")
    async with socket(service.uri) as held:
        await held.recv()
        await held.send(f"{code} {reason}")
        with pytest.raises(ConnectionClosed) as ended:
            await held.recv()
    assert ended.value.rcvd == Close(code, reason)
    await until(lambda: place.closed() == {("chat-one", code): 1})

    (said,) = await place.entries('jsonPayload.message:"' + str(code) + '"')
    assert said.log_name.endswith("%2Fstdout")
    assert said.resource.labels["revision_name"] == "chat-one"
    (request,) = await place.entries("httpRequest.status=101")
    assert request.log_name.endswith("%2Frequests")
    assert request.http_request.latency.ToTimedelta().total_seconds() > 0


async def test_a_revision_that_exits_fails_with_its_last_words_and_moves_nothing(place: Place) -> None:
    await place.deploy("one")
    await place.split(target("chat-one", 100))
    failed = await place.deploy("bad", "broken")
    assert failed.terminal_condition.state == run_v2.Condition.State.CONDITION_FAILED
    assert [t.revision for t in failed.traffic_statuses] == ["chat-one"]
    ready = ready_condition(await place.revisions.get_revision(name=f"{NAME}/revisions/chat-bad"))
    lines = ready.message.splitlines()
    assert "Container called exit(1)." in ready.message
    assert {"loading", "RuntimeError: no such table"} <= set(lines)
    assert "RuntimeError: no such table" in failed.terminal_condition.message
    async with socket(failed.uri) as held:
        assert await held.recv() == "chat-one"


async def test_a_deleted_service_leaves_no_process_and_no_address(place: Place) -> None:
    service = await place.deploy("one")
    pids = [pid for row in place.run.status()["processes"] for pid in row["pids"]]
    operation = await place.services.delete_service(name=NAME)
    request = operations_pb2.WaitOperationRequest(name=operation.operation.name)
    assert waited(await place.services.wait_operation(request, timeout=60)).done
    assert pids
    await until(lambda: not any(map(exists, pids)))
    assert place.run.status()["services"] == []
    with pytest.raises(OSError, match="Connect"):
        await socket(service.uri)


async def test_its_end_ends_open_sockets(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.open()
    service = await place.deploy("one")
    held = await socket(service.uri)
    await held.recv()
    await place.close()
    with pytest.raises(ConnectionClosed):
        await held.recv()
    await held.close()
