"""Log entries of a local Cloud Run as plain values, read as anybody else reads them: through Logging v2."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import Any

import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.protobuf import json_format

from pipeline.errors import UserError
from pipeline.local.endpoint import Endpoint, no_answer
from pipeline.rpc.logs import Logs, logging_v2

_LARGEST_PAGE = 1000
#: What an answer of the server means for who asked, and what to do.
_REFUSED = {
    grpc.StatusCode.INVALID_ARGUMENT: (
        "the filter is not understood",
        "Try one like --filter 'severity>=ERROR'",
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (
        "the log does not reach back so far",
        "Leave the time out of --filter",
    ),
}


def select(service: str | None, revision: str | None, more: str = "") -> str:
    """The filter for entries of one service, one revision, or what a filter of one's own selects besides."""
    asked = {"service_name": service, "revision_name": revision}
    labels = [
        f"resource.labels.{label}={json.dumps(value, ensure_ascii=False)}"
        for label, value in asked.items()
        if value
    ]
    return " AND ".join([f"({more})", *labels] if more.strip() else labels)


class LogReader:
    """Made by ``open_reader``."""

    def __init__(self, channel: grpc.Channel, project: str) -> None:
        self._client = Logs(channel)
        self._names = [f"projects/{project}"]

    def last(self, count: int, wanted: str) -> list[dict[str, Any]]:
        """The newest so many that the filter selects, oldest first; each a LogEntry as proto JSON."""
        if count < 1:
            return []
        request = logging_v2.ListLogEntriesRequest(
            resource_names=self._names,
            filter=wanted,
            order_by="timestamp desc",
            page_size=min(count, _LARGEST_PAGE),
        )
        newest = islice(self._client.list_log_entries(request, timeout=30.0), count)
        return [_plain(entry) for entry in newest][::-1]

    @contextmanager
    def tail(self, wanted: str, stopped: threading.Event) -> Iterator[Iterator[dict[str, Any]]]:
        """Entries that arrive from now on, until the event is set. Nothing is missed between now and the first look."""
        request = logging_v2.TailLogEntriesRequest(
            resource_names=self._names, filter=wanted, buffer_window=timedelta(0)
        )
        over = threading.Event()

        def ask() -> Iterator[logging_v2.TailLogEntriesRequest]:
            yield request
            over.wait()  # the stream ends with its asking side

        call = self._client.tail_log_entries(ask())
        watcher = threading.Thread(target=_cancel_when, args=(stopped, over, call), daemon=True)
        watcher.start()
        try:
            call.initial_metadata()
            yield _arriving(call, stopped)
        finally:
            over.set()
            call.cancel()
            watcher.join()


@contextmanager
def open_reader(endpoint: Endpoint, project: str) -> Iterator[LogReader]:
    """A reader of one project's entries. Raises PlatformUnavailable, and UserError for a filter that is refused."""
    with endpoint.channel() as channel:
        try:
            yield LogReader(channel, project)
        except (GoogleAPICallError, grpc.RpcError) as error:
            raise _told(error) from error


def _cancel_when(stopped: threading.Event, over: threading.Event, call: Any) -> None:
    while not over.wait(0.1):
        if stopped.is_set():
            call.cancel()
            return


def _arriving(call: Any, stopped: threading.Event) -> Iterator[dict[str, Any]]:
    try:
        for answer in call:
            yield from map(_plain, answer.entries)
    except grpc.RpcError:
        if not stopped.is_set():
            raise


def _plain(entry: Any) -> dict[str, Any]:
    return dict(json_format.MessageToDict(type(entry).pb(entry)))


def _told(error: GoogleAPICallError | grpc.RpcError) -> Exception:
    if isinstance(error, GoogleAPICallError):
        status, said = error.grpc_status_code, error.message
    else:
        status, said = error.code(), error.details()
    if status not in _REFUSED:
        return no_answer(error)
    what, fix = _REFUSED[status]
    return UserError(what, str(said), fix)
