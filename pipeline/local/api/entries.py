"""LoggingServiceV2 over gRPC, for the unmodified Logging v2 clients: list and tail.

Source: google.logging.v2.LoggingServiceV2; methods that are not offered answer UNIMPLEMENTED and say their name.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any
from zlib import crc32

import grpc
from google.api import monitored_resource_pb2
from google.cloud.logging_v2.types import LogEntry, logging
from google.logging.type import http_request_pb2
from msgspec import Struct

from pipeline.local.api.answering import Context, message, not_offered, seconds, told, unary
from pipeline.local.control.state import Refused, invalid
from pipeline.local.entries.entry import SEVERITIES, Entry
from pipeline.local.entries.filter import Filter, FilterError, compile_filter
from pipeline.local.entries.index import Bounds
from pipeline.local.entries.store import LogStore
from pipeline.local.tasks import Turn

_SERVICE = "google.logging.v2.LoggingServiceV2"
_NOT_OFFERED = ("DeleteLog", "WriteLogEntries", "ListMonitoredResourceDescriptors", "ListLogs")
_DEFAULT_PAGE, _MAX_PAGE = 50, 1000
_MAX_PAGE_BYTES = 8 * 1024 * 1024
_DEFAULT_WINDOW_S, _MAX_WINDOW_S = 2.0, 60.0
_POLL_S = 0.05
_NOT_CONSUMED = 2  # TailLogEntriesResponse.SuppressionInfo.Reason

Key = tuple[int, str]  # of an entry: time in nanoseconds, insert id
_Entry: Any = LogEntry.pb()  # the message class itself: proto-plus would cost ten times as much
_Answer = logging.ListLogEntriesResponse


def handlers(store: LogStore) -> tuple[grpc.GenericRpcHandler, ...]:
    """Everything to add to a ``grpc.aio`` server."""

    async def list_(request: logging.ListLogEntriesRequest, _: Context) -> Any:
        return await answer_list(store, request)

    async def tail(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        async with told(context):
            asked = message(logging.TailLogEntriesRequest.deserialize, await anext(aiter(requests), b""))
            async for answer in _tail(store, asked, context):
                yield answer

    offered = {
        "ListLogEntries": unary(
            list_, logging.ListLogEntriesRequest.deserialize, _Answer.pb().SerializeToString
        ),
        "TailLogEntries": grpc.stream_stream_rpc_method_handler(
            tail,
            None,
            logging.TailLogEntriesResponse.pb().SerializeToString,
        ),
    }
    refused = {name: not_offered(f"{_SERVICE}/{name}") for name in _NOT_OFFERED}
    return (grpc.method_handlers_generic_handler(_SERVICE, {**offered, **refused}),)


class _Question(Struct, frozen=True):
    """What is asked for: projects, filter, direction."""

    projects: tuple[str, ...]
    filter: Filter
    newest_first: bool = False

    def matches(self, entry: Entry) -> bool:
        return entry.log.startswith(self.projects) and self.filter.matches(entry)


def _question(resource_names: Iterable[str], text: str, order: str = "") -> _Question:
    names = tuple(resource_names)
    if not names or not all(name.startswith("projects/") and name.count("/") == 1 for name in names):
        raise invalid(
            "resource_names: at least one of the form projects/PROJECT is needed, and no other form."
        )
    if order not in ("", "timestamp asc", "timestamp desc"):
        raise invalid(f"order_by: '{order}' is neither 'timestamp asc' nor 'timestamp desc'.")
    try:
        wanted = compile_filter(text)
    except FilterError as error:
        raise invalid(str(error)) from error
    return _Question(tuple(f"{name}/" for name in names), wanted, order == "timestamp desc")


async def answer_list(store: LogStore, request: logging.ListLogEntriesRequest) -> Any:
    """One page. A page token names the last entry that was shown, so that later ones change no page."""
    asked = _question(request.resource_names, request.filter, request.order_by)
    if not 0 <= request.page_size <= _MAX_PAGE:
        raise invalid(f"page_size: {request.page_size} is not between 0 and {_MAX_PAGE}.")
    limit = request.page_size or _DEFAULT_PAGE
    mark = crc32("\n".join((*request.resource_names, request.filter, request.order_by)).encode())
    after = _read_token(request.page_token, mark) if request.page_token else None
    turn = Turn()
    found = await _select(store, asked, after, limit + 1, turn)
    answer, size = _Answer.pb()(), 0
    for number, entry in enumerate(found):
        if turn.is_over:
            await turn.pass_on()
        if number == limit or size > _MAX_PAGE_BYTES:
            last = json.dumps([mark, *found[number - 1].key]).encode()
            answer.next_page_token = base64.urlsafe_b64encode(last).decode()
            break
        answer.entries.append(as_message(entry))
        size += answer.entries[-1].ByteSize()
    return answer


async def _select(
    store: LogStore, asked: _Question, after: Key | None, limit: int, turn: Turn
) -> list[Entry]:
    """The first ``limit`` entries that match, beyond the one that ``after`` names.

    Raises: Refused when some of them may have been given up: an answer with a hole would pass for silence.
    """
    bounds = asked.filter.bounds
    if store.index.is_cut(bounds):
        raise Refused(
            "RESOURCE_EXHAUSTED",
            "The oldest of what is asked for is not kept any more: ask for a later time.",
        )
    if after:
        bounds &= Bounds(until_ns=after[0]) if asked.newest_first else Bounds(after[0])
    found = list[Entry]()
    for entry in store.index.within(bounds, newest_first=asked.newest_first):
        if turn.is_over:
            await turn.pass_on()
        is_old = after and (entry.key >= after if asked.newest_first else entry.key <= after)
        if not is_old and asked.matches(entry):
            found.append(entry)
            if len(found) == limit:
                break
    return found


async def _tail(
    store: LogStore, request: logging.TailLogEntriesRequest, context: Context
) -> AsyncIterator[Any]:
    """Matching entries as they arrive, held back ``buffer_window`` to be put in order.

    Its initial metadata says that it listens: what is written after that is not missed.
    """
    asked = _question(request.resource_names, request.filter)
    given = logging.TailLogEntriesRequest.pb(request)
    window = (
        seconds("buffer_window", given.buffer_window)
        if given.HasField("buffer_window")
        else _DEFAULT_WINDOW_S
    )
    if not 0 <= window <= _MAX_WINDOW_S:
        raise invalid(f"buffer_window: {window:g} s is not between 0 and {_MAX_WINDOW_S:g} s.")
    with store.tail() as tail:
        await context.send_initial_metadata(())
        while True:
            await asyncio.sleep(max(window, _POLL_S))
            entries, missed = tail.take()
            found = sorted(filter(asked.matches, entries), key=lambda e: e.key)
            answer = logging.TailLogEntriesResponse.pb()(entries=[as_message(entry) for entry in found])
            if missed:
                answer.suppression_info.add(reason=_NOT_CONSUMED, suppressed_count=missed)
            if found or missed:
                yield answer


def as_message(entry: Entry) -> Any:
    """A google.logging.v2.LogEntry."""
    shown = _Entry(
        log_name=entry.log,
        resource=monitored_resource_pb2.MonitoredResource(type=entry.resource_type, labels=entry.resource),
        severity=SEVERITIES[entry.severity],
        insert_id=entry.insert_id,
        labels=entry.labels,
        trace=entry.trace,
    )
    shown.timestamp.FromNanoseconds(entry.at_ns)
    shown.receive_timestamp.FromNanoseconds(entry.received_ns)
    if entry.payload is not None:
        shown.json_payload.update(entry.payload)
    elif entry.text is not None:
        shown.text_payload = entry.text
    if (fields := entry.request) is not None:
        shown.http_request.MergeFrom(http_request_pb2.HttpRequest(
            request_method=fields["requestMethod"],
            request_url=fields["requestUrl"],
            status=fields["status"],
            response_size=fields["responseSize"],
            user_agent=fields["userAgent"],
            remote_ip=fields["remoteIp"],
            protocol="HTTP/1.1",
        ))  # fmt: skip
        shown.http_request.latency.FromNanoseconds(int(fields["latency"] * 1e9))
    return shown


def _read_token(token: str, mark: int) -> Key:
    with suppress(ValueError, TypeError, OverflowError):
        given, at_ns, insert_id = json.loads(base64.urlsafe_b64decode(token))
        if given == mark:
            return int(at_ns), str(insert_id)
    raise invalid("page_token: not a token of this question; the other fields must stay the same.")
