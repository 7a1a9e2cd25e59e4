"""One socket: sees every message pass and changes none."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass
from typing import Any

from pipeline.telemetry.book import Book
from pipeline.telemetry.lines import Accepted, Closed, Line, Refused, Run, Started
from pipeline.telemetry.proof import Message, Send, is_probe
from pipeline.telemetry.words import Wanted, wanted

Receive = Callable[[], Awaitable[Message]]

RESTART = 1012  # what uvicorn closes with when it is told to stop; a browser's tab leaves with 1001


@dataclass(slots=True)
class _Run:
    """An agent run that is not decided yet."""

    number: int
    started: float
    missing: Wanted
    first_event: float | None = None
    timer: asyncio.TimerHandle | None = None


class Watch:
    """The lines of one WebSocket."""

    def __init__(self, book: Book, scope: MutableMapping[str, Any]) -> None:
        self._book = book
        reader = book.reader
        self._frames = (reader(), reader()) if reader else None  # the client's, and the service's
        self._send: Send | None = None
        self._is_stopped = False
        self._stop_reason = ""
        self._path = scope.get("path", "")
        self._accepted: float | None = None
        self._runs = 0
        self._undecided: list[_Run] = []
        self._late: _Run | None = None  # past its deadline and told so, and not at its end
        self._was_idle = False
        self._idle_timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self.when_idle: Callable[[], None] | None = None
        headers = list(scope.get("headers") or ())
        client = book.client.client_of(headers, scope.get("client"))
        self._shared: dict[str, object] = {
            "session": uuid.uuid4().hex,
            "client": hashlib.sha256(f"{book.salt}/{client}".encode()).hexdigest()[:16],
        }
        if is_probe(headers, book.nonce):
            self._shared["probe"] = True

    def receiving(self, receive: Receive) -> Receive:
        async def watched() -> Message:
            message = await receive()
            while self._is_stopped and message["type"] == "websocket.receive":
                message = (
                    await receive()
                )  # asked of a socket that is closed: whoever asks can safely ask again
            try:
                self._received(message)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the service
                self._book.complain(error)
            return message

        return watched

    def sending(self, send: Send) -> Send:
        self._send = send

        async def watched(message: Message) -> None:
            if self._is_stopped:
                if message.get("type") == "websocket.close":
                    return  # it is closed already, and the app had no way to know
                raise ConnectionAbortedError("the server is to stop or to drain, and this socket is closed")
            try:
                await send(message)
            except OSError:  # how a server tells that nobody is there any more
                self._book.guarded(self.ended, 1006, "", "lost")
                raise
            try:
                self._sent(message)
            except Exception as error:  # noqa: BLE001 - telemetry never breaks the service
                self._book.complain(error)

        return watched

    def _received(self, message: Message) -> None:
        if message["type"] == "websocket.disconnect":
            code = message.get("code") or 1005
            by = "lost" if code == 1006 else "server" if code == RESTART else "client"
            self.ended(code, message.get("reason") or "", by)
        elif self._frames is None:
            self._ask(self._book.starts.found_in(message))
        else:
            for value in self._frames[0](message):
                self._ask(self._book.starts.found_in_value(value))

    def _sent(self, message: Message) -> None:
        match message["type"]:
            case "websocket.send":
                if self._frames is not None:
                    for value in self._frames[1](message):
                        self._event(value, Wanted.found_in_value)
                elif self._undecided or self._late is not None:
                    self._event(message, Wanted.found_in)
            case "websocket.accept":
                self._accept()
            case "websocket.close":
                self.ended(message.get("code", 1000), message.get("reason") or "", "server")
            case "websocket.http.response.start":
                self._refused(message.get("status"))

    def _accept(self) -> None:
        if self._accepted is not None or self._is_over:
            return
        self._accepted = self._shared["accepted"] = self._book.clock()
        self._book.open[self] = None
        if "probe" not in self._shared:
            self._book.newest = self._accepted
        self._tell(Accepted(self._accepted, self._path))
        self._idle_timer = self._later(self._idle)

    def _idle(self) -> None:
        if self._accepted is not None and not self._runs and not self._is_over:
            self._tell(Run(self._book.clock(), 0, self._accepted, "idle"))
            self._was_idle = True
            self._leave_unasked()

    def _leave_unasked(self) -> None:
        if "probe" not in self._shared:
            self._book.left_unasked()

    def _ask(self, start: str | None) -> None:
        if start is not None:
            self._start_run(self._book.known.runs[start])

    def _start_run(self, events: tuple[str, ...]) -> None:
        if self._accepted is None or self._is_over:
            return
        self._runs += 1
        if "probe" not in self._shared:
            self._book.was_asked = True
        run = _Run(self._runs, self._book.clock(), wanted(self._book.event_path, events))
        self._undecided.append(run)
        self._late = None  # who asks again does not wait for it any more
        self._tell(Started(run.started, run.number))
        run.timer = self._later(self._decide, run, "timeout")

    def _later(self, note: Callable[..., None], *args: object) -> asyncio.TimerHandle:
        book = self._book
        return asyncio.get_running_loop().call_later(book.known.within_s, book.guarded, note, *args)

    def _event(self, said: Any, find: Callable[[Wanted, Any], str | None]) -> None:
        """Overlapping runs of one socket: an event belongs to the oldest run that still misses it."""
        for run in self._undecided:
            if self._has_come(run, said, find):
                break
        else:
            self._late_event(said, find)
            return
        if run.first_event is None:
            run.first_event = self._book.clock()
        if not run.missing.words:
            self._decide(run, "ok")

    def _late_event(self, said: Any, find: Callable[[Wanted, Any], str | None]) -> None:
        """Nothing is told of a run that is decided; but its user still waits for its end."""
        late = self._late
        if late is not None and self._has_come(late, said, find) and not late.missing.words:
            self._late = None
            self._tell_idle()

    def _has_come(self, run: _Run, said: Any, find: Callable[[Wanted, Any], str | None]) -> bool:
        """Whether a message is one that the run still misses; from now on it misses it no more."""
        if (kind := find(run.missing, said)) is None:
            return False
        left = tuple(word for word in run.missing.words if word != kind)
        run.missing = wanted(self._book.event_path, left)
        return True

    def _decide(self, run: _Run, outcome: str) -> None:
        if run not in self._undecided:
            return
        self._undecided.remove(run)
        if run.timer is not None:
            run.timer.cancel()
        first = None if run.first_event is None else round((run.first_event - run.started) * 1000, 3)
        now = self._book.clock()
        total = round((now - run.started) * 1000, 3)
        self._tell(Run(now, run.number, run.started, outcome, run.missing.words, first, total))
        if outcome == "timeout":
            self._late = run
        self._tell_idle()

    def _tell_idle(self) -> None:
        if self.when_idle is not None and not self.is_busy and not self._is_over:
            self._book.guarded(self.when_idle)

    @property
    def is_busy(self) -> bool:
        """Whether a run is under way, be it late."""
        return bool(self._undecided) or self._late is not None

    def stop(self, reason: str = "") -> Coroutine[Any, Any, None]:
        """Close it, unasked by the app. From the call on the app hears no message, and what it sends finds nobody."""
        is_first = not (self._is_over or self._is_stopped or self._send is None)
        if is_first:
            self._is_stopped, self._stop_reason = True, reason
        return self._shut(reason, is_first=is_first)

    async def _shut(self, reason: str, *, is_first: bool) -> None:
        if not is_first or self._send is None:
            return
        code, by = RESTART, "server"
        try:
            said = {"reason": reason} if reason else {}
            await self._send({"type": "websocket.close", "code": RESTART, **said})
        except OSError:
            code, by = 1006, "lost"
        except Exception as error:  # noqa: BLE001 - it closed by itself meanwhile
            self._book.complain(error)
        self._book.guarded(self.ended, code, reason if by == "server" else "", by)

    def broke(self) -> None:
        """The app raised: the socket drops, or before an accept the handshake gets a 500."""
        if self._accepted is None:
            self._refused(500)
        self.left()

    def left(self) -> None:
        """The app is done with it: it drops, unless it was closed, by the app, or by us and the client is still to answer."""
        code, reason = (RESTART, self._stop_reason) if self._is_stopped else (1006, "")
        self.ended(code, reason, "server")

    def _refused(self, status: object) -> None:
        """A handshake that the service could not answer. (A 401 or 403 is an answer, and not told.)"""
        if self._accepted is None and not self._is_over and isinstance(status, int) and status >= 500:
            self._is_over = True
            self._tell(Refused(self._book.clock(), status, self._path))

    def ended(self, code: int, reason: str, closed_by: str) -> None:
        """The socket's end; the first one counts."""
        if self._is_over or self._accepted is None:
            return
        self._is_over = True
        self._book.open.pop(self, None)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        for run in list(self._undecided):
            self._decide(run, "closed")
        now = self._book.clock()
        self._tell(Closed(now, code, reason, closed_by, round(now - self._accepted, 3), self._runs))
        if not self._runs and not self._was_idle:
            self._leave_unasked()

    def _tell(self, line: Line) -> None:
        self._book.tell(line, self._shared)
