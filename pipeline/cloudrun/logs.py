"""Log entries of revisions as ``ports.LogSource``, over Google's own messages and a channel (``rpc/logs.py``).

Only what evidence can use is asked for: telemetry lines, lines that match an error pattern, what the platform says of
containers that started or ended, and of the request log what was refused and the WebSockets that ended: a service with
much plain HTTP has a thousand times as many requests. Our own conversations are left out. Entries come late and out of
order, so nothing is concluded from timestamps: after the first read, what Logging *received* since the last
read (less an overlap, since what was received can be searched a little later) is read and merged by insert id. Now and
then the overlap is a long one, for what took longer. A day's soak then costs what is new, and a line that arrives an
hour late is still seen.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Struct, field

from pipeline.budget import Bucket, Quota
from pipeline.cloudrun.faults import translated
from pipeline.cloudrun.log_filter import Asked, entry_filter, in_questions, quoted, rfc3339, shared_filter
from pipeline.errors import PlatformUnavailable
from pipeline.model import SYSTEM_LOG, LogLine, Request, ServiceRef
from pipeline.rpc.logs import API, Logs, logging_v2

_PAGE = 1000
_CALL_TIMEOUT_S = 30.0
_AT_ONCE = timedelta(seconds=1)  # with room for a clock that is set a little
_LONGEST_REQUEST = timedelta(minutes=61)  # Cloud Run's own limit is an hour, and a WebSocket is a request
_A_DAY_S = 86_400.0
_KEPT = 200_000  # lines; older ones than asked for are forgotten beyond this
_SEVERITIES = {
    0: "DEFAULT", 100: "DEBUG", 200: "INFO", 300: "NOTICE", 400: "WARNING",
    500: "ERROR", 600: "CRITICAL", 700: "ALERT", 800: "EMERGENCY",
}  # fmt: skip

_LAST = logging_v2.ListLogEntriesResponse.pb()()  # where a token promised a page, and none came
_QUOTA = Bucket.of(Quota.LOGS)  # of the process; Cloud Logging's is the project's
_LOCK = Lock()  # of any bucket: the probes' job is read by a thread of its own

Key = tuple[ServiceRef, tuple[str, ...]]
Label = tuple[str, str, str]  # location, service, revision


class _Seen(Struct):
    """All matching lines with timestamp >= ``floor`` that Logging had received by ``received``."""

    floor: datetime
    lines: list[LogLine] = field(default_factory=list)  # by timestamp
    ids: set[tuple[datetime, str]] = field(default_factory=set)
    received: datetime | None = None
    read_at: float = float("-inf")
    swept_at: float = float("-inf")  # when the overlap was a long one

    def since(self, moment: datetime) -> list[LogLine]:
        return self.lines[bisect_left(self.lines, moment, key=_time_of) :]

    def merge(self, found: Iterable[LogLine]) -> None:
        fresh = [line for line in found if (line.at, line.insert_id) not in self.ids]
        if fresh:
            self.ids.update((line.at, line.insert_id) for line in fresh)
            place = bisect_left(self.lines, min(map(_time_of, fresh)), key=_time_of)
            self.lines[place:] = sorted(
                [*self.lines[place:], *fresh], key=_time_of
            )  # the rest stays as it is

    def forget_before(self, moment: datetime) -> None:
        gone = bisect_left(self.lines, moment, key=_time_of)
        self.ids -= {(line.at, line.insert_id) for line in self.lines[:gone]}
        del self.lines[:gone]
        self.floor = max(self.floor, moment)


class _Reading(Struct):
    """One search, as far as it has come: what is left of it is read later when the quota is used up midway.

    Args:
        seen: what it goes on from, of each who asked.
    """

    seen: Mapping[Key, _Seen]
    started: float
    sweeps: bool
    pages: Iterator[Any]
    received: datetime | None
    found: dict[Key, list[LogLine]] = {}
    _whose: Mapping[Label, Key] = {}

    def __post_init__(self) -> None:
        self.found = {key: [] for key in self.seen}
        self._whose = {
            (ref.location, ref.service, name): (ref, names) for ref, names in self.seen for name in names
        }

    def take(self, entries: Iterable[Any]) -> None:
        for entry in entries:
            line, at, labels = _line(entry), _time(entry.receive_timestamp), entry.resource.labels
            key = self._whose.get((labels["location"], labels["service_name"], labels["revision_name"]))
            if line is not None and key is not None:
                self.found[key].append(line)
            if at is not None:
                self.received = at if self.received is None else max(self.received, at)

    def end(self) -> None:
        """All pages are there: what was found belongs to what was seen before."""
        for key, seen in self.seen.items():
            seen.merge(self.found[key])
            seen.received, seen.read_at = self.received, self.started
            seen.swept_at = self.started if self.sweeps else seen.swept_at


class LoggingSource:
    """Cloud Logging.

    Args:
        overlap: how long after it was received an entry usually takes to be found by a search; ``longest``: at most.
        longest_request: an entry of the request log bears the time at which its request began, and comes when it ended.
        rest: at most one search per service in this time; in between, the answer is as old as the last one. Cloud
            Logging grants a project 60 searches a minute, pages included.
        quota: None: as many as one likes. A look that finds it used up is told so (it is no answer); a report waits.
    """

    def __init__(
        self,
        client: Logs,
        *,
        overlap: timedelta,
        longest: timedelta,
        rest: timedelta,
        longest_request: timedelta = timedelta(0),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        quota: Bucket | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._client = client
        self._overlap = overlap
        self._longest = longest
        self._longest_request = longest_request
        self._rest_s = rest.total_seconds()
        self._now = now
        self._monotonic = monotonic
        self._quota = quota
        self._sleep = sleep
        self._seen: dict[Key, _Seen] = {}
        self._together: dict[Key, tuple[Key, ...]] = {}
        self._unfinished: dict[tuple[Key, ...], _Reading] = {}

    @classmethod
    def over(cls, channel: grpc.Channel, *, rest: timedelta = timedelta(0)) -> LoggingSource:
        """Through a channel of one's own: the local Cloud Run, which finds what it received at once."""
        return cls(Logs(channel), overlap=_AT_ONCE, longest=_AT_ONCE, rest=rest)

    @classmethod
    def cloud(cls, *, quota: Bucket | None = None) -> LoggingSource:
        """With the default credentials of the environment. Args: quota: None: the process's."""
        with translated("connect to Cloud Logging"):
            client = Logs(API.channel())
        return cls(
            client, overlap=timedelta(seconds=5), longest=timedelta(minutes=1), rest=timedelta(seconds=5),
            longest_request=_LONGEST_REQUEST, quota=quota or _QUOTA,
        )  # fmt: skip

    def together(self, asked: Iterable[Asked]) -> None:
        """From now on one search reads for all of these, whoever of them asks, or as few as hold them.

        Who asks for earlier lines, or other revisions, than were told here has a search of his own.
        """
        groups = [*in_questions(asked, longest_request=self._longest_request)]
        for group in groups:
            keys = tuple((each.ref, each.revisions) for each in group)
            self._seen |= {key: _Seen(each.since) for key, each in zip(keys, group, strict=True)}
            self._together |= dict.fromkeys(keys, keys)
        if self._quota:
            self._rest_s = max(self._rest_s, len(groups) * 60 / self._quota.per_minute)

    def lines(self, ref: ServiceRef, *, since: datetime, revisions: Iterable[str]) -> Sequence[LogLine]:
        key = (ref, tuple(sorted(set(revisions))))
        seen = self._seen.get(key)
        if seen is None or since < seen.floor:
            seen = _Seen(floor=since)
            self._together.pop(key, None)
        if self._monotonic() - seen.read_at >= self._rest_s:
            keys = self._together.get(key, (key,))
            read = self._read({each: seen if each == key else self._seen[each] for each in keys})
            self._seen |= read  # only once it is whole
            seen = read[key]
        found = seen.since(since)
        if len(seen.lines) > _KEPT:
            seen.forget_before(since)
        return found

    def pages(
        self, ref: ServiceRef, *, since: datetime, until: datetime, revisions: Iterable[str]
    ) -> Iterator[Sequence[LogLine]]:
        text = entry_filter(ref, sorted(set(revisions)), since, longest_request=self._longest_request)
        text += f" AND timestamp<={quoted(rfc3339(until))}"
        with translated(f"read the logs of {ref.service}"):
            for page in self._all(self._pages(ref.project, text)):
                yield [line for entry in page.entries if (line := _line(entry)) is not None]

    def payloads(self, project: str, text: str) -> Iterator[Mapping[str, Any]]:
        """JSON payloads of all entries that a filter finds. Waits for the quota; raises what the client does."""
        for page in self._all(self._pages(project, text)):
            yield from (line.payload for entry in page.entries if (line := _line(entry)) is not None)

    def _all(
        self, pages: Iterator[Any], keep: tuple[tuple[Key, ...], _Reading] | None = None
    ) -> Iterator[Any]:
        """All pages of a search. Waits for the quota, unless what was read so far can be kept: see ``_page``."""
        while True:
            page = self._page(pages, keep)
            yield page
            if not page.next_page_token:
                return

    def _read(self, asked: Mapping[Key, _Seen]) -> Mapping[Key, _Seen]:
        """What is new, merged into what was seen; or what was left of an earlier search that still serves."""
        keys = tuple(asked)
        reading = self._unfinished.pop(keys, None)
        if reading is None or any(seen.floor < reading.seen[key].floor for key, seen in asked.items()):
            reading = self._begin(asked)
        whose = keys[0][0].service if len(keys) == 1 else f"{len(keys)} services"
        with translated(f"read the logs of {whose}"):
            for page in self._all(reading.pages, keep=(keys, reading)):
                reading.take(page.entries)
        reading.end()
        return reading.seen

    def _begin(self, asked: Mapping[Key, _Seen]) -> _Reading:
        started = self._monotonic()
        (ref, names), seen = next(iter(asked.items()))
        # One of them may have been read alone since: what the others lack begins where the first of all stopped.
        sweeps = started - min(each.swept_at for each in asked.values()) >= self._longest.total_seconds()
        known = [each.received for each in asked.values() if each.received is not None]
        received = min(known) if len(known) == len(asked) else None
        since_received = None
        if received is not None:
            # Twice: what is received right after one sweep and found as late as can be is in the next.
            overlap = 2 * self._longest if sweeps else self._overlap
            # Never after now: a clock that went backwards would hide what comes until it has caught up.
            since_received = min(received, self._now()) - overlap
        longest = self._longest_request
        if len(asked) == 1:
            text = entry_filter(ref, names, seen.floor, since_received, longest_request=longest)
        else:
            every = [Asked(of, revisions, each.floor) for (of, revisions), each in asked.items()]
            text = shared_filter(every, since_received, longest_request=longest)
        return _Reading(asked, started, sweeps, self._pages(ref.project, text), received)

    def _page(self, pages: Iterator[Any], keep: tuple[tuple[Key, ...], _Reading] | None) -> Any:
        """The next page; its token says whether it is the last. Raises PlatformUnavailable when the quota is used up."""
        if (quota := self._quota) is None:
            return next(pages, _LAST)
        with _LOCK:
            seconds = quota.wait(self._monotonic())
        if seconds and keep is None:
            self._sleep(seconds)
        elif seconds and keep is not None:
            self._unfinished[keep[0]] = keep[1]
            raise PlatformUnavailable(
                "the logs were asked as often as one process may",
                f"{quota.burst + quota.per_minute:g} searches a minute, of the project's {Quota.LOGS.of_project}; "
                "what was found so far is kept.",
                retry_after_s=seconds,
            )
        with _LOCK:
            quota.count(self._monotonic())
        return next(pages, _LAST)

    def _pages(self, project: str, text: str) -> Iterator[Any]:
        request = logging_v2.ListLogEntriesRequest(
            resource_names=[f"projects/{project}"], filter=text, order_by="timestamp asc", page_size=_PAGE
        )
        # No retry in the client: it would hold up the engine for a minute, which can do without one look.
        pager = self._client.list_log_entries(request=request, retry=None, timeout=_CALL_TIMEOUT_S)
        for page in pager.pages:
            yield logging_v2.ListLogEntriesResponse.pb(page)  # the wrappers cost ten times as much


def _time_of(line: LogLine) -> datetime:
    return line.at


def _time(value: Timestamp) -> datetime | None:
    """None for what no calendar has."""
    try:
        return value.ToDatetime(UTC)
    except (ValueError, OverflowError):
        return None


def _line(entry: Any) -> LogLine | None:
    """None for an entry that is broken: without a time, or with a payload that is not JSON."""
    at = _time(entry.timestamp)
    try:
        payload = json_format.MessageToDict(entry.json_payload) if entry.HasField("json_payload") else {}
    except (ValueError, json_format.Error):
        return None
    if at is None:
        return None
    request = _request(entry)
    return LogLine(
        insert_id=entry.insert_id,
        at=at if request is None else _ended(entry, at, request),
        revision=entry.resource.labels["revision_name"],
        severity=_SEVERITIES.get(entry.severity, "DEFAULT"),
        text=entry.text_payload,
        payload=payload,
        instance=entry.labels.get("instanceId", ""),
        log=entry.log_name.rpartition("%2F")[2] if "varlog" not in entry.log_name else SYSTEM_LOG,
        request=request,
    )


def _request(entry: Any) -> Request | None:
    if not entry.HasField("http_request"):
        return None
    seen = entry.http_request
    return Request(seen.status, seen.latency.seconds + seen.latency.nanos / 1e9, seen.remote_ip)


def _ended(entry: Any, at: datetime, request: Request) -> datetime:
    """When a request ended. Its entry may be dated by its beginning: then it was received a request's length later."""
    received = _time(entry.receive_timestamp)
    end = at + timedelta(seconds=request.seconds) if 0 <= request.seconds < _A_DAY_S else at
    return end if received is not None and received >= end else at
