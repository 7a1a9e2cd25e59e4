"""The unmodified Logging v2 clients against the local Cloud Run: list, pages, tail, and what is refused."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.logging_v2.services.logging_service_v2 import (
    LoggingServiceV2AsyncClient,
    LoggingServiceV2Client,
)
from google.cloud.logging_v2.services.logging_service_v2.transports import (
    LoggingServiceV2GrpcAsyncIOTransport,
    LoggingServiceV2GrpcTransport,
)
from google.cloud.logging_v2.types import ListLogEntriesRequest, LogEntry, TailLogEntriesRequest
from google.logging.type import log_severity_pb2

from pipeline.local.api.entries import handlers
from pipeline.local.entries import store as logstore
from pipeline.local.entries.filter import compile_filter
from pipeline.local.entries.store import LogStore
from pipeline.local.read_logs import LogReader, select
from tests.contract.cloud import LoopThread

CHAT = "projects/p/locations/here/services/chat"
OTHER = "projects/other/locations/here/services/chat"
START_NS = 1_900_000_000_000_000_000


class Logs:
    """A server with an empty store. Writing goes through its loop, as the data plane's does."""

    def __init__(self, folder: Path) -> None:
        self.loop = LoopThread()
        self.now_ns = START_NS
        self.store = LogStore(folder, now_ns=self._tick)
        self.server, self.address = self.loop.run(self._serve())
        self.channel = grpc.insecure_channel(self.address)
        self.client = LoggingServiceV2Client(transport=LoggingServiceV2GrpcTransport(channel=self.channel))

    def _tick(self) -> int:
        self.now_ns += 1_000_000
        return self.now_ns

    async def _serve(self) -> tuple[grpc.aio.Server, str]:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(handlers(self.store))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, f"127.0.0.1:{port}"

    def write(
        self, *lines: object, service: str = CHAT, revision: str = "chat-one", stream: str = "stdout"
    ) -> None:
        async def write() -> None:
            for line in lines:
                self.store.line(
                    service, revision, stream, line if isinstance(line, str) else json.dumps(line)
                )

        self.loop.run(write())

    def request(self, **fields: object) -> None:
        async def write() -> None:
            self.store.request(CHAT, "chat-one", {**REQUEST, **fields}, "projects/p/traces/t")

        self.loop.run(write())

    def list(self, wanted: str = "", **fields: object) -> list[LogEntry]:
        asked = {"resource_names": ["projects/p"], "filter": wanted, **fields}
        return list(self.client.list_log_entries(ListLogEntriesRequest(asked)))

    def texts(self, wanted: str = "", **fields: object) -> list[str]:
        return [entry.text_payload for entry in self.list(wanted, **fields)]

    def close(self) -> None:
        self.channel.close()
        self.loop.run(self.server.stop(None))
        self.loop.close()
        self.store.close()


REQUEST = {
    "requestMethod": "GET", "requestUrl": "http://127.0.0.1:1/ws", "status": 101, "responseSize": 12,
    "userAgent": "probe", "remoteIp": "203.0.113.9", "latency": 2.5,
}  # fmt: skip


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    made = Logs(tmp_path)
    yield made
    made.close()


def test_an_entry_is_a_log_entry_of_a_cloud_run_revision(logs: Logs) -> None:
    logs.write({"severity": "ERROR", "message": "boom", "n": 3, "deep": {"list": [1, "a", None]}})
    (entry,) = logs.list()
    assert entry.log_name == "projects/p/logs/run.googleapis.com%2Fstdout"
    assert entry.resource.type == "cloud_run_revision"
    assert dict(entry.resource.labels) == {
        "project_id": "p", "location": "here", "service_name": "chat",
        "revision_name": "chat-one", "configuration_name": "chat",
    }  # fmt: skip
    assert entry.severity == log_severity_pb2.ERROR
    assert dict(entry.json_payload) == {"message": "boom", "n": 3.0, "deep": {"list": [1.0, "a", None]}}
    assert entry.timestamp == datetime.fromtimestamp((START_NS + 2_000_000) / 1e9, tz=UTC)
    assert entry.insert_id


def test_a_request_entry_carries_an_http_request(logs: Logs) -> None:
    logs.request()
    (entry,) = logs.list('logName:"run.googleapis.com%2Frequests"')
    assert (entry.http_request.status, entry.http_request.request_method) == (101, "GET")
    assert entry.http_request.latency.ToTimedelta() == timedelta(seconds=2.5)
    assert entry.http_request.response_size == 12
    assert entry.http_request.remote_ip == "203.0.113.9"
    assert entry.trace == "projects/p/traces/t"


def test_a_project_sees_its_own_entries_alone(logs: Logs) -> None:
    logs.write("ours")
    logs.write("theirs", service=OTHER)
    assert logs.texts() == ["ours"]
    both = logs.list(resource_names=["projects/p", "projects/other"])
    assert [entry.text_payload for entry in both] == ["ours", "theirs"]


@pytest.mark.parametrize("order", ["", "timestamp asc", "timestamp desc"])
def test_pages_show_every_entry_once_and_in_order(logs: Logs, order: str) -> None:
    logs.write(*(str(number) for number in range(25)))
    pages = list(
        logs.client.list_log_entries(
            ListLogEntriesRequest(resource_names=["projects/p"], order_by=order, page_size=10)
        ).pages
    )
    found = [int(entry.text_payload) for page in pages for entry in page.entries]
    assert [len(page.entries) for page in pages] == [10, 10, 5]
    assert found == sorted(range(25), reverse=order.endswith("desc"))


def test_entries_that_come_meanwhile_change_no_page(logs: Logs) -> None:
    logs.write("0", "1", "2")
    request = ListLogEntriesRequest(resource_names=["projects/p"], order_by="timestamp desc", page_size=2)
    pages = logs.client.list_log_entries(request).pages
    first = next(pages)
    logs.write("3", "4")
    second = next(pages)
    assert [e.text_payload for e in (*first.entries, *second.entries)] == ["2", "1", "0"]


def test_a_page_is_cut_before_it_is_too_large(logs: Logs) -> None:
    logs.write(*("x" * 250_000 for _ in range(50)))
    with grpc.insecure_channel(logs.address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        client = LoggingServiceV2Client(transport=LoggingServiceV2GrpcTransport(channel=channel))
        request = ListLogEntriesRequest(resource_names=["projects/p"], page_size=1000)
        sizes = [len(page.entries) for page in client.list_log_entries(request).pages]
    assert sum(sizes) == 50
    assert max(sizes) * 250_000 < 9 * 1024 * 1024


@pytest.mark.parametrize(
    "fields",
    [
        {"resource_names": []},
        {"resource_names": ["organizations/1"]},
        {"resource_names": ["projects/p/x"]},
        {"order_by": "severity"},
        {"page_size": 1001},
        {"page_size": -1},
        {"page_token": "nonsense"},
        {"filter": "severity>="},
        {"filter": "nonsense.field=1"},
    ],
)
def test_what_cannot_be_meant_is_refused(logs: Logs, fields: dict[str, object]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        logs.list(**fields)


def test_a_token_belongs_to_its_question(logs: Logs) -> None:
    logs.write("a", "b")
    first = next(
        logs.client.list_log_entries(ListLogEntriesRequest(resource_names=["projects/p"], page_size=1)).pages
    )
    with pytest.raises(exceptions.InvalidArgument, match="page_token"):
        logs.list('textPayload="a"', page_token=first.next_page_token)


def test_a_deep_payload_poisons_no_list(logs: Logs) -> None:
    for depth in (20, 25, 26, 60, 200, 900):
        logs.write('{"a":' * depth + "1" + "}" * depth)
    logs.write("after")
    found = logs.list()
    assert found[-1].text_payload == "after"
    assert [bool(entry.json_payload) for entry in found] == [True, True, False, False, False, False, False]


def test_methods_that_are_not_offered_say_their_name(logs: Logs) -> None:
    with pytest.raises(exceptions.MethodNotImplemented, match="DeleteLog"):
        logs.client.delete_log(log_name="projects/p/logs/x")
    with pytest.raises(exceptions.MethodNotImplemented, match="WriteLogEntries"):
        logs.client.write_log_entries(entries=[])


def test_a_tail_shows_what_comes_and_nothing_older(logs: Logs) -> None:
    logs.write("before")
    over = threading.Event()

    def ask() -> Iterator[TailLogEntriesRequest]:
        yield TailLogEntriesRequest(
            resource_names=["projects/p"], filter='textPayload:"shown"', buffer_window=timedelta(0)
        )
        over.wait()

    call = logs.client.transport.tail_log_entries(ask())
    call.initial_metadata()
    logs.write("shown 1", "hidden", "shown 2")
    logs.write("shown elsewhere", service=OTHER)
    found: list[str] = []
    for answer in call:
        found += [entry.text_payload for entry in answer.entries]
        if len(found) == 2:
            break
    over.set()
    call.cancel()
    assert found == ["shown 1", "shown 2"]


def test_a_tail_of_the_asynchronous_client(logs: Logs) -> None:
    async def follow() -> list[str]:
        async with grpc.aio.insecure_channel(logs.address) as channel:
            client = LoggingServiceV2AsyncClient(
                transport=LoggingServiceV2GrpcAsyncIOTransport(channel=channel)
            )
            over = asyncio.Event()

            async def ask() -> AsyncIterator[TailLogEntriesRequest]:
                yield TailLogEntriesRequest(resource_names=["projects/p"], buffer_window=timedelta(0))
                await over.wait()

            call = await client.tail_log_entries(ask())
            await call.initial_metadata()
            logs.store.line(CHAT, "chat-one", "stdout", "now")
            async for answer in call:
                over.set()
                call.cancel()
                return [entry.text_payload for entry in answer.entries]
            return []

    assert logs.loop.run(follow()) == ["now"]


@pytest.mark.parametrize(
    "fields", [{"resource_names": []}, {"filter": "="}, {"buffer_window": timedelta(seconds=61)}]
)
def test_a_tail_that_cannot_be_meant_is_refused(logs: Logs, fields: dict[str, object]) -> None:
    request = TailLogEntriesRequest({"resource_names": ["projects/p"], **fields})
    with pytest.raises(exceptions.InvalidArgument):
        list(logs.client.tail_log_entries(iter([request])))


def test_the_reader_of_the_command_line_shows_the_newest(logs: Logs) -> None:
    logs.write(*(str(number) for number in range(30)))
    logs.write("of another", revision="chat-two")
    reader = LogReader(logs.channel, "p")
    assert [entry["textPayload"] for entry in reader.last(3, select("chat", "chat-one"))] == [
        "27",
        "28",
        "29",
    ]
    assert [
        entry["textPayload"] for entry in reader.last(3, select(None, "chat-two", "severity>=DEFAULT"))
    ] == ["of another"]
    assert reader.last(0, "") == []


def test_the_reader_of_the_command_line_follows_until_it_is_stopped(logs: Logs) -> None:
    reader, stopped = LogReader(logs.channel, "p"), threading.Event()
    with reader.tail("", stopped) as arriving:
        logs.write("one", "two")
        assert [next(arriving)["textPayload"] for _ in range(2)] == ["one", "two"]
        stopped.set()
        assert list(arriving) == []


def test_a_question_with_a_hole_is_refused_and_not_answered_with_silence(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logstore, "MAX_ENTRIES", 100)
    logs.write(*(f"line {number}" for number in range(150)))
    since = datetime.fromtimestamp(START_NS / 1e9, UTC).isoformat()
    with pytest.raises(exceptions.ResourceExhausted, match="not kept any more"):
        logs.list(f'timestamp>="{since}"')
    assert logs.texts()[-1] == "line 149"
    later = logs.list()[0].timestamp.isoformat()
    assert logs.texts(f'timestamp>"{later}"')[-1] == "line 149"


def test_a_filter_is_compiled_once(logs: Logs) -> None:
    text = 'textPayload:"never asked before"'
    before = compile_filter.cache_info().misses
    for _ in range(5):
        assert logs.list(text) == []
    assert compile_filter.cache_info().misses == before + 1
