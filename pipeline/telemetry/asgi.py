"""ASGI middleware that tells, in structured log lines, what each WebSocket and each agent run came to.

    app = SpillwayTelemetry(app, starts=("execute_agent",), expects=("agent_started", "agent_completed"), within_s=10)

Standard library only: it runs inside other people's services, and nothing that goes wrong in here may reach them. One
line of JSON on stdout at accept, one per agent run when it is *decided* (all events sent, deadline passed, or the
socket ended first), one at close. An accept after which nobody asks for a run within the deadline gets a line too, so
that silence in the logs means one thing only: the service or its logger died.

Lines are enum-safe: what JSON cannot hold becomes its name or its repr. (Logging a plain ``Enum`` through
``json.dumps`` is the very bug that started all this.)

A request header ``X-Spillway-Probe`` that matches the revision's nonce marks the socket as a probe's: shown, and never
counted among users.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
import json
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
Write = Callable[[str], object]

FIVE_EVENTS = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")
PROBE_HEADER = b"x-spillway-probe"
_MAX_PARSED = 1 << 20
_SHUTDOWN_CODES = frozenset({1001, 1012})


def probe_key(nonce: str) -> str:
    """What a probe's ``X-Spillway-Probe`` header holds: shows knowledge of the nonce without telling it."""
    return hashlib.sha256(f"spillway probe {nonce}".encode()).hexdigest()[:32]


class SpillwayTelemetry:
    """Wraps an ASGI app; only its WebSockets are watched.

    Args:
        starts: values of ``type_field`` with which a client asks for a run.
        expects: values of ``type_field`` that the service sends during a run, all of them, in any order.
        within_s: seconds from the request to the last of them.
        write: takes one line; default: one write to stdout.
    """

    def __init__(
        self,
        app: App,
        *,
        starts: Iterable[str] = ("execute_agent",),
        expects: Iterable[str] = FIVE_EVENTS,
        within_s: float = 10.0,
        type_field: str = "type",
        write: Write | None = None,
        clock: Callable[[], float] = time.time,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.app = app
        self.starts = frozenset(starts)
        self.expects = tuple(expects)
        self.within_s = within_s
        self.type_field = type_field
        self.clock = clock
        self.service = environ.get("K_SERVICE", "")
        self.revision = environ.get("K_REVISION", "")
        self.nonce = environ.get("SPILLWAY_NONCE", "")
        self._write = write or _to_stdout

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope.get("type") != "websocket":
            await self.app(scope, receive, send)
            return
        watch = _Watch(self, scope)
        try:
            await self.app(scope, watch.receiving(receive), watch.sending(send))
        except BaseException:
            watch.ended(1006, "", "server")
            raise
        watch.ended(1006, "", "server")  # returned without closing; a no-op once a close was seen

    def line(self, values: Mapping[str, object]) -> None:
        """Write one line; whatever fails is told once on stderr and forgotten."""
        try:
            self._write(json.dumps(values, default=_plain, allow_nan=False))
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the service
            print(f"spillway telemetry: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201


@dataclass(slots=True)
class _Run:
    """An agent run that is not decided yet."""

    number: int
    started: float
    missing: list[str]
    first_event: float | None = None
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Watch:
    """One socket: sees every message pass and changes none."""

    telemetry: SpillwayTelemetry
    scope: MutableMapping[str, Any]
    session: str = field(default_factory=lambda: uuid.uuid4().hex)
    accepted: float | None = None
    runs: int = 0
    undecided: list[_Run] = field(default_factory=list)
    idle_timer: asyncio.TimerHandle | None = None
    is_over: bool = False
    shared: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        t = self.telemetry
        headers = dict(self.scope.get("headers") or ())
        self.shared = {
            "spillway": 1,
            "severity": "INFO",
            "session": self.session,
            "client": _client_hash(headers, self.scope.get("client"), t.service),
            "revision": t.revision,
            "nonce": t.nonce,
        }
        if headers.get(PROBE_HEADER, b"").decode("latin-1") == probe_key(t.nonce):
            self.shared["probe"] = True

    def receiving(self, receive: Receive) -> Receive:
        async def watched() -> Message:
            message = await receive()
            self._guarded(self._received, message)
            return message

        return watched

    def sending(self, send: Send) -> Send:
        async def watched(message: Message) -> None:
            await send(message)
            self._guarded(self._sent, message)

        return watched

    def _guarded(self, note: Callable[[Message], None], message: Message) -> None:
        try:
            note(message)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the service
            print(f"spillway telemetry: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201

    def _received(self, message: Message) -> None:
        if message["type"] == "websocket.disconnect":
            code = message.get("code") or 1005
            by = "lost" if code == 1006 else "server" if code in _SHUTDOWN_CODES else "client"
            self.ended(code, message.get("reason") or "", by)
        elif self._type_of(message) in self.telemetry.starts:
            self._start_run()

    def _sent(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            self._accept()
        elif message["type"] == "websocket.close":
            self.ended(message.get("code", 1000), message.get("reason") or "", "server")
        elif message["type"] == "websocket.send" and self.undecided:
            self._event(self._type_of(message))

    def _type_of(self, message: Message) -> object:
        """The value of the type field of a JSON object; None for anything else."""
        data = message.get("text") or message.get("bytes") or ""
        if len(data) > _MAX_PARSED or self.telemetry.type_field not in (
            data if isinstance(data, str) else str(data)
        ):
            return None
        try:
            parsed = json.loads(data)
        except (ValueError, RecursionError):
            return None
        kind = parsed.get(self.telemetry.type_field) if isinstance(parsed, dict) else None
        return kind if isinstance(kind, str) else None

    def _accept(self) -> None:
        self.accepted = self.telemetry.clock()
        self._line("ws_accept", path=self.scope.get("path", ""))
        loop = asyncio.get_running_loop()
        self.idle_timer = loop.call_later(self.telemetry.within_s, self._idle)

    def _idle(self) -> None:
        if not self.runs and not self.is_over:
            self._line(
                "agent_run", run=0, started=self.accepted, outcome="idle", missing=[], first_event_ms=None
            )

    def _start_run(self) -> None:
        self.runs += 1
        run = _Run(self.runs, self.telemetry.clock(), list(self.telemetry.expects))
        run.timer = asyncio.get_running_loop().call_later(
            self.telemetry.within_s, self._decide, run, "timeout"
        )
        self.undecided.append(run)

    def _event(self, kind: object) -> None:
        """Overlapping runs of one socket: an event belongs to the oldest run that still misses it."""
        run = next((r for r in self.undecided if kind in r.missing), None)
        if run is None:
            return
        if run.first_event is None:
            run.first_event = self.telemetry.clock()
        run.missing.remove(str(kind))
        if not run.missing:
            self._decide(run, "ok")

    def _decide(self, run: _Run, outcome: str) -> None:
        if run not in self.undecided:
            return
        self.undecided.remove(run)
        if run.timer is not None:
            run.timer.cancel()
        first = None if run.first_event is None else round((run.first_event - run.started) * 1000, 3)
        self._line(
            "agent_run",
            run=run.number,
            started=run.started,
            outcome=outcome,
            missing=run.missing,
            first_event_ms=first,
            total_ms=round((self.telemetry.clock() - run.started) * 1000, 3),
        )

    def ended(self, code: int, reason: str, closed_by: str) -> None:
        """The socket's end; the first one counts."""
        if self.is_over or self.accepted is None:
            return
        self.is_over = True
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        for run in list(self.undecided):
            self._decide(run, "closed")
        seconds = round(self.telemetry.clock() - self.accepted, 3)
        self._line("ws_close", code=code, reason=reason, closed_by=closed_by, seconds=seconds, runs=self.runs)

    def _line(self, event: str, **values: object) -> None:
        message = f"{event} {values.get('outcome', values.get('code', ''))}".strip()
        self.telemetry.line(
            {**self.shared, "message": message, "event": event, "at": self.telemetry.clock(), **values}
        )


def _client_hash(headers: Mapping[bytes, bytes], client: object, salt: str) -> str:
    """A hash of the client's address. Cloud Run appends it as the last entry of X-Forwarded-For."""
    forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1").rpartition(",")[2].strip()
    address = forwarded or (str(client[0]) if isinstance(client, tuple | list) and client else "")
    return hashlib.sha256(f"{salt}/{address}".encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    return value.name if isinstance(value, enum.Enum) else repr(value)


def _to_stdout(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
