"""What a gRPC caller hears for bytes that are no request, for requests that are too large, and for faults of ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from google.cloud import run_v2
from google.cloud.logging_v2.types import ListLogEntriesRequest, TailLogEntriesRequest
from google.longrunning import operations_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.local.api.answering import MAX_REQUEST, unary
from pipeline.local.assembly import LocalCloudRun, Settings
from pipeline.local.endpoint import Endpoint
from tests.contract.cloud import OUR_PARENT, LoopThread

TOKEN = "of-the-tests"
ADMIN = "/google.cloud.run.v2"
OPERATIONS = "/google.longrunning.Operations"
LOGS = "/google.logging.v2.LoggingServiceV2"
LIST_LOGS, TAIL = f"{LOGS}/ListLogEntries", f"{LOGS}/TailLogEntries"
METHODS = (
    *(f"{ADMIN}.Services/{verb}Service" for verb in ("Create", "Get", "Update", "Delete")),
    f"{ADMIN}.Services/ListServices",
    f"{ADMIN}.Revisions/GetRevision",
    f"{ADMIN}.Revisions/ListRevisions",
    f"{ADMIN}.Revisions/DeleteRevision",
    *(f"{OPERATIONS}/{verb}" for verb in ("GetOperation", "ListOperations", "WaitOperation", "DeleteOperation")),
    LIST_LOGS,
)  # fmt: skip
GARBAGE = (
    b"\xff",
    b"\x0a\xff\xff\xff\xff\x0f",
    b"\x0a\x02\xff\xfe",
    b"GET / HTTP/1.1\r\n\r\n",
    bytes(range(256)),
)
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    loop = LoopThread()
    run, address = loop.run(_start(tmp_path_factory.mktemp("local")))
    with Endpoint(0, address, TOKEN, datetime.now(UTC)).channel() as made:
        yield made
    loop.run(run.close())
    loop.close()


async def _start(folder: Path) -> tuple[LocalCloudRun, str]:
    run = LocalCloudRun(Settings(folder), TOKEN)
    return run, await run.start()


def refusal(channel: grpc.Channel, method: str, request: bytes) -> grpc.RpcError:
    refused = told(channel, method, request)
    assert refused is not None
    return refused


def told(channel: grpc.Channel, method: str, request: bytes) -> grpc.RpcError | None:
    """The error that a call ends with, if it does."""
    try:
        if method == TAIL:
            list(channel.stream_stream(method)(iter([request]), timeout=60))
        else:
            channel.unary_unary(method)(request, timeout=60)
    except grpc.RpcError as refused:
        return refused
    return None


@pytest.mark.parametrize("method", [*METHODS, TAIL])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_bytes_that_are_no_message_are_the_callers_fault(
    channel: grpc.Channel, method: str, garbage: bytes
) -> None:
    refused = refusal(channel, method, garbage)
    assert refused.code() is INVALID
    assert "Traceback" not in refused.details()
    assert "Error" not in refused.details()


def test_a_tail_without_a_request_is_the_callers_fault(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        list(channel.stream_stream(TAIL)(iter([]), timeout=60))
    assert refused.value.code() is INVALID


FAR = Duration(seconds=315_576_000_001)


@pytest.mark.parametrize(
    ("method", "request_bytes"),
    [
        (f"{OPERATIONS}/WaitOperation", operations_pb2.WaitOperationRequest(name="x", timeout=Duration(seconds=2**62)).SerializeToString()),
        (TAIL, TailLogEntriesRequest.pb(TailLogEntriesRequest(resource_names=["projects/p"])).SerializeToString() + b"\x1a\x0a\x08" + b"\xff" * 8 + b"\x7f"),
        (LIST_LOGS, ListLogEntriesRequest.serialize(ListLogEntriesRequest(resource_names=["projects/p"], page_token="W10="))),
        (LIST_LOGS, ListLogEntriesRequest.serialize(ListLogEntriesRequest(resource_names=["projects/p"], page_token="ü"))),
        (LIST_LOGS, ListLogEntriesRequest.serialize(ListLogEntriesRequest(resource_names=["projects/p"], page_size=-1))),
        (LIST_LOGS, ListLogEntriesRequest.serialize(ListLogEntriesRequest(resource_names=["projects/p"], filter='textPayload=~"["'))),
    ],
)  # fmt: skip
def test_values_that_mean_nothing_are_the_callers_fault(
    channel: grpc.Channel, method: str, request_bytes: bytes
) -> None:
    assert refusal(channel, method, request_bytes).code() is INVALID


@pytest.mark.parametrize("field", ["timeout", "create_time"])
def test_times_that_are_none_are_the_callers_fault(channel: grpc.Channel, field: str) -> None:
    service = run_v2.Service.pb(run_v2.Service(template=run_v2.RevisionTemplate(containers=[{"image": "x"}])))
    if field == "timeout":
        service.template.timeout.CopyFrom(FAR)
    else:
        service.create_time.CopyFrom(Timestamp(seconds=2**61))
    request = run_v2.CreateServiceRequest.pb()(parent=OUR_PARENT, service=service, service_id="chat")
    assert refusal(channel, f"{ADMIN}.Services/CreateService", request.SerializeToString()).code() is INVALID


@pytest.mark.parametrize("method", [*METHODS, TAIL, "/spillway.local.Status/Get"])
def test_a_request_of_120_mib_is_refused_unread(channel: grpc.Channel, method: str) -> None:
    refused = refusal(channel, method, bytes(120 * 1024 * 1024))
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(MAX_REQUEST) in refused.details()


def test_a_method_that_does_not_exist_is_unimplemented(channel: grpc.Channel) -> None:
    for method in (f"{ADMIN}.Services/Nonsense", "/no.such.Service/Method"):
        assert refusal(channel, method, b"\xff").code() is grpc.StatusCode.UNIMPLEMENTED


VALID = (
    run_v2.UpdateServiceRequest.serialize(run_v2.UpdateServiceRequest(
        service=run_v2.Service(
            name=f"{OUR_PARENT}/services/chat", etag='"x"', annotations={"a": "b"},
            template=run_v2.RevisionTemplate(revision="chat-one", containers=[run_v2.Container(image="good")]),
        ),
        update_mask={"paths": ["traffic", "template.revision"]}, allow_missing=True, validate_only=True,
    )),
    run_v2.ListRevisionsRequest.serialize(run_v2.ListRevisionsRequest(parent=f"{OUR_PARENT}/services/-", page_size=5)),
    ListLogEntriesRequest.serialize(
        ListLogEntriesRequest(resource_names=["projects/p"], filter="severity>=ERROR", page_size=9)
    ),
)  # fmt: skip


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(METHODS),
    st.sampled_from(VALID),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
    st.integers(0, 400),
)
def test_no_bytes_are_a_fault_of_ours(
    channel: grpc.Channel, method: str, valid: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    request = bytearray(valid if cut % 3 else valid[:cut])
    for place, value in changes:
        if request:
            request[place % len(request)] = value
    refused = told(channel, method, bytes(request))
    if refused is not None:
        assert refused.code() not in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL), request


def test_a_fault_of_ours_is_internal_and_tells_nothing() -> None:
    async def broken(_: bytes, __: object) -> bytes:
        raise ValueError("secret insides")

    loop = LoopThread()
    server, port = loop.run(_serve(unary(broken, bytes, bytes)))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as plain:
        refused = refusal(plain, "/a.Service/Method", b"")
    loop.run(server.stop(None))
    loop.close()
    assert refused.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in refused.details()


async def _serve(handler: grpc.RpcMethodHandler) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("a.Service", {"Method": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port
