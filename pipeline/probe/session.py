"""One conversation with a service, held to its end whatever the service does.

``machine.py`` says what is done next and when it is over; here are the sockets that it is done with. Each wait has a
deadline and ends in an abort of the sockets: ``within_s`` for the HTTP steps, the same for handshakes and events,
``websocket.CLOSE_S`` for a close.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from ssl import SSLContext
from time import perf_counter  # the loop's own time may be as coarse as a millisecond

from msgspec import Struct
from msgspec.structs import replace
from websockets.exceptions import ConnectionClosed

from pipeline.errors import UserError
from pipeline.framing.protocol import BadFrame, CannotSpeak, Declined, Decoded, Frame, Framing
from pipeline.probe import secrets
from pipeline.probe.closes import closing_of, complaint
from pipeline.probe.connection import Connection, open_socket
from pipeline.probe.conversation import Conversation, Kind
from pipeline.probe.effects import Dial, Effect, HangUp, Say
from pipeline.probe.filling import Carried, ready
from pipeline.probe.machine import Machine
from pipeline.probe.route import Route, Witness
from pipeline.probe.scenario import Scenario
from pipeline.probe.server_errors import error_words
from pipeline.probe.speech import complaint_of
from pipeline.probe.target import is_secure
from pipeline.probe.templates import Scope, Unspeakable
from pipeline.probe.transcript import Transcript
from pipeline.probe.verdict import Ending, Progress, judge_conversation, name_of
from pipeline.redact import SINK


async def hold_conversation(
    scenario: Scenario,
    base_url: str,
    headers: Mapping[str, str],
    route: Route | None = None,
    is_shown: Callable[[Kind], bool] = lambda _: True,
) -> Conversation:
    """Hold one conversation and judge it. ``headers`` go with the scenario's own (authorization).

    Args:
        route: what the address is, if not a tag's own: answers that another revision may have given say nothing.
        is_shown: whether one that ended so comes with its transcript; asked once.
    """
    session = _Session(scenario, base_url, headers, Witness(route))
    begun = perf_counter()
    ending = await session.run()
    if ending.fault is Kind.UNREACHABLE and is_secure(base_url):
        from pipeline.probe.tls import hint

        ending = replace(ending, detail=ending.detail + hint(scenario.tls, ending.detail))
    was_held = ending.fault is not Kind.NOT_SPOKEN or bool(session.witness.seen)
    if was_held and (doubt := session.witness.doubt):
        ending = Ending(Kind.UNPROVEN, doubt)
    machine = session.machine
    seen = judge_conversation(
        scenario,
        machine.seen if machine else Progress.at_start(()),
        ending,
        seconds=perf_counter() - begun,
        connect_s=session.connect_s,
        first_event_s=session.first_event_s,
        where=machine.where if machine else "",
        marks=session.witness.seen,
    )
    return replace(seen, transcript=session.transcript.shown) if is_shown(seen.kind) else seen


class _Line(Struct):
    """One open socket, and how messages stand in its frames."""

    connection: Connection
    framing: Framing
    reading: asyncio.Task[Frame] | None = None  # only while several are heard at once


class _Session:
    """One conversation under way: its sockets, and what was said."""

    def __init__(
        self, scenario: Scenario, base_url: str, headers: Mapping[str, str], witness: Witness
    ) -> None:
        self.scenario = scenario
        self.base_url = base_url
        self.headers = headers
        self.witness = witness
        self.machine: Machine | None = None
        self._now = asyncio.get_running_loop().time
        self.started = perf_counter()
        self.lines: dict[str, _Line] = {}
        self.connect_s: float | None = None
        self.first_event_s: float | None = None
        self._tls: SSLContext | None = None
        self.transcript = Transcript()
        self._late: Ending | None = (
            None  # what it is if what is under way takes too long, where that has its own words
        )

    async def run(self) -> Ending:
        try:
            scope = Scope(lambda: str(uuid.uuid4()), lambda: datetime.now(UTC), secrets.read(self.scenario))
            if fault := await self._enter(scope):
                return fault
        except UserError as error:
            return Ending(Kind.NOT_SPOKEN, f"{error.what}: {error.why}")
        except Unspeakable as error:
            return Ending(Kind.NOT_SPOKEN, str(error))
        if not self.scenario.path:
            return Ending()
        self.started = perf_counter()
        self.machine = Machine(self.scenario, scope, self._now())
        try:
            return await self._converse(self.machine)
        except CannotSpeak as error:
            return Ending(Kind.NOT_SPOKEN, complaint_of(error))
        except RecursionError:  # of whoever looks at a message, though a library had read it
            return Ending(Kind.UNREADABLE, "a message that is nested too deep")
        finally:
            for line in self.lines.values():
                await _dispose(line)

    async def _enter(self, scope: Scope) -> Ending | None:
        """All that comes before the socket. Raises UserError, Unspeakable."""
        if self.scenario.tls is not None and is_secure(self.base_url):
            from pipeline.probe.tls import context  # and what reads certificates

            self._tls = context(self.scenario, scope)
        carried = Carried(self.scenario.headers)
        if self.scenario.http:
            from pipeline.probe.http_steps import run_steps  # and aiohttp, which is as large as all the rest

            fault = await run_steps(
                self.scenario, self.base_url, self.headers, scope, carried, self.witness.saw, self._tls
            )
            if fault:
                return fault
        if self.scenario.has_templates and self.scenario.path:
            self.scenario = ready(self.scenario, carried, scope)
        return None

    async def _converse(self, machine: Machine) -> Ending:
        while machine.ending is None:
            try:
                async with asyncio.timeout_at(machine.deadline) as limit:
                    while machine.ending is None:
                        if machine.effects:
                            await self._obey(machine, limit)
                        if machine.ending is None:
                            _set(limit, machine.deadline)
                            await self._hear(machine)
            except TimeoutError:
                if self._late is not None:
                    machine.end(self._late)
                machine.passed(max(self._now(), machine.deadline))
        return machine.ending

    async def _obey(self, machine: Machine, limit: asyncio.Timeout) -> None:
        """Do all that is to be done before the next message."""
        while machine.effects and machine.ending is None:
            effect: Effect = machine.effects.pop(0)
            match effect:
                case Dial():
                    _set(limit, machine.deadline)
                    await self._dial(machine, effect)
                case Say():
                    _set(limit, machine.deadline)
                    await self._say(machine, effect)
                case HangUp():
                    _set(limit, None)  # it has a limit of its own
                    line = self.lines[effect.socket]
                    if line.reading is not None:
                        await _stopped(line.reading)
                        line.reading = None
                    hear = partial(self._hear_late, machine, effect.socket) if self.scenario.never else None
                    closing = await line.connection.hang_up(effect.code, hear)
                    machine.closed(effect.socket, closing, self._now())

    async def _dial(self, machine: Machine, effect: Dial) -> None:
        again = "" if not self.lines else f"opening {effect.path}: "
        words = f"{again}no answer to the handshake within {self.scenario.within_s:g} s"
        framing = self.scenario.framing.connect()  # which may fail, so before there is a socket
        self._late = Ending(Kind.UNREACHABLE, words)
        opened = await open_socket(
            self.scenario, self.base_url, effect.path, self.headers, self.witness.saw, self._tls
        )
        self._late = None
        if isinstance(opened, Ending):
            machine.end(replace(opened, detail=again + opened.detail))
            return
        # From here on, whatever is waited for and however that ends, it is told as open and is disposed of.
        before = self.lines.get(effect.socket)
        self.lines[effect.socket] = _Line(opened, framing)
        if self.connect_s is None:
            self.connect_s = perf_counter() - self.started
        if before is not None:
            await _dispose(before)
        await self._greet(machine, effect.socket)
        self._late = None

    async def _greet(self, machine: Machine, socket: str) -> None:
        """What the framing wants said before any message."""
        early: list[object] = []
        self._late = self._unanswered()
        try:
            fault = await self._shake_hands(socket, early)
        except ConnectionClosed as closed:
            close = closing_of(closed)
            fault = complaint(closed) or Ending(Kind.CLOSED_EARLY, close.words, close=close)
        if fault:
            machine.end(fault)
        else:
            machine.opened(socket, self._now())
            self._tell(machine, socket, early)

    async def _shake_hands(self, socket: str, early: list[object]) -> Ending | None:
        """Args: early: gets the messages that came meanwhile."""
        line = self.lines[socket]
        await self._put(socket, line.framing.opening())
        while not line.framing.is_ready:
            taken = self._take(socket, await line.connection.recv())
            if isinstance(taken, Ending):
                return taken
            await self._put(socket, taken.replies)
            early += taken.messages
            if said := next(filter(None, map(error_words, taken.messages)), ""):
                return Ending(Kind.ERROR_EVENT, f"the server said error: {said}")
            if early and not line.framing.is_ready:
                self._late = self._unanswered(f"; what came: {name_of(early[-1])}")
        return None

    def _unanswered(self, came: str = "") -> Ending:
        return Ending(Kind.TIMED_OUT, f"no answer to what {self.scenario.framing.name} begins with{came}")

    async def _say(self, machine: Machine, effect: Say) -> None:
        try:
            frames = list(self.lines[effect.socket].framing.encode(effect.message))
        except (TypeError, ValueError) as error:
            machine.end(Ending(Kind.NOT_SPOKEN, f"a message is not {self.scenario.framing.name}: {error}"))
            return
        await self._put(effect.socket, frames)

    async def _put(self, socket: str, frames: Iterable[Frame]) -> None:
        connection = self.lines[socket].connection
        for frame in frames:
            self.transcript.note(perf_counter() - self.started, socket, frame, sent=True)
            try:
                await connection.send(frame)
            except UnicodeEncodeError:
                raise CannotSpeak("half of a surrogate pair is to be sent, which is no text") from None

    async def _hear(self, machine: Machine) -> None:
        socket, heard = await self._next(machine.sockets)
        if isinstance(heard, ConnectionClosed):
            if fault := complaint(heard):
                machine.end(fault)
            else:
                machine.closed(socket, closing_of(heard), self._now())
            return
        taken = self._take(socket, heard)
        if isinstance(taken, Ending):
            machine.end(taken)
            return
        if taken.replies:
            await self._put(socket, taken.replies)
        self._tell(machine, socket, taken.messages)

    def _hear_late(self, machine: Machine, socket: str, frame: Frame) -> None:
        taken = self._take(socket, frame)
        for message in () if isinstance(taken, Ending) else taken.messages:
            machine.is_unwanted(message)

    async def _next(self, sockets: tuple[str, ...]) -> tuple[str, Frame | ConnectionClosed]:
        """The next frame of any of these, or its end."""
        if len(sockets) == 1 and self.lines[sockets[0]].reading is None:
            try:
                return sockets[0], await self.lines[sockets[0]].connection.recv()
            except ConnectionClosed as closed:
                return sockets[0], closed
        for socket in sockets:
            line = self.lines[socket]
            line.reading = line.reading or asyncio.ensure_future(line.connection.recv())
        tasks = {line.reading: socket for socket in sockets if (line := self.lines[socket]).reading}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        task = next(task for task in tasks if task in done)
        socket = tasks[task]
        self.lines[socket].reading = None
        try:
            return socket, task.result()
        except ConnectionClosed as closed:
            return socket, closed

    def _take(self, socket: str, frame: Frame) -> Decoded | Ending:
        self.transcript.note(perf_counter() - self.started, socket, frame, sent=False)
        try:
            return self.lines[socket].framing.decode(frame)
        except BadFrame as error:
            kind = Kind.REFUSED if isinstance(error, Declined) else Kind.UNREADABLE
            return Ending(kind, complaint_of(error))

    def _tell(self, machine: Machine, socket: str, messages: Iterable[object]) -> None:
        for message in messages:
            machine.message(socket, message, self._now())
        if machine.secrets:
            SINK.learn_passing(*machine.secrets)
            machine.secrets.clear()
        if self.first_event_s is None and machine.events:
            self.first_event_s = perf_counter() - self.started


async def _dispose(line: _Line) -> None:
    if line.reading is not None:
        await _stopped(line.reading)
    await line.connection.let_go()


async def _stopped(task: asyncio.Task[Frame]) -> None:
    """The task has ended, whatever it came to."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


def _set(limit: asyncio.Timeout, when: float | None) -> None:
    if limit.when() != when:
        limit.reschedule(when)
