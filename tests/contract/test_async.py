"""The asynchronous clients: every method that is offered, on one channel of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from google.api_core import exceptions
from google.cloud import run_v2
from google.longrunning import operations_pb2

from tests.contract.cloud import Cloud, short, target, waited

HAS_REST = False  # the client package has no asynchronous REST transport
T = TypeVar("T")


def case(
    cloud: Cloud, work: Callable[[run_v2.ServicesAsyncClient, run_v2.RevisionsAsyncClient], Awaitable[T]]
) -> T:
    """What an asynchronous case returns, run with both clients."""

    async def on_a_channel() -> T:
        async with cloud.aio_channel() as channel:
            return await work(cloud.aio_services(channel), cloud.aio_revisions(channel))

    return cloud.run(on_a_channel())


def test_create(cloud: Cloud) -> None:
    service_id = cloud.fresh_id()

    async def create(services: run_v2.ServicesAsyncClient, _: object) -> run_v2.Service:
        service = run_v2.Service(template=cloud.template())
        operation = await services.create_service(parent=cloud.parent, service=service, service_id=service_id)
        return await operation.result(timeout=300)

    made = case(cloud, create)
    assert short(made.name) == service_id
    assert cloud.get(made).uid == made.uid


def test_get_and_its_not_found(cloud: Cloud) -> None:
    service = cloud.create()

    async def get(services: run_v2.ServicesAsyncClient, _: object) -> run_v2.Service:
        with pytest.raises(exceptions.NotFound):
            await services.get_service(name=f"{service.name}x")
        return await services.get_service(name=service.name)

    assert case(cloud, get) == cloud.get(service)


def test_list_page_by_page(cloud: Cloud) -> None:
    made = {cloud.create().name for _ in range(3)}

    async def listed(services: run_v2.ServicesAsyncClient, _: object) -> set[str]:
        request = run_v2.ListServicesRequest(parent=cloud.parent, page_size=2)
        return {service.name async for service in await services.list_services(request=request)}

    assert made <= case(cloud, listed)


def test_update_and_its_conflict(cloud: Cloud) -> None:
    service = cloud.create()
    change = run_v2.Service(name=service.name, annotations={"a": "1"}, etag=service.etag)
    request = run_v2.UpdateServiceRequest(service=change, update_mask={"paths": ["annotations"]})

    async def update(services: run_v2.ServicesAsyncClient, _: object) -> run_v2.Service:
        operation = await services.update_service(request=request)
        with pytest.raises(exceptions.Conflict):
            await services.update_service(request=request)
        return await operation.result(timeout=300)

    assert case(cloud, update).annotations["a"] == "1"


def test_delete(cloud: Cloud) -> None:
    service = cloud.create()

    async def delete(services: run_v2.ServicesAsyncClient, _: object) -> operations_pb2.Operation:
        operation = await services.delete_service(name=service.name)
        request = operations_pb2.WaitOperationRequest(name=operation.operation.name)
        return waited(await services.wait_operation(request, timeout=60))

    assert case(cloud, delete).done
    with pytest.raises(exceptions.NotFound):
        cloud.get(service)


def test_revisions(cloud: Cloud) -> None:
    service = cloud.create(revision="one")
    one, two = f"{short(service.name)}-one", cloud.add_revision(service, "two")
    cloud.split(service, target(two, 100))

    async def look_and_delete(
        _: object, revisions: run_v2.RevisionsAsyncClient
    ) -> tuple[list[str], str, bool]:
        found = [short(r.name) async for r in await revisions.list_revisions(parent=service.name)]
        got = await revisions.get_revision(name=f"{service.name}/revisions/{one}")
        operation = await revisions.delete_revision(name=got.name)
        request = operations_pb2.WaitOperationRequest(name=operation.operation.name)
        done = waited(await revisions.wait_operation(request, timeout=60))
        return found, short(got.name), done.done

    assert case(cloud, look_and_delete) == ([two, one], one, True)
    assert [short(r.name) for r in cloud.revisions.list_revisions(parent=service.name)] == [two]


def test_operations(cloud: Cloud) -> None:
    name = cloud.start(cloud.fresh_id()).operation.name

    async def use(services: run_v2.ServicesAsyncClient, _: object) -> bool:
        await services.wait_operation(operations_pb2.WaitOperationRequest(name=name), timeout=60)
        got = await services.get_operation(operations_pb2.GetOperationRequest(name=name))
        listed = await services.list_operations(operations_pb2.ListOperationsRequest(name=cloud.parent))
        await services.delete_operation(operations_pb2.DeleteOperationRequest(name=name))
        with pytest.raises(exceptions.NotFound):
            await services.get_operation(operations_pb2.GetOperationRequest(name=name))
        return got.done and name in {operation.name for operation in listed.operations}

    assert case(cloud, use)
