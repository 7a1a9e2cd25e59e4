"""What ``spillway local`` prints, as lines of plain text. Values of the API in, text out; no I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.redact import plain


def status_lines(seen: Mapping[str, Any]) -> Iterator[str]:
    """A local Cloud Run as ``daemon.status`` reports it: services, revisions, weights, instances, sockets."""
    yield f"{seen['address']}  process {seen['pid']}, since {seen['started'][:19].replace('T', ' ')} UTC"
    yield f"{seen['rest_address']}  the same API over HTTP and JSON"
    for name, why in seen.get("unsaved", {}).items():
        yield plain(f"NOT SAVED, served from memory: {name}: {why}")
    for alert in seen.get("alerts", ()):
        yield plain(alert_line(alert))
    for policy in seen.get("alerts_not_evaluated", ()):
        yield plain(silent_line(policy))
    if not seen["services"]:
        yield "no services yet"
    for service in seen["services"]:
        yield from _service(service, seen)


def alert_line(alert: Mapping[str, Any]) -> str:
    """An alert that fires: since when, for whom, and which policy."""
    whom = ", ".join(value for value in alert["labels"].values() if value)
    return f"ALERT since {alert['since'][11:19]}  {alert['title']}{f'  ({whom})' if whom else ''}"


def silent_line(policy: Mapping[str, Any], others: int = 0) -> str:
    """An alert policy that never fires, and why. Args: others: that are not told."""
    more = f"; {others} more: spillway local status" if others else ""
    return f"alert policy not evaluated: {policy['title'] or policy['policy']}: {policy['why']}{more}"


def entry_line(entry: Mapping[str, Any]) -> str:
    """One log entry: time, severity, revision, stream, text."""
    at, severity = entry["timestamp"][11:23].rstrip("Z"), entry.get("severity", "DEFAULT")[:7]
    revision = entry.get("resource", {}).get("labels", {}).get("revision_name", "-")
    stream = entry["logName"].rpartition("%2F")[2]
    return plain(f"{at:<12}  {severity:<7}  {revision}  {stream:<8}  {_text(entry)}")


def _service(service: Mapping[str, Any], seen: Mapping[str, Any]) -> Iterator[str]:
    state = "reconciling" if service["reconciling"] else "failed" if service["failure"] else "ready"
    yield ""
    yield plain(f"{service['name']}  {state}  generation {service['generation']}  {service['uri']}")
    for line in service["serving"]:
        if line["tag"]:
            yield plain(f"  tag {line['tag']:<10} {line['revision']}  {line['uri']}")
    for revision in reversed(service["revisions"]):
        yield from _revision(service, revision, seen)


def _revision(
    service: Mapping[str, Any], revision: Mapping[str, Any], seen: Mapping[str, Any]
) -> Iterator[str]:
    key = (service["name"], revision["name"])
    percent = sum(line["percent"] for line in service["serving"] if line["revision"] == revision["name"])
    pids = [str(pid) for row in _rows(seen["processes"], key) for pid in row["pids"]]
    listed = f" ({', '.join(pids)})" if pids else ""
    open_now = sum(row["count"] for row in _rows(seen["sockets"]["open"], key))
    yield plain(
        f"  {percent:3d}%  {revision['name']}  {revision['readiness']}  image {revision['image'].partition('@')[0]}  "
        f"{len(pids)} running{listed}  {open_now} sockets open"
    )
    closes = sorted((row["code"], row["count"]) for row in _rows(seen["sockets"]["closed"], key))
    if closes:
        yield "        closed: " + ", ".join(f"{code} x{count}" for code, count in closes)
    yield from (plain(f"        {line}") for line in revision["message"].splitlines())


def _rows(rows: list[Mapping[str, Any]], key: tuple[str, str]) -> list[Mapping[str, Any]]:
    return [row for row in rows if (row["service"], row["revision"]) == key]


def _text(entry: Mapping[str, Any]) -> str:
    if request := entry.get("httpRequest"):
        return (
            f"{request.get('requestMethod', '')} {request.get('requestUrl', '')} {request.get('status', 0)} "
            f"{request.get('latency', '0s')} {request.get('responseSize', 0)} bytes"
        )
    if "textPayload" in entry:
        return str(entry["textPayload"])
    payload = dict(entry.get("jsonPayload", {}))
    message = payload.pop("message", "")
    return " ".join(
        part for part in (str(message), json.dumps(payload, default=str) if payload else "") if part
    )
