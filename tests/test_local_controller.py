"""The control plane over instances and a router that are made up: what waits for what, and what a restart takes up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.local.control import state
from pipeline.local.control.controller import Controller
from pipeline.local.control.operations import SERVICE, Operation, Operations
from pipeline.local.control.state import BY_NAME, Json, Refused
from pipeline.local.control.store import Shelf
from pipeline.local.dataplane import InstanceSpec, Routes
from pipeline.model import Readiness, ServiceRef
from tests.contract.fakes import FakeInstances, FakeRouter

REF = ServiceRef("local", "here", "chat")
AT = datetime(2030, 1, 1, tzinfo=UTC)


class World:
    """One state folder, and the control plane that works on it until ``restart``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begin()

    def begin(self, **fields: Any) -> None:
        self.instances = FakeInstances()
        self.router = FakeRouter()
        self.controller = Controller(self.folder, self.instances, self.router, **fields)

    async def restart(self, **fields: Any) -> None:
        """As after kill -9: nothing is finished, nothing runs."""
        await self.controller.close()
        self.begin(**fields)
        await self.controller.resume()

    def create(self, image: str = "good", revision: str = "chat-one") -> Operation:
        return self.controller.create_service(REF, template(image, revision), actor="me")

    def update(self, *paths: str, etag: str = "", **change: Any) -> Operation:
        return self.controller.update_service(REF, change, paths or None, etag=etag, actor="me")

    def deploy(self, revision: str, image: str = "good", **fields: Any) -> Operation:
        return self.update("template", **template(image, f"chat-{revision}", **fields))

    def split(self, *traffic: Json) -> Operation:
        return self.update("traffic", traffic=list(traffic))

    async def done(self, operation: Operation) -> Operation:
        return await self.controller.operations.wait(operation.name, 20)

    @property
    def service(self) -> state.Service:
        return self.controller.service(REF)

    @property
    def routes(self) -> Routes:
        return self.router.routes[REF.name]


def template(image: str = "good", revision: str = "", **fields: Any) -> dict[str, Any]:
    named = {"revision": revision} if revision else {}
    return {"template": {"containers": [{"image": image}], **named, **fields}}


def to(revision: str, percent: int = 0, tag: str = "") -> Json:
    return {"type_": BY_NAME, "revision": f"chat-{revision}", "percent": percent, "tag": tag}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    await made.controller.resume()
    yield made
    await made.controller.close()


async def ticks(count: int = 20) -> None:
    """Let everything that can go on go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_connections_follow_before_the_status_says_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    seen: list[tuple[Routes, bool, Any]] = []

    def on_route(_: str, routes: Routes) -> None:
        statuses = [(line.revision, line.percent) for line in world.service.serving]
        seen.append((routes, world.service.reconciling, statuses))

    world.router = FakeRouter(on_route)
    world.controller = Controller(tmp_path, world.instances, world.router)
    operation = await world.done(world.create())
    assert operation.is_done
    assert seen[-1] == (Routes((("chat-one", 100),), {}), True, [])
    await world.controller.close()


async def test_a_rollback_does_not_wait_for_a_revision_that_is_starting(world: World) -> None:
    await world.done(world.create())
    await world.done(world.deploy("two"))
    await world.done(world.split(to("one", 50), to("two", 50)))
    slow = world.deploy("slow", "slow")
    await ticks()
    back = world.split(to("one", 100))
    await ticks()
    assert world.routes.weights == (("chat-one", 100),)
    assert {line.revision: line.percent for line in world.service.serving} == {"chat-one": 100}
    assert world.service.reconciling
    world.instances.let_go.set()
    assert (await world.done(back)).error is None
    assert (await world.done(slow)).is_done


async def test_a_tag_on_a_revision_that_is_starting_does_not_hold_the_split(world: World) -> None:
    await world.done(world.create())
    world.deploy("slow", "slow")
    operation = world.split(to("one", 100), to("slow", 0, "candidate"))
    await ticks()
    assert (world.routes.weights, dict(world.routes.tags)) == ((("chat-one", 100),), {})
    world.instances.let_go.set()
    await world.done(operation)
    assert dict(world.routes.tags) == {"candidate": "chat-slow"}


async def test_an_operation_of_a_failed_revision_fails_with_its_log(world: World) -> None:
    operation = await world.done(world.create("never-listens"))
    assert operation.error
    assert operation.error[0] == "FAILED_PRECONDITION"
    assert "Traceback: boom" in operation.error[1]
    assert world.service.latest_ready == ""
    assert REF.name not in {key for key, routes in world.router.routes.items() if routes.weights}


async def test_each_revision_is_started_once(world: World) -> None:
    await world.done(world.create())
    for n in range(5):
        await world.done(world.update("annotations", annotations={"n": str(n)}))
    assert world.instances.starts == {"chat-one": 1}


async def test_deleting_a_service_stops_its_instances_and_takes_its_address(world: World) -> None:
    await world.done(world.create())
    await world.done(world.deploy("two"))
    operation = world.controller.delete_service(REF, etag="")
    with pytest.raises(Refused):
        _ = world.service
    assert (await world.done(operation)).error is None
    assert set(world.instances.stopped) == {"chat-one", "chat-two"}
    assert world.instances.running == {}
    assert REF.name not in world.router.routes


async def test_deleting_a_service_ends_what_was_under_way(world: World) -> None:
    create = world.create("slow")
    await ticks()
    world.controller.delete_service(REF, etag="")
    ended = await world.done(create)
    assert ended.error == ("ABORTED", "chat was deleted meanwhile.")


async def test_a_name_is_free_at_once_and_its_new_revision_waits_for_the_old_to_stop(world: World) -> None:
    await world.done(world.create())
    world.controller.delete_service(REF, etag="")
    again = world.create()
    assert (await world.done(again)).error is None
    assert world.instances.running.keys() == {(REF.name, "chat-one")}
    assert world.instances.stopped == ["chat-one"]


async def test_deleting_a_revision_stops_it_once_no_tag_leads_to_it(world: World) -> None:
    await world.done(world.create())
    await world.done(world.deploy("two"))
    await world.done(world.split(to("two", 100), to("one", 0, "old")))
    operation = world.controller.delete_revision(REF, "chat-one", etag="", actor="me")
    await world.done(operation)
    assert world.instances.stopped == ["chat-one"]
    assert dict(world.routes.tags) == {}


async def test_revisions_beyond_the_limit_are_stopped_and_gone(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.begin(revision_limit=2)
    await world.done(world.create())
    for name in ("two", "three", "four"):
        await world.done(world.deploy(name))
    await ticks()
    assert [r.name for r in world.service.revisions] == ["chat-three", "chat-four"]
    assert set(world.instances.stopped) == {"chat-one", "chat-two"}
    await world.controller.close()


async def test_after_a_restart_what_served_serves_again_and_is_routed_as_before(world: World) -> None:
    await world.done(world.create())
    await world.done(world.deploy("two"))
    await world.done(world.split(to("one", 95, "stable"), to("two", 5, "candidate")))
    before, routes, uri = world.service, world.routes, world.controller.uri(REF.name, "")
    await world.restart()
    assert world.service == before
    assert world.routes == routes
    assert world.controller.uri(REF.name, "") == uri
    await ticks()
    assert {revision for _, revision in world.instances.running} == {"chat-one", "chat-two"}


async def test_after_a_restart_an_unfinished_write_is_finished(world: World) -> None:
    await world.done(world.create())
    operation = world.deploy("slow", "slow")
    await ticks()
    await world.restart()
    world.instances.let_go.set()
    ended = await world.done(operation)
    assert (ended.is_done, ended.error) == (True, None)
    assert world.service.latest_ready == "chat-slow"


async def test_after_a_restart_an_unfinished_deletion_is_finished(world: World) -> None:
    await world.done(world.create())
    operation = world.controller.delete_service(REF, etag="")
    await world.restart()
    assert (await world.done(operation)).is_done
    assert not world.controller.services(REF.parent)


async def test_a_ready_revision_that_does_not_start_again_stays_ready(world: World) -> None:
    await world.done(world.create())
    await world.controller.close()
    world.begin()
    world.instances.broken = True
    await world.controller.resume()
    await ticks()
    assert world.service.is_ready("chat-one")
    assert world.routes.weights == (("chat-one", 100),)
    assert not world.service.reconciling


async def test_a_fault_of_the_data_plane_fails_the_revision_and_says_so(tmp_path: Path) -> None:
    class Broken(FakeInstances):
        async def start(self, spec: InstanceSpec) -> None:
            raise OSError("out of processes")

    world = World(tmp_path)
    world.controller = Controller(tmp_path, Broken(), world.router)
    operation = await world.done(world.create())
    assert operation.error
    assert "out of processes" in operation.error[1]
    found = world.service.revision("chat-one")
    assert found
    assert found.readiness is Readiness.FAILED
    await world.controller.close()


async def test_a_refused_write_changes_nothing(world: World) -> None:
    await world.done(world.create())
    before = world.service
    for refused in (
        lambda: world.update("annotations", annotations={"a": "1"}, etag='"stale"'),
        lambda: world.split(to("one", 99)),
        lambda: world.split(to("nobody", 100)),
        lambda: world.deploy("one", "other"),
        lambda: world.controller.delete_revision(REF, "chat-one", etag="", actor="me"),
    ):
        with pytest.raises(Refused):
            refused()
    assert world.service is before


async def test_the_writer_is_on_record(world: World) -> None:
    await world.done(world.create())
    world.controller.update_service(
        REF, {"annotations": {"a": "1"}}, ["annotations"], etag="", actor="somebody else"
    )
    assert (world.service.creator, world.service.last_modifier) == ("me", "somebody else")


def kept_in(folder: Path, **fields: Any) -> Operations:
    return Operations(Shelf(folder, Operation), **fields)


def begun(number: int, **fields: Any) -> Operation:
    return Operation(f"{REF.parent}/operations/{number:04d}", SERVICE, REF.name, AT, {}, **fields)


async def test_of_finished_operations_the_newest_are_kept(tmp_path: Path) -> None:
    operations = kept_in(tmp_path, kept=3)
    pending = operations.begin(begun(0))
    for number in range(1, 8):
        operations.finish(operations.begin(begun(number)).name)
    operations.begin(begun(8))
    assert [o.name[-1] for o in operations.under(REF.parent)] == ["0", "5", "6", "7", "8"]
    assert operations.get(pending.name) == pending


async def test_waiting_ends_with_the_operation_or_with_ones_patience(tmp_path: Path) -> None:
    operations = kept_in(tmp_path)
    name = operations.begin(begun(1)).name
    assert not (await operations.wait(name, 0.0)).is_done
    waiting = asyncio.create_task(operations.wait(name, 20))
    await asyncio.sleep(0)
    operations.finish(name, error=("INTERNAL", "why"))
    assert (await waiting).error == ("INTERNAL", "why")
    operations.finish(name)
    assert operations.get(name).error == ("INTERNAL", "why")


async def test_waiting_for_an_operation_that_is_deleted_meanwhile_is_not_found(tmp_path: Path) -> None:
    operations = kept_in(tmp_path)
    name = operations.begin(begun(1)).name
    waiting = asyncio.create_task(operations.wait(name, 20))
    await asyncio.sleep(0)
    operations.delete(name)
    with pytest.raises(Refused, match="does not exist"):
        await waiting
    operations.finish(name)
