"""The log source on the local Cloud Run's log service."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.cloud.logging_v2.types import ListLogEntriesRequest

from pipeline.budget import Bucket, Quota
from pipeline.cloudrun import logs as source_module
from pipeline.cloudrun.log_filter import entry_filter
from pipeline.cloudrun.logs import LoggingSource
from pipeline.errors import AccessError, PlatformUnavailable, RequestRejected
from pipeline.local.api import entries
from pipeline.local.entries.filter import compile_filter
from pipeline.local.entries.store import LogStore
from pipeline.model import LogLine, ServiceRef
from pipeline.rpc.logs import Logs
from tests.contract.cloud import LoopThread
from tests.fakes import START

REF = ServiceRef("local", "here", "chat")
A, B = "chat-a", "chat-b"


class Logging:
    """A log service whose clock the test sets; it counts the searches, and can be told to refuse them."""

    channel: grpc.Channel

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.monotonic = 0.0
        self.asked: list[str] = []  # the filters
        self.answers = 0  # entries sent
        self.fault: grpc.StatusCode | None = None
        self.store = LogStore(folder, now_ns=lambda: int(self.now.timestamp() * 1e9))

    def say(self, text: str, revision: str = A, *, ref: ServiceRef = REF, stream: str = "stdout") -> None:
        self.store.line(ref.name, revision, stream, text)

    def event(self, revision: str = A, *, at: datetime | None = None, **fields: Any) -> None:
        """A telemetry line; ``at`` is its own time, which may lie far before its arrival."""
        moment = (at or self.now).isoformat()
        self.say(json.dumps({"spillway": 2, "event": "ws_accept", "time": moment, **fields}), revision)

    def source(self, **options: Any) -> LoggingSource:
        return LoggingSource(
            Logs(self.channel), now=lambda: self.now, monotonic=lambda: self.monotonic,
            **{"overlap": timedelta(seconds=1), "longest": timedelta(minutes=1), "rest": timedelta(0), **options},
        )  # fmt: skip

    def pass_time(self, **time: float) -> None:
        self.now += timedelta(**time)
        self.monotonic += timedelta(**time).total_seconds()


@pytest.fixture(scope="module")
def loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture
def logging(tmp_path: Path, loop: LoopThread) -> Iterator[Logging]:
    made = Logging(tmp_path)
    server, port = loop.run(_serve(made))
    with grpc.insecure_channel(f"127.0.0.1:{port}") as made.channel:
        yield made
    loop.run(server.stop(grace=None))
    made.store.close()


async def _serve(logging: Logging) -> tuple[grpc.aio.Server, int]:
    class Watch(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, details: grpc.HandlerCallDetails) -> Any:
            handler = await continuation(details)

            async def answer(request: bytes, context: Any) -> Any:
                logging.asked.append(ListLogEntriesRequest.deserialize(request).filter)
                if logging.fault:
                    await context.abort(logging.fault, "as the test wants")
                found = await handler.unary_unary(request, context)
                logging.answers += len(found.entries)
                return found

            return grpc.unary_unary_rpc_method_handler(
                answer, handler.request_deserializer, handler.response_serializer
            )

    server = grpc.aio.server(interceptors=[Watch()])
    server.add_generic_rpc_handlers(entries.handlers(logging.store))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


def read(source: LoggingSource, since: datetime = START, revisions: Sequence[str] = (A, B)) -> list[LogLine]:
    return list(source.lines(REF, since=since, revisions=revisions))


def sessions(lines: Sequence[LogLine]) -> list[object]:
    return [line.payload["session"] for line in lines]


def test_what_a_telemetry_line_becomes(logging: Logging) -> None:
    logging.event(session="s", at=START, severity="INFO", seconds=0.25, nested={"a": [1, None, True]})
    (line,) = read(logging.source())
    assert (line.at, line.revision, line.severity, line.text) == (START, A, "INFO", "")
    assert line.insert_id
    assert line.payload["spillway"] == 2
    assert line.payload["nested"] == {"a": [1, None, True]}
    assert line.payload["seconds"] == 0.25


def test_only_what_evidence_can_use(logging: Logging) -> None:
    traceback = "TypeError: Object of type WebSocketState is not JSON serializable"
    logging.event(session="ours")
    logging.event(B, session="stable's", spillway=1)
    logging.say(traceback, stream="stderr")
    logging.say(json.dumps({"message": traceback, "severity": "ERROR"}))
    logging.say("INFO: 127.0.0.1 connected")
    logging.say(json.dumps({"message": "connected"}))
    logging.event("chat-c", session="another revision")
    logging.say(json.dumps({"spillway": 1}), ref=ServiceRef("local", "here", "other"))
    logging.say(json.dumps({"spillway": 1}), ref=ServiceRef("local", "there", "chat"))
    found = read(logging.source())
    assert [line.payload.get("session") for line in found] == ["ours", "stable's", None, None]
    assert found[2].text == traceback
    assert (found[3].payload["message"], found[3].severity) == (traceback, "ERROR")


def test_since_is_of_the_lines_own_time_and_closed(logging: Logging) -> None:
    for second in range(4):
        logging.event(session=second, at=START + timedelta(seconds=second))
    assert sessions(read(logging.source(), START + timedelta(seconds=2))) == [2, 3]


def test_oldest_first_over_many_pages(logging: Logging) -> None:
    count = 2 * source_module._PAGE + 10
    for number in range(count):
        logging.event(session=number, at=START + timedelta(milliseconds=count - number))
    assert sessions(read(logging.source())) == list(range(count))[::-1]
    assert len(logging.asked) == 3


def test_a_second_read_costs_what_is_new(logging: Logging) -> None:
    source = logging.source()
    for _ in range(50):
        for _ in range(20):
            logging.event(session="s")
        logging.pass_time(seconds=5)
        read(source)
    assert len(read(source)) == 1000
    assert logging.answers < 5 * 1000, "each line about twice, and some more by the sweeps"


def test_a_line_that_search_finds_late_is_found_by_a_sweep(logging: Logging) -> None:
    """It was received in between, but no search showed it for half a minute."""
    source = logging.source()
    logging.event(session="first")
    read(source)
    for _ in range(30):
        logging.pass_time(seconds=1)
        logging.event(session="other")
        read(source)
    now, logging.now = logging.now, START + timedelta(seconds=2)
    logging.event(session="late")
    logging.now = now
    assert "late" not in sessions(read(source))
    logging.pass_time(seconds=30)
    assert "late" in sessions(read(source))


def test_a_line_that_comes_an_hour_late_is_seen_in_its_place(logging: Logging) -> None:
    source = logging.source()
    logging.event(session="first")
    logging.pass_time(seconds=10)
    logging.event(session="third")
    read(source)
    logging.pass_time(hours=1)
    logging.event(session="second", at=START + timedelta(seconds=5))
    assert sessions(read(source)) == ["first", "second", "third"]


def test_no_line_is_seen_twice(logging: Logging) -> None:
    source = logging.source(overlap=timedelta(hours=1), longest=timedelta(hours=1))
    for number in range(3):
        logging.event(session=number)
        logging.pass_time(seconds=1)
        read(source)
    assert sessions(read(source)) == [0, 1, 2]


def test_a_later_since_shows_less_and_an_earlier_one_reads_again(logging: Logging) -> None:
    source = logging.source()
    for second in range(4):
        logging.event(session=second, at=START + timedelta(seconds=second))
    assert sessions(read(source, START + timedelta(seconds=2))) == [2, 3]
    assert sessions(read(source, START + timedelta(seconds=3))) == [3]
    assert sessions(read(source, START)) == [0, 1, 2, 3]


def test_other_revisions_are_another_question(logging: Logging) -> None:
    source = logging.source()
    logging.event(A, session="a")
    logging.event(B, session="b")
    assert sessions(read(source, revisions=[A])) == ["a"]
    assert sessions(read(source, revisions=[B])) == ["b"]
    assert sessions(read(source, revisions=[B, A])) == ["a", "b"]


def test_a_clock_that_went_back_hides_nothing(logging: Logging) -> None:
    source = logging.source()
    logging.event(session="before")
    read(source)
    logging.now -= timedelta(hours=1)
    logging.event(session="after", at=START + timedelta(seconds=1))
    assert sessions(read(source)) == ["before", "after"]


def test_it_rests_between_searches(logging: Logging) -> None:
    source = logging.source(rest=timedelta(seconds=2))
    logging.event(session="one")
    for _ in range(8):
        read(source)
        logging.pass_time(seconds=0.25)
    assert len(logging.asked) == 1
    logging.event(session="two")
    assert sessions(read(source)) == ["one", "two"]


def test_memory_is_bounded(logging: Logging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "_KEPT", 10)
    source = logging.source()
    for second in range(20):
        logging.event(session=second, at=START + timedelta(seconds=second))
    assert len(read(source)) == 20
    assert len(read(source, START + timedelta(seconds=15))) == 5
    (seen,) = source._seen.values()
    assert len(seen.lines) == len(seen.ids) == 5
    assert len(read(source)) == 20, "what was forgotten is read again when it is asked for"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (grpc.StatusCode.UNAVAILABLE, PlatformUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, PlatformUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, PlatformUnavailable),
        (grpc.StatusCode.PERMISSION_DENIED, AccessError),
        (grpc.StatusCode.INVALID_ARGUMENT, RequestRejected),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_could_not_be_read_is_never_empty(
    logging: Logging, code: grpc.StatusCode, told: type[Exception]
) -> None:
    source = logging.source()
    logging.event(session="one")
    read(source)
    logging.fault = code
    with pytest.raises(told):
        read(source)
    with pytest.raises(told):
        read(source, revisions=[A])
    logging.fault = None
    logging.event(session="two")
    assert sessions(read(source)) == ["one", "two"]


def test_names_cannot_break_out_of_the_filter() -> None:
    text = entry_filter(ServiceRef("p", "l", 'a" OR severity>=DEFAULT OR "'), ['b\\"'], START)
    compiled = compile_filter(text)
    assert compiled.bounds.since_ns == int(START.timestamp() * 1e9)
    assert text.count(" AND ") == 8


def test_times_are_told_in_utc() -> None:
    berlin = START.astimezone(tz=None).astimezone(UTC)
    assert 'timestamp>="2026-01-01T12:00:00Z"' in entry_filter(REF, [A], berlin)


def test_pages_end_where_they_should_and_nothing_of_them_is_kept(
    logging: Logging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_PAGE", 2)
    for n in range(7):
        logging.event(session=str(n), at=START + timedelta(seconds=n))
    source = logging.source()
    pages = [
        sessions(page)
        for page in source.pages(
            REF, since=START + timedelta(seconds=1), until=START + timedelta(seconds=5), revisions=(A,)
        )
    ]
    assert pages == [["1", "2"], ["3", "4"], ["5"]]
    assert not source._seen
    logging.fault = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(PlatformUnavailable):
        next(source.pages(REF, since=START, until=START, revisions=(A,)))


# --- the project's quota


def test_a_search_that_uses_the_quota_up_goes_on_where_it_was(
    logging: Logging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_PAGE", 10)
    for number in range(45):
        logging.event(session=number)
    source = logging.source(quota=Bucket(2, 60))
    for _ in range(3):
        with pytest.raises(PlatformUnavailable, match="as often as one process may") as told:
            read(source)
        assert told.value.retry_after_s == pytest.approx(1.0)
        logging.pass_time(seconds=1)
    assert sessions(read(source)) == list(range(45))
    assert len(logging.asked) == 5  # each page once


def test_a_search_that_was_cut_off_serves_no_earlier_question(
    logging: Logging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_PAGE", 2)
    for second in range(6):
        logging.event(session=second, at=START + timedelta(seconds=second))
    source = logging.source(quota=Bucket(1, 60))
    with pytest.raises(PlatformUnavailable):
        read(source, START + timedelta(seconds=2))
    logging.pass_time(minutes=1)
    for _ in range(2):
        with pytest.raises(PlatformUnavailable):
            read(source, START)
        logging.pass_time(minutes=1)
    assert sessions(read(source, START)) == list(range(6))


def test_a_report_waits_for_the_quota(logging: Logging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_module, "_PAGE", 10)
    for number in range(45):
        logging.event(session=number)
    source = logging.source(quota=Bucket(2, 60), sleep=lambda seconds: logging.pass_time(seconds=seconds))
    pages = source.pages(REF, since=START, until=START + timedelta(hours=1), revisions=(A, B))
    assert sum(len(page) for page in pages) == 45
    assert logging.monotonic == pytest.approx(3.0)  # for three of the five pages


def test_a_process_takes_at_most_half_of_the_projects_quota(logging: Logging) -> None:
    """Two who read (the driver, and the picture beside it), looking each second."""
    quota, at = Bucket.of(Quota.LOGS), list[float]()
    both = [logging.source(quota=quota, rest=timedelta(seconds=5)) for _ in range(2)]
    for _ in range(600):
        for source in both:
            before = len(logging.asked)
            try:
                read(source)
            except PlatformUnavailable:
                continue
            at += [logging.monotonic] * (len(logging.asked) - before)
        logging.pass_time(seconds=1)
    assert max(sum(start <= moment < start + 60 for moment in at) for start in at) <= 30
    assert len(at) == 240  # both were served all the while


def say_as_platform(logging: Logging) -> None:
    """What the platform writes of one instance, wanted and not."""
    for text in (
        "Starting new instance. Reason: AUTOSCALING - Instance started due to no existing capacity.",
        "Container called exit(0).",
        "Container terminated on signal 9.",
        "Memory limit of 512 MiB exceeded with 530 MiB used.",
        "STARTUP TCP probe succeeded after 1 attempt.",
    ):
        logging.store.system(REF.name, A, text, "ERROR", "i1")


def ask(logging: Logging, status: int, *, url: str = "http://chat/ws", agent: str = "a browser") -> None:
    fields = {
        "requestMethod": "GET", "requestUrl": url, "status": status, "responseSize": 0, "userAgent": agent,
        "remoteIp": "203.0.113.7", "latency": 2.5,
    }  # fmt: skip
    logging.store.request(REF.name, A, fields, instance="i1")


def test_the_platforms_words_are_found_and_bear_their_instance(logging: Logging) -> None:
    say_as_platform(logging)
    logging.say("Container called exit(1).")  # a service may print what it likes
    found = read(logging.source())
    assert [line.text.split(".")[0] for line in found] == [
        "Starting new instance", "Container called exit(0)", "Container terminated on signal 9",
        "Memory limit of 512 MiB exceeded with 530 MiB used",
    ]  # fmt: skip
    assert {(line.log, line.instance) for line in found} == {("varlog/system", "i1")}


def test_of_the_request_log_only_sockets_and_refusals_of_users(logging: Logging) -> None:
    for status in (101, 200, 204, 301, 404, 429, 500, 503):
        ask(logging, status)
    ask(logging, 503, agent="spillway-probe")
    ask(logging, 101, url="https://candidate---chat-1234.a.run.app/ws")
    ask(logging, 101, url="https://stable---chat-1234.a.run.app/ws")
    found = read(logging.source())
    assert [line.request.status for line in found if line.request] == [101, 429, 500, 503]
    assert all((line.log, line.instance) == ("requests", "i1") for line in found)
    request = found[0].request
    assert request is not None
    assert (request.seconds, request.client) == (2.5, "203.0.113.7")


def test_a_request_is_found_by_its_end_though_it_bears_the_time_of_its_beginning(logging: Logging) -> None:
    """As Cloud Logging has it; the local one dates it by its end, which is the same moment here."""
    source = logging.source(longest_request=timedelta(minutes=61))
    began = START - timedelta(minutes=40)
    text = entry_filter(REF, [A], START, longest_request=timedelta(minutes=61))
    logging.store._add(
        REF.name, A, "requests", at_ns=int(began.timestamp() * 1e9),
        request={"requestMethod": "GET", "requestUrl": "/ws", "status": 101, "responseSize": 0, "userAgent": "",
                 "remoteIp": "", "latency": 2400.0},
    )  # fmt: skip
    logging.event(session="old", at=began)
    assert compile_filter(text).bounds.since_ns == int((START - timedelta(minutes=61)).timestamp() * 1e9)
    found = [line for line in read(source) if line.request]
    assert [line.at for line in found] == [START]
    assert not [line for line in read(logging.source()) if line.request]
