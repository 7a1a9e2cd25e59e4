"""Operations: what a write answers at once, and what becomes of it."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import run_v2
from google.longrunning import operations_pb2
from google.protobuf.duration_pb2 import Duration

from tests.contract.cloud import Cloud, short, target, waited


def get(cloud: Cloud, name: str) -> operations_pb2.Operation:
    return cloud.services.get_operation(operations_pb2.GetOperationRequest(name=name))


def wait(cloud: Cloud, name: str, seconds: int = 240) -> operations_pb2.Operation:
    """In slices that the client's own time limit allows."""
    for _ in range(max(1, seconds // 5)):
        request = operations_pb2.WaitOperationRequest(name=name, timeout=Duration(seconds=5))
        found = waited(cloud.services.wait_operation(request, timeout=10))
        if found.done:
            break
    return found


def test_a_write_is_accepted_before_it_is_done(cloud: Cloud) -> None:
    operation = cloud.start(cloud.fresh_id()).operation
    assert not operation.done
    assert operation.WhichOneof("result") is None
    assert wait(cloud, operation.name).done


def test_an_accepted_write_is_reconciling(cloud: Cloud) -> None:
    operation = cloud.start(cloud.fresh_id())
    assert operation.metadata.reconciling
    assert operation.metadata.generation == 1
    assert not cloud.result(operation).reconciling


def test_a_finished_operation_carries_the_service(cloud: Cloud) -> None:
    service_id = cloud.fresh_id()
    name = cloud.start(service_id).operation.name
    wait(cloud, name)
    found = get(cloud, name)
    service = run_v2.Service.pb(run_v2.Service())
    assert found.response.Unpack(service)
    assert short(service.name) == service_id
    assert service.observed_generation == 1


def test_a_failed_operation_carries_a_code_and_the_reason(cloud: Cloud) -> None:
    name = cloud.start(cloud.fresh_id(), "never-listens").operation.name
    found = wait(cloud, name)
    assert found.WhichOneof("result") == "error"
    assert found.error.code != 0
    assert "not ready and cannot serve traffic" in found.error.message


def test_an_operation_that_is_not_there_is_not_found(cloud: Cloud) -> None:
    name = f"{cloud.parent}/operations/00000000-0000-0000-0000-000000000000"
    with pytest.raises(exceptions.NotFound):
        get(cloud, name)
    with pytest.raises(exceptions.NotFound):
        cloud.services.wait_operation(operations_pb2.WaitOperationRequest(name=name))


def test_operations_are_listed(cloud: Cloud) -> None:
    names = {cloud.start(cloud.fresh_id()).operation.name for _ in range(3)}
    for name in names:
        wait(cloud, name)
    request = operations_pb2.ListOperationsRequest(name=cloud.parent, page_size=100)
    found = cloud.services.list_operations(request)
    assert names <= {operation.name for operation in found.operations}


def test_operations_are_listed_page_by_page(cloud: Cloud) -> None:
    for _ in range(3):
        wait(cloud, cloud.start(cloud.fresh_id()).operation.name)
    first = cloud.services.list_operations(
        operations_pb2.ListOperationsRequest(name=cloud.parent, page_size=2)
    )
    second = cloud.services.list_operations(
        operations_pb2.ListOperationsRequest(name=cloud.parent, page_size=2, page_token=first.next_page_token)
    )
    assert (len(first.operations), bool(first.next_page_token)) == (2, True)
    assert second.operations
    assert not {o.name for o in first.operations} & {o.name for o in second.operations}


def test_a_deleted_operation_is_gone_and_its_work_goes_on(cloud: Cloud) -> None:
    service_id = cloud.fresh_id()
    name = cloud.start(service_id).operation.name
    wait(cloud, name)
    cloud.services.delete_operation(operations_pb2.DeleteOperationRequest(name=name))
    with pytest.raises(exceptions.NotFound):
        get(cloud, name)
    assert cloud.services.get_service(name=f"{cloud.parent}/services/{service_id}").latest_ready_revision


def test_a_validating_call_is_done_at_once_and_kept_nowhere(cloud: Cloud) -> None:
    service = run_v2.Service(template=cloud.template())
    request = run_v2.CreateServiceRequest(
        parent=cloud.parent, service=service, service_id=cloud.fresh_id(), validate_only=True
    )
    assert cloud.services.create_service(request=request).operation.done


def test_the_operation_of_a_deletion_says_when(cloud: Cloud) -> None:
    service = cloud.create()
    operation = cloud.services.delete_service(name=service.name)
    gone = cloud.result(operation)
    assert gone.name == service.name
    assert gone.delete_time > service.create_time


def test_the_operation_of_a_revisions_deletion_carries_a_revision(cloud: Cloud) -> None:
    service = cloud.create(revision="one")
    two = cloud.add_revision(service, "two")
    cloud.split(service, target(two, 100))
    operation = cloud.revisions.delete_revision(name=f"{service.name}/revisions/{short(service.name)}-one")
    gone = cloud.result(operation)
    assert isinstance(gone, run_v2.Revision)
    assert gone.delete_time > service.create_time


def test_a_second_write_ends_the_first_ones_operation_too(cloud: Cloud) -> None:
    service = cloud.create()
    first = cloud.put(run_v2.Service(name=service.name, annotations={"n": "1"}), "annotations")
    second = cloud.put(run_v2.Service(name=service.name, annotations={"n": "2"}), "annotations")
    assert cloud.result(second).annotations["n"] == "2"
    assert cloud.result(first).name == service.name
