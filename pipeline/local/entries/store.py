"""Log entries as Cloud Logging makes them of a service's output, kept in memory and in the state folder.

A line that is one JSON object becomes jsonPayload, and its special keys become the entry's own fields; any other line
becomes textPayload.

Memory is bounded: a service keeps its newest 200,000 entries, or 128 MiB of them, whichever is less, and all services
together 192 MiB (bytes as JSON lines; in memory telemetry takes two and a half times as much). What is given up is told
in the server's log, and whoever asks for a time that lies there is refused and not answered with silence.

Source: https://cloud.google.com/run/docs/logging, https://cloud.google.com/logging/docs/structured-logging (special
fields).
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import msgspec
import structlog

from pipeline.local.entries.entry import SEVERITIES, Entry, json_object, moment
from pipeline.local.entries.file import LogFile
from pipeline.local.entries.index import LogIndex

MAX_ENTRIES = 200_000  # of a service
# of a service: a hundred conversations a second write 450 KB, and evidence looks back two minutes from where a look began
MAX_BYTES = 128 * 1024 * 1024
MAX_BYTES_OF_ALL = 192 * 1024 * 1024
MAX_LINE = 256 * 1024  # bytes; Cloud Logging's limit of one entry
_MAX_WAITING = 10_000  # entries that one tail may be behind
_SPECIAL = "logging.googleapis.com/"
Labels = Mapping[str, str]
NO_LABELS: Labels = MappingProxyType({})

log = structlog.get_logger(__name__)


class LogSink(Protocol):
    """Where the data plane writes. ``service`` is a resource name; ``instance`` is the one that it is of, if one is.

    A job's name may stand for a service's; it has no revisions, and ``labels`` say of which execution's task it is.
    """

    def line(
        self,
        service: str,
        revision: str,
        stream: str,
        text: str,
        container: str = "",
        instance: str = "",
        *,
        labels: Labels = NO_LABELS,
    ) -> None:
        """One line of ``stdout`` or ``stderr``, of the container of that name if it has one."""

    def request(
        self, service: str, revision: str, request: Mapping[str, Any], trace: str = "", instance: str = ""
    ) -> None:
        """One request that ended; the keys are HttpRequest's, latency in seconds."""

    def system(
        self,
        service: str,
        revision: str,
        text: str,
        severity: str = "INFO",
        instance: str = "",
        *,
        labels: Labels = NO_LABELS,
    ) -> None:
        """Something that the platform did."""


class Tail:
    """Entries as they arrive. ``missed`` counts those that came while too many waited."""

    def __init__(self) -> None:
        self.waiting: deque[Entry] = deque()
        self.size = 0  # bytes of what waits
        self.missed = 0

    def hear(self, entry: Entry, size: int) -> None:
        if len(self.waiting) < _MAX_WAITING and self.size + size <= MAX_BYTES:
            self.waiting.append(entry)
            self.size += size
        else:
            self.missed += 1

    def take(self) -> tuple[list[Entry], int]:
        """What came since the last time, and how many were missed."""
        taken, missed = list(self.waiting), self.missed
        self.waiting.clear()
        self.size = self.missed = 0
        return taken, missed


class LogStore:
    """The newest entries; see above. Implements ``LogSink``. Call from one thread."""

    def __init__(self, folder: Path, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._run = f"{now_ns():x}"
        self._count = itertools.count()
        self._tails: set[Tail] = set()
        self.index = LogIndex()
        self._file = LogFile(folder)
        for entry, size in self._file.entries():
            self.index.add(entry, size)
        if dropped := self._file.dropped_until:
            self.index.note_lost(dropped)

    def line(
        self,
        service: str,
        revision: str,
        stream: str,
        text: str,
        container: str = "",
        instance: str = "",
        *,
        labels: Labels = NO_LABELS,
    ) -> None:
        fields = json_object(text)
        ours = {**labels, **({"container_name": container} if container else {})}
        if fields is None:
            self._add(service, revision, stream, instance, text=text, labels=ours)
            return
        severity = str(fields.pop("severity", "DEFAULT")).upper()
        own = fields.pop(f"{_SPECIAL}labels", None)
        self._add(
            service,
            revision,
            stream,
            instance,
            at_ns=moment(fields),
            insert_id=str(fields.pop(f"{_SPECIAL}insertId", "")),
            severity=severity if severity in SEVERITIES else "DEFAULT",
            labels={
                **({str(k): str(v) for k, v in own.items()} if isinstance(own, dict) else {}),
                **ours,
            },
            trace=str(fields.pop(f"{_SPECIAL}trace", "")),
            payload=fields,
        )

    def request(
        self, service: str, revision: str, request: Mapping[str, Any], trace: str = "", instance: str = ""
    ) -> None:
        status = request["status"]
        severity = "ERROR" if status >= 500 else "WARNING" if status >= 400 else "INFO"
        self._add(service, revision, "requests", instance, severity=severity, request=request, trace=trace)

    def system(
        self,
        service: str,
        revision: str,
        text: str,
        severity: str = "INFO",
        instance: str = "",
        *,
        labels: Labels = NO_LABELS,
    ) -> None:
        self._add(service, revision, "varlog/system", instance, severity=severity, text=text, labels=labels)

    @contextmanager
    def tail(self) -> Iterator[Tail]:
        """Hear of each new entry inside."""
        tail = Tail()
        self._tails.add(tail)
        try:
            yield tail
        finally:
            self._tails.discard(tail)

    def close(self) -> None:
        self._file.close()

    def _add(
        self,
        service: str,
        revision: str,
        log: str,
        instance: str = "",
        *,
        at_ns: int | None = None,
        insert_id: str = "",
        labels: Labels = NO_LABELS,
        **rest: Any,
    ) -> None:
        # The label by which Cloud Run says of which instance an entry is.
        labels = {**labels, "instanceId": instance} if instance else dict(labels)
        name, resource = _origin(service, revision, log)
        now = self._now_ns()
        unique = insert_id or f"{self._run}{next(self._count):08x}"
        entry = Entry(now if at_ns is None else at_ns, unique, name, resource, now, labels=labels, **rest)
        line = msgspec.json.encode(entry, enc_hook=repr)
        whose = self.index.add(entry, len(line))
        if self.index.is_over(whose, MAX_ENTRIES, MAX_BYTES):
            self._give_up(whose)
        elif self.index.size > MAX_BYTES_OF_ALL:
            self._give_up(self.index.largest())
        for tail in self._tails:
            tail.hear(entry, len(line))
        self._file.write(line, entry.received_ns)

    def _give_up(self, whose: tuple[str, str, str]) -> None:
        count = self.index.shrink(whose)
        log.warning("the oldest log entries of a service were given up", service=whose[2], entries=count)


@lru_cache(maxsize=4096)
def _origin(service: str, revision: str, log: str) -> tuple[str, Mapping[str, str]]:
    """logName and resource labels; the same objects for each entry of a stream."""
    _, project, _, location, kind, name = service.split("/")
    place = {"project_id": project, "location": location}
    own = {"service_name": name, "revision_name": revision, "configuration_name": name}
    labels = {**place, **({"job_name": name} if kind == "jobs" else own)}
    return f"projects/{project}/logs/run.googleapis.com%2F{log.replace('/', '%2F')}", labels
