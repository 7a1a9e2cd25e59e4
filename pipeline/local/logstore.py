"""Log entries as Cloud Logging makes them of a service's output, kept in memory and in the state folder.

A line that is one JSON object becomes jsonPayload, and its special keys become the entry's own fields; any other line
becomes textPayload. Source: https://cloud.google.com/run/docs/logging,
https://cloud.google.com/logging/docs/structured-logging (special fields).
"""

from __future__ import annotations

import itertools
import json
import time
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn, Protocol

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic_core import to_json

from pipeline import private

#: LogSeverity by name. Source: google.logging.type.LogSeverity.
SEVERITIES = {
    "DEFAULT": 0, "DEBUG": 100, "INFO": 200, "NOTICE": 300, "WARNING": 400,
    "ERROR": 500, "CRITICAL": 600, "ALERT": 700, "EMERGENCY": 800,
}  # fmt: skip
MAX_ENTRIES = 200_000
MAX_LINE = 256 * 1024  # bytes; Cloud Logging's limit of one entry
_MAX_FILE = 16 * 1024 * 1024  # bytes; two of these are kept, and read at a restart
_MAX_WAITING = 10_000  # entries that one tail may be behind
_MAX_DIGITS = 300  # of an integer; in a jsonPayload every number is a double
_MAX_NESTING = 25  # of a jsonPayload; protobuf readers give up beyond some 30
_SPECIAL = "logging.googleapis.com/"


class LogSink(Protocol):
    """Where the data plane writes. ``service`` is a resource name."""

    def line(self, service: str, revision: str, stream: str, text: str) -> None:
        """One line of ``stdout`` or ``stderr``."""
        ...

    def request(self, service: str, revision: str, request: Mapping[str, Any], trace: str = "") -> None:
        """One request that ended; the keys are HttpRequest's, latency in seconds."""
        ...

    def system(self, service: str, revision: str, text: str, severity: str = "INFO") -> None:
        """Something that the platform did."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. Times in nanoseconds since the epoch; ``resource`` are its labels, ``log`` is the logName."""

    at_ns: int
    insert_id: str
    log: str
    resource: Mapping[str, str]
    received_ns: int
    severity: str = "DEFAULT"
    text: str | None = None
    payload: Mapping[str, Any] | None = None
    request: Mapping[str, Any] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    trace: str = ""

    @property
    def key(self) -> tuple[int, str]:
        """The order that clients see."""
        return self.at_ns, self.insert_id


class Tail:
    """Entries as they arrive. ``missed`` counts those that came while too many waited."""

    def __init__(self) -> None:
        self.waiting: deque[Entry] = deque()
        self.missed = 0

    def take(self) -> tuple[list[Entry], int]:
        """What came since the last time, and how many were missed."""
        taken, missed = list(self.waiting), self.missed
        self.waiting.clear()
        self.missed = 0
        return taken, missed


class LogStore:
    """The newest ``MAX_ENTRIES`` in order of time. Implements ``LogSink``. Call from one thread."""

    def __init__(self, folder: Path, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._file, self._older = folder / "logs.jsonl", folder / "logs.older.jsonl"
        self._now_ns = now_ns
        self._run = f"{now_ns():x}"
        self._count = itertools.count()
        self._tails: set[Tail] = set()
        self._entries = sorted((*_read(self._older), *_read(self._file)), key=lambda e: e.key)
        self._out = private.open_append(self._file)

    def line(self, service: str, revision: str, stream: str, text: str) -> None:
        fields = _json_object(text)
        if fields is None:
            self._add(service, revision, stream, text=text)
            return
        severity = str(fields.pop("severity", "DEFAULT")).upper()
        labels = fields.pop(f"{_SPECIAL}labels", None)
        self._add(
            service,
            revision,
            stream,
            at_ns=_moment(fields),
            insert_id=str(fields.pop(f"{_SPECIAL}insertId", "")),
            severity=severity if severity in SEVERITIES else "DEFAULT",
            labels={str(k): str(v) for k, v in labels.items()} if isinstance(labels, dict) else {},
            trace=str(fields.pop(f"{_SPECIAL}trace", "")),
            payload=fields,
        )

    def request(self, service: str, revision: str, request: Mapping[str, Any], trace: str = "") -> None:
        status = request["status"]
        severity = "ERROR" if status >= 500 else "WARNING" if status >= 400 else "INFO"
        self._add(service, revision, "requests", severity=severity, request=request, trace=trace)

    def system(self, service: str, revision: str, text: str, severity: str = "INFO") -> None:
        self._add(service, revision, "varlog/system", severity=severity, text=text)

    def between(self, since_ns: int, until_ns: int | None = None) -> Sequence[Entry]:
        """Entries with since <= time <= until, oldest first: a copy that later ones do not change."""
        first = bisect_left(self._entries, since_ns, key=lambda e: e.at_ns)
        last = None if until_ns is None else bisect_left(self._entries, until_ns + 1, key=lambda e: e.at_ns)
        return self._entries[first:last]

    def tail(self) -> Tail:
        """Hear of each new entry until ``untail``."""
        tail = Tail()
        self._tails.add(tail)
        return tail

    def untail(self, tail: Tail) -> None:
        self._tails.discard(tail)

    def close(self) -> None:
        self._out.close()

    def _add(
        self,
        service: str,
        revision: str,
        log: str,
        *,
        at_ns: int | None = None,
        insert_id: str = "",
        **rest: Any,
    ) -> None:
        name, resource = _origin(service, revision, log)
        now = self._now_ns()
        unique = insert_id or f"{self._run}{next(self._count):08x}"
        entry = Entry(now if at_ns is None else at_ns, unique, name, resource, now, **rest)
        if self._entries and entry.key < self._entries[-1].key:
            insort(self._entries, entry, key=lambda e: e.key)
        else:
            self._entries.append(entry)
        if len(self._entries) > MAX_ENTRIES:
            del self._entries[: MAX_ENTRIES // 20]
        for tail in self._tails:
            if len(tail.waiting) < _MAX_WAITING:
                tail.waiting.append(entry)
            else:
                tail.missed += 1
        self._keep(entry)

    def _keep(self, entry: Entry) -> None:
        with suppress(OSError):  # a full disk costs the copy, not the service
            # the line end comes first: what a kill cut off must not take the next entry with it
            self._out.write(b"\n" + to_json(entry, inf_nan_mode="null", fallback=repr))
            if self._out.tell() > _MAX_FILE:
                self._file.replace(self._older)
                fresh = private.open_append(self._file)
                self._out.close()
                self._out = fresh


@lru_cache(maxsize=4096)
def _origin(service: str, revision: str, log: str) -> tuple[str, Mapping[str, str]]:
    """logName and resource labels; the same objects for each entry of a stream."""
    _, project, _, location, _, name = service.split("/")
    labels = {
        "project_id": project,
        "location": location,
        "service_name": name,
        "revision_name": revision,
        "configuration_name": name,
    }
    return f"projects/{project}/logs/run.googleapis.com%2F{log.replace('/', '%2F')}", labels


def _json_object(text: str) -> dict[str, Any] | None:
    """The object that a line is, if it is one that every reader of the entry can take."""
    if not text.startswith("{"):
        return None
    try:
        parsed = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_finite_int)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(parsed, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) and _is_shallow(parsed, _MAX_NESTING) else None


def _is_shallow(value: object, left: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not inner or (left > 0 and all(_is_shallow(one, left - 1) for one in inner))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if isfinite(number) else _refuse(digits)


def _finite_int(digits: str) -> int:
    return int(digits) if len(digits) <= _MAX_DIGITS else _refuse(digits)


def _moment(fields: dict[str, Any]) -> int | None:
    """The ``time`` of a structured line, taken out of it if it is one."""
    moment = Timestamp()
    try:
        moment.FromJsonString(fields["time"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
    del fields["time"]
    return moment.ToNanoseconds()


def _read(file: Path) -> list[Entry]:
    entries = []
    if file.exists():
        for line in file.read_bytes().splitlines():
            with suppress(ValueError, TypeError):  # cut off by a kill
                entries.append(Entry(**json.loads(line)))
    return entries
