"""The fields of an entry that a filter can name, by their path in LogEntry.

Source: google.logging.v2.LogEntry, google.logging.type.HttpRequest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pipeline.local.entries.entry import SEVERITIES, Entry

Field = Callable[[Entry], Iterable[Any]]  # the values at a path: none if it is missing, several for a list

_SEGMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^."]+)')
_PATH = re.compile(rf"(?:{_SEGMENT.pattern})(?:\.(?:{_SEGMENT.pattern}))*")
_SIMPLE: Mapping[str, Callable[[Entry], Any]] = {
    "resource.type": lambda entry: entry.resource_type,
    "logName": lambda entry: entry.log,
    "insertId": lambda entry: entry.insert_id,
    "textPayload": lambda entry: entry.text or "",
    "trace": lambda entry: entry.trace,
}
_TIMES: Mapping[str, Callable[[Entry], int]] = {
    "timestamp": lambda entry: entry.at_ns,
    "receiveTimestamp": lambda entry: entry.received_ns,
}
_REQUEST_DEFAULTS: Mapping[str, Any] = {
    "requestMethod": "", "requestUrl": "", "userAgent": "", "remoteIp": "", "status": 0, "responseSize": 0,
}  # fmt: skip


def timed(name: str) -> Callable[[Entry], int] | None:
    """The field's value in nanoseconds, if it is a time."""
    return _TIMES.get(name)


def severity_number(text: str) -> int | None:
    """The number of a severity's name, or the number itself."""
    return int(text) if text.isascii() and text.isdecimal() else SEVERITIES.get(text.upper())


def value_field(name: str) -> Field | None:
    """How to read a field; None if the entry has no such field."""
    if read := _SIMPLE.get(name):
        return lambda entry: (read(entry),)
    if not _PATH.fullmatch(name):
        return None
    path = [quoted.replace('\\"', '"') or bare for quoted, bare in _SEGMENT.findall(name)]
    if path[0] == "jsonPayload" and len(path) > 1:
        return lambda entry: _walk(entry.payload, path[1:])
    if path[:2] == ["resource", "labels"] and len(path) == 3:
        return lambda entry: _walk(entry.resource, path[2:])
    if path[0] == "labels" and len(path) > 1:
        return lambda entry: _walk(entry.labels, [".".join(path[1:])])  # flat; their names may have dots
    if path[0] == "httpRequest" and len(path) == 2 and path[1] in _REQUEST_DEFAULTS:
        return lambda entry: ((entry.request or _REQUEST_DEFAULTS).get(path[1], _REQUEST_DEFAULTS[path[1]]),)
    return None


def _walk(value: Any, path: list[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _walk(item, path)
    elif not path:
        yield value
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _walk(value[path[0]], path[1:])
