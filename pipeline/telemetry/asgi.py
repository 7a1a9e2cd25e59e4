"""ASGI middleware that tells, in structured log lines, what each WebSocket and each agent run came to.

    app = SpillwayTelemetry(app, starts=("execute_agent",), expects=("agent_started", "agent_completed"), within_s=10)

Standard library only: it runs inside other people's services, and nothing that goes wrong in here may reach them. One
line of JSON on stdout at accept, one when an agent run is asked for, one when it is *decided* (all events sent, deadline
passed, or the socket ended first), one at close; one for a socket that the service failed to accept. An accept after which nobody asks
for a run within the deadline gets a line too, so that silence in the logs means one thing only: the service or its
logger died.

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
import math
import os
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.telemetry.lines import VERSION, Accepted, Closed, Line, Refused, Run, Started, to_payload

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
Write = Callable[[str], object]

FIVE_EVENTS = ("agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed")
PROBE_HEADER = b"x-spillway-probe"
_MAX_PARSED = 1 << 20
_MAX_DEPTH = 5
_RESTART = 1012  # what uvicorn closes with when it is told to stop; a browser's tab leaves with 1001


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
        clock: seconds since the epoch.
        environ: K_SERVICE, K_REVISION, SPILLWAY_NONCE, SPILLWAY_INSTANCE (if there is one); SPILLWAY_SALT, the same for all revisions, keeps client
            hashes from being guessed (without it they are salted with the service's name).
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
        self.revision = environ.get("K_REVISION", "")
        self.nonce = environ.get("SPILLWAY_NONCE", "")
        self.instance = environ.get("SPILLWAY_INSTANCE", "")
        self.salt = environ.get("SPILLWAY_SALT") or environ.get("K_SERVICE", "")
        self.write = write or _to_stdout

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        is_socket = scope.get("type") == "websocket"
        watch: _Watch | None = self.guarded(_Watch, self, scope) if is_socket else None
        if watch is None:
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, watch.receiving(receive), watch.sending(send))
        except BaseException:
            self.guarded(watch.broke)
            raise
        self.guarded(watch.ended, 1006, "", "server")  # returned without closing, unless a close was seen

    def guarded(self, note: Callable[..., Any], *args: object) -> Any:
        """Note something; whatever fails is told on stderr and forgotten: None."""
        try:
            return note(*args)
        except Exception as error:  # noqa: BLE001 - telemetry never breaks the service
            print(f"spillway telemetry: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201
            return None


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
            "spillway": VERSION,
            "severity": "INFO",
            "session": self.session,
            "client": _client_hash(headers, self.scope.get("client"), t.salt),
            "revision": t.revision,
            "nonce": t.nonce,
        }
        if t.instance:
            self.shared["instance"] = t.instance
        if headers.get(PROBE_HEADER, b"").decode("latin-1") == probe_key(t.nonce):
            self.shared["probe"] = True

    def receiving(self, receive: Receive) -> Receive:
        async def watched() -> Message:
            message = await receive()
            self.telemetry.guarded(self._received, message)
            return message

        return watched

    def sending(self, send: Send) -> Send:
        async def watched(message: Message) -> None:
            try:
                await send(message)
            except OSError:  # how a server tells that nobody is there any more
                self.telemetry.guarded(self.ended, 1006, "", "lost")
                raise
            self.telemetry.guarded(self._sent, message)

        return watched

    def _received(self, message: Message) -> None:
        if message["type"] == "websocket.disconnect":
            code = message.get("code") or 1005
            by = "lost" if code == 1006 else "server" if code == _RESTART else "client"
            self.ended(code, message.get("reason") or "", by)
        elif self._type_of(message) in self.telemetry.starts:
            self._start_run()

    def _sent(self, message: Message) -> None:
        match message["type"]:
            case "websocket.accept":
                self._accept()
            case "websocket.close":
                self.ended(message.get("code", 1000), message.get("reason") or "", "server")
            case "websocket.http.response.start":
                self._refused(message.get("status"))
            case "websocket.send" if self.undecided:
                self._event(self._type_of(message))

    def _type_of(self, message: Message) -> object:
        """The value of the type field of a JSON object; None for anything else."""
        data = message.get("text") or message.get("bytes") or ""
        needle = self.telemetry.type_field
        if len(data) > _MAX_PARSED or (needle if isinstance(data, str) else needle.encode()) not in data:
            return None
        try:
            parsed = json.loads(data)
        except (ValueError, RecursionError):
            return None
        kind = parsed.get(needle) if isinstance(parsed, dict) else None
        return kind if isinstance(kind, str) else None

    def _accept(self) -> None:
        self.accepted = self.shared["accepted"] = self.telemetry.clock()
        self._tell(Accepted(self.accepted, self.scope.get("path", "")))
        self.idle_timer = self._later(self._idle)

    def _idle(self) -> None:
        if self.accepted is not None and not self.runs and not self.is_over:
            self._tell(Run(self.telemetry.clock(), 0, self.accepted, "idle"))

    def _start_run(self) -> None:
        self.runs += 1
        run = _Run(self.runs, self.telemetry.clock(), list(self.telemetry.expects))
        self.undecided.append(run)
        self._tell(Started(run.started, run.number))
        run.timer = self._later(self._decide, run, "timeout")

    def _later(self, note: Callable[..., None], *args: object) -> asyncio.TimerHandle:
        t = self.telemetry
        return asyncio.get_running_loop().call_later(t.within_s, t.guarded, note, *args)

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
        now = self.telemetry.clock()
        total = round((now - run.started) * 1000, 3)
        self._tell(Run(now, run.number, run.started, outcome, tuple(run.missing), first, total))

    def broke(self) -> None:
        """The app raised: the socket drops, or before an accept the handshake gets a 500."""
        if self.accepted is None:
            self._refused(500)
        self.ended(1006, "", "server")

    def _refused(self, status: object) -> None:
        """A handshake that the service could not answer. (A 401 or 403 is an answer, and not told.)"""
        if self.accepted is None and not self.is_over and isinstance(status, int) and status >= 500:
            self.is_over = True
            self._tell(Refused(self.telemetry.clock(), status, self.scope.get("path", "")))

    def ended(self, code: int, reason: str, closed_by: str) -> None:
        """The socket's end; the first one counts."""
        if self.is_over or self.accepted is None:
            return
        self.is_over = True
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        for run in list(self.undecided):
            self._decide(run, "closed")
        now = self.telemetry.clock()
        self._tell(Closed(now, code, reason, closed_by, round(now - self.accepted, 3), self.runs))

    def _tell(self, line: Line) -> None:
        values = _plain({**self.shared, **to_payload(line)})
        self.telemetry.write(json.dumps(values, allow_nan=False))


def _client_hash(headers: Mapping[bytes, bytes], client: object, salt: str) -> str:
    """A hash of the client's address. Cloud Run appends it as the last entry of X-Forwarded-For."""
    forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1").rpartition(",")[2].strip()
    address = forwarded or (str(client[0]) if isinstance(client, tuple | list) and client else "")
    return hashlib.sha256(f"{salt}/{address}".encode()).hexdigest()[:16]


def _plain(value: object, depth: int = 0) -> object:
    """The value as JSON can hold it: an enum by its name, anything strange by its repr."""
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if depth < _MAX_DEPTH and isinstance(value, Mapping):
        return {str(key): _plain(each, depth + 1) for key, each in value.items()}
    if depth < _MAX_DEPTH and isinstance(value, list | tuple):
        return [_plain(each, depth + 1) for each in value]
    return repr(value)


def _to_stdout(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
