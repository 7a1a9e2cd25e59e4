"""The text of a ``spillway.yaml``: what was seen as values, where it was seen as comments, and what was not seen said so."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from checks.service.facts import Handled
from pipeline.model import ServiceRef
from pipeline.scaffold import watchdog
from pipeline.scaffold.repository import Repository

SCHEMA_FILE = "spillway.schema.json"
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@-]*")
#: what YAML takes for the end of a line, or not at all
_NOT_SHOWN = re.compile(
    "[^\\x20-\\x7e\\xa0-\\u2027\\u202a-\\ud7ff\\ue000-\\ufefe\\uff00-\\ufffd\U00010000-\U0010ffff]"
)
#: words that YAML reads as something else
_OTHERWISE = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


class Answers(Struct, frozen=True):
    """What a person, or the live service, said beside what was seen; empty where nobody did.

    Args:
        live: the service in the cloud, by its full name; ``notes`` is what was seen of it.
        checks: lines for the section ``checks``.
    """

    service: str = ""
    path: str = ""
    send: str = ""
    expect: Sequence[str] = ()
    project: str = ""
    region: str = ""
    live: ServiceRef | None = None
    notes: Sequence[str] = field(default=())
    checks: Sequence[str] = field(default=())


def text(repo: Repository, said: Answers) -> str:
    """The whole file. It loads."""
    parts = [
        _head(repo, said), _environments(repo, said), _images(repo), _scenarios(repo, said), _stages(), _criteria(repo),
        _checks(said), _watchdog(),
    ]  # fmt: skip
    return "\n".join("\n".join(part) + "\n" for part in parts if part)


def _head(repo: Repository, said: Answers) -> list[str]:
    return [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        "# Written by `spillway init` from what this repository shows; every key: `spillway schema --markdown`.",
        f"service: {flow(name_of(repo, said))}",
    ]


def name_of(repo: Repository, said: Answers) -> str:
    return said.live.service if said.live else said.service or repo.name


def _environments(repo: Repository, said: Answers) -> list[str]:
    """Locally nobody but the probes talks to it; in the cloud users do, and are seen once the middleware is there."""
    rows = ["environments:", "  local: {endpoint: local, evidence: probes}    # spillway local up"]
    if said.live and not said.live.is_local:
        project, region = said.live.project, said.live.location
    else:
        project, region = said.project or repo.project, said.region or repo.region
    evidence = "" if repo.is_watched else ", evidence: probes"
    if project and region:
        rows += [f"  # {_one_line(note)}" for note in said.notes]
        rows += [f"  production: {{project: {flow(project)}, region: {flow(region)}{evidence}}}"]
    else:
        rows += [
            "  # Where it goes was not seen. Name it:",
            f"  # production: {{project: YOUR-PROJECT, region: us-central1{evidence}}}",
        ]
    if not repo.is_watched:
        rows += ["  # evidence: users judges by users' runs; it needs the telemetry's line in the service."]
    return rows


def _images(repo: Repository) -> list[str]:
    """For the local Cloud Run alone: what `--image app` starts there."""
    if not repo.command:
        return [
            "# How the service is started was not seen. For the local Cloud Run, name the command; it listens on $PORT:",
            "# images:",
            '#   app: {command: [sh, -c, "exec ./server --port $PORT"], directory: .}',
        ]
    seen = f", as {repo.dockerfile} starts it" if repo.dockerfile else ""
    return [
        f"images:    # of the local Cloud Run: a command on this machine{seen}",
        f"  app: {{command: {flow(list(repo.command))}, directory: {flow(repo.directory)}}}",
    ]


def _scenarios(repo: Repository, said: Answers) -> list[str]:
    rows = ["scenarios:    # conversations that a candidate must hold before any user reaches it"]
    path = said.path or repo.path
    if path and said.send and said.expect:
        message = {repo.service.type_field: said.send}
        return [
            *rows,
            *_conversation(said.send, path, message, [flow(_event(repo, each)) for each in said.expect]),
        ]
    if path and repo.starts:
        return [*rows, *_seen(repo, path, repo.starts)]
    address = path or "/ws"
    missing = "No message type and what is sent for it were seen" if path else "No WebSocket route was seen"
    return [
        *rows,
        f"  # {missing}, so only HTTP is asked. Write the conversation that users have:",
        "  # run:",
        f"  #   path: {flow(address)}",
        "  #   send: {type: start}",
        "  #   expect: [started, completed]",
        "  health:",
        "    http: [{path: /, status: 200}]",
    ]


def _seen(repo: Repository, path: str, start: Handled) -> list[str]:
    events = []
    for sent in start.sends:
        event = _event(repo, sent.type)
        fields = event if isinstance(event, dict) else {"type": event}
        events.append(flow({**fields, "repeats": True} if sent.repeats else event))
    comment = [f"    # {start.where}: {start.type}, and what is sent for it in any case"]
    others = [row.type for row in repo.service.handled if row.type != start.type]
    if others:
        comment.append(f"    # not held yet: {', '.join(others[:8])}")
    message = {repo.service.type_field: start.type, **start.fields}
    return _conversation(start.type, path, message, events, comment)


def _conversation(
    name: str, path: str, message: Mapping[str, Any], events: Sequence[str], comment: Sequence[str] = ()
) -> list[str]:
    return [
        f"  {re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'run'}:",
        *map(_one_line, comment),
        f"    path: {flow(path)}",
        f"    send: {flow(message)}",
        f"    expect: [{', '.join(events)}]",
        "    within: 10s",
    ]


def _event(repo: Repository, kind: str) -> str | dict[str, str]:
    return kind if repo.service.type_field == "type" else {repo.service.type_field: kind}


def _stages() -> list[str]:
    return [
        "stages:    # of new connections, and how long each share is watched; hold: true waits for `spillway promote`",
        "  # To see a good revision through on this machine in a minute, write soak: 5s everywhere.",
        "  - {percent: 0}",
        "  - {percent: 5, soak: 5m}",
        "  - {percent: 25, soak: 10m}",
        "  - {percent: 50, soak: 10m}",
        "  - {percent: 100, soak: 30m}",
    ]


def _criteria(repo: Repository) -> list[str]:
    rows = [
        "criteria:    # what users' runs are judged by, beside the stable revision",
        "  server_error_1011: {limit: 0.1%, certify: 1%}",
        "  agent_completed: {limit: 1%, certify: 1%}",
    ]
    return (
        rows
        if repo.is_watched
        else ["# With the telemetry's line in the service:", *(f"# {row}" for row in rows)]
    )


def _checks(said: Answers) -> list[str]:
    return (
        ["checks:    # of the source, before anything is deployed: spillway check", *said.checks]
        if said.checks
        else []
    )


def _watchdog() -> list[str]:
    return [
        f"# Who goes on with a rollout whose job has ended: a Cloud Run job on a schedule. Its image: {watchdog.FILE}",
        "# watchdog: {every: 1m, silent: 15m, image: IMAGE@sha256:..., service-account: ACCOUNT}",
    ]


def flow(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(str(key))}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _OTHERWISE:
        return value
    text = json.dumps(value, ensure_ascii=False)
    return _NOT_SHOWN.sub(lambda found: f"\\u{_sound(found[0]):04x}", text)


def _sound(character: str) -> int:
    """Its number; half of a pair is no character."""
    number = ord(character)
    return 0xFFFD if 0xD800 <= number <= 0xDFFF else number


def _one_line(text: str) -> str:
    """As it can stand in a comment: what a name of the source holds must not end the line."""
    return _NOT_SHOWN.sub("?", text)


def rules(repo: Repository) -> list[str]:
    """Lines for ``checks`` that fit what was seen."""
    start = repo.starts
    found = ["  json-safe-logs: {}"] if repo.is_python else []
    if start and start.table and start.table_at:
        requires = {start.type: start.member.rpartition(".")[2]}
        row = {"map": start.table, "in": start.table_at.path, "requires": requires}
        found.append(f"  event-map: [{flow(row)}]")
    return found
