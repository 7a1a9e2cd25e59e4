"""One conversation with a service, held to its end whatever the service does.

``machine.py`` says what is done next and when it is over; here are the sockets that it is done with. Each wait has a
deadline and ends in an abort of the sockets: ``within_s`` for the HTTP steps, the same for handshakes and events,
``CLOSE_S`` for a close.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ssl import SSLContext
from time import perf_counter  # the loop's own time may be as coarse as a millisecond

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from pipeline.errors import UserError
from pipeline.framing.protocol import BadFrame, CannotSpeak, Declined, Decoded, Frame, Framing
from pipeline.probe import secrets
from pipeline.probe.connection import closing_of, complaint, hang_up, let_go, open_socket
from pipeline.probe.effects import Dial, Effect, HangUp, Say
from pipeline.probe.filling import Carried, ready
from pipeline.probe.http_steps import run_steps
from pipeline.probe.machine import Machine
from pipeline.probe.route import Route, Witness
from pipeline.probe.scenario import Conversation, Kind, Message, Scenario
from pipeline.probe.steps import MAIN
from pipeline.probe.target import is_secure
from pipeline.probe.templates import Scope, Unspeakable
from pipeline.probe.tls import context, hint
from pipeline.probe.verdict import Ending, Progress, judge_conversation
from pipeline.redact import SINK

TRANSCRIPT_MESSAGES = 200
TRANSCRIPT_BYTES = 4096  # of each message


async def hold_conversation(
    scenario: Scenario, base_url: str, headers: Mapping[str, str], route: Route | None = None
) -> Conversation:
    """Hold one conversation and judge it. ``headers`` go with the scenario's own (authorization).

    Args:
        route: what the address is, if not a tag's own: answers that another revision may have given say nothing.
    """
    session = _Session(scenario, base_url, headers, Witness(route))
    begun = perf_counter()
    ending = await session.run()
    if ending.fault is Kind.UNREACHABLE and is_secure(base_url):
        ending = replace(ending, detail=ending.detail + hint(scenario.tls, ending.detail))
    was_held = ending.fault is not Kind.NOT_SPOKEN or session.witness.has_seen
    if was_held and (doubt := session.witness.doubt):
        ending = Ending(Kind.UNPROVEN, doubt)
    machine = session.machine
    return judge_conversation(
        scenario,
        machine.seen if machine else Progress.at_start(()),
        ending,
        seconds=perf_counter() - begun,
        first_event_s=session.first_event_s,
        transcript=tuple(session.transcript),
        where=machine.where if machine else "",
    )


@dataclass(slots=True)
class _Line:
    """One open socket, and how messages stand in its frames."""

    connection: ClientConnection
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
        self.started = perf_counter()
        self.lines: dict[str, _Line] = {}
        self.transcript: list[Message] = []
        self.first_event_s: float | None = None
        self.tls: SSLContext | None = None

    async def run(self) -> Ending:
        try:
            scope = Scope(lambda: str(uuid.uuid4()), lambda: datetime.now(UTC), secrets.read(self.scenario))
            carried = Carried(self.scenario.headers)
            self.tls = context(self.scenario, scope) if is_secure(self.base_url) else None
            fault = await run_steps(
                self.scenario, self.base_url, self.headers, scope, carried, self.witness.saw, self.tls
            )
            if fault or not self.scenario.path:
                return fault or Ending()
            self.scenario = ready(self.scenario, carried, scope)
        except UserError as error:
            return Ending(Kind.NOT_SPOKEN, f"{error.what}: {error.why}")
        except Unspeakable as error:
            return Ending(Kind.NOT_SPOKEN, str(error))
        self.started = perf_counter()
        self.machine = Machine(self.scenario, scope, _now())
        try:
            return await self._converse(self.machine)
        except CannotSpeak as error:
            return Ending(Kind.NOT_SPOKEN, str(error))
        except RecursionError:  # of whoever looks at a message, though a library had read it
            return Ending(Kind.UNREADABLE, "a message that is nested too deep")
        finally:
            for line in self.lines.values():
                await _dispose(line)

    async def _converse(self, machine: Machine) -> Ending:
        while machine.ending is None:
            try:
                async with asyncio.timeout_at(machine.deadline) as limit:
                    while machine.ending is None:
                        await self._obey(machine, limit)
                        if machine.ending is None:
                            limit.reschedule(machine.deadline)
                            await self._hear(machine)
            except TimeoutError:
                machine.passed(max(_now(), machine.deadline))
        return machine.ending

    async def _obey(self, machine: Machine, limit: asyncio.Timeout) -> None:
        """Do all that is to be done before the next message."""
        while machine.effects and machine.ending is None:
            effect: Effect = machine.effects.pop(0)
            match effect:
                case Dial():
                    limit.reschedule(None)  # it has the same limit, and words of its own
                    await self._dial(machine, effect)
                case Say():
                    limit.reschedule(machine.deadline)
                    await self._say(machine, effect)
                case HangUp():
                    limit.reschedule(None)
                    line = self.lines[effect.socket]
                    if line.reading is not None:
                        await _stopped(line.reading)
                        line.reading = None
                    closing = await hang_up(line.connection, effect.code)
                    machine.closed(effect.socket, closing, _now())

    async def _dial(self, machine: Machine, effect: Dial) -> None:
        again = "" if not self.lines else f"opening {effect.path}: "
        try:
            async with asyncio.timeout_at(machine.deadline):
                opened = await open_socket(
                    self.scenario, self.base_url, effect.path, self.headers, self.witness.saw, self.tls
                )
        except TimeoutError:
            words = f"no answer to the handshake within {self.scenario.within_s:g} s"
            opened = Ending(Kind.UNREACHABLE, words)
        if isinstance(opened, Ending):
            machine.end(replace(opened, detail=again + opened.detail))
            return
        if effect.socket in self.lines:
            await _dispose(self.lines[effect.socket])
        self.lines[effect.socket] = _Line(opened, self.scenario.framing.connect())
        await self._greet(machine, effect.socket)

    async def _greet(self, machine: Machine, socket: str) -> None:
        """What the framing wants said before any message."""
        early: list[object] = []
        try:
            async with asyncio.timeout_at(machine.deadline):
                fault = await self._shake_hands(socket, early)
        except ConnectionClosed as closed:
            close = closing_of(closed)
            fault = complaint(closed) or Ending(Kind.CLOSED_EARLY, close.words, close=close)
        except TimeoutError:
            fault = Ending(Kind.TIMED_OUT, f"no answer to what {self.scenario.framing.name} begins with")
        if fault:
            machine.end(fault)
        else:
            machine.opened(socket, _now())
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
        return None

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
            if connection.protocol.state is not State.OPEN:
                return  # what was said before is still to be read; recv() tells of the close
            try:
                self._note(socket, frame, sent=True)
                with suppress(ConnectionClosed):
                    await connection.send(frame)
            except UnicodeEncodeError:
                raise CannotSpeak("half of a surrogate pair is to be sent, which is no text") from None

    async def _hear(self, machine: Machine) -> None:
        socket, heard = await self._next(machine.sockets)
        if isinstance(heard, ConnectionClosed):
            if fault := complaint(heard):
                machine.end(fault)
            else:
                machine.closed(socket, closing_of(heard), _now())
            return
        taken = self._take(socket, heard)
        if isinstance(taken, Ending):
            machine.end(taken)
            return
        await self._put(socket, taken.replies)
        self._tell(machine, socket, taken.messages)

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
        self._note(socket, frame, sent=False)
        try:
            return self.lines[socket].framing.decode(frame)
        except BadFrame as error:
            return Ending(Kind.REFUSED if isinstance(error, Declined) else Kind.UNREADABLE, str(error))

    def _tell(self, machine: Machine, socket: str, messages: Iterable[object]) -> None:
        for message in messages:
            machine.message(socket, message, _now())
        if machine.secrets:
            SINK.learn_passing(*machine.secrets)
            machine.secrets.clear()
        if machine.events and self.first_event_s is None:
            self.first_event_s = perf_counter() - self.started

    def _note(self, socket: str, frame: Frame, *, sent: bool) -> None:
        if len(self.transcript) < TRANSCRIPT_MESSAGES:
            text = frame if isinstance(frame, str) else frame[: 4 * TRANSCRIPT_BYTES].decode(errors="replace")
            text = text if socket == MAIN else f"({socket}) {text[: 4 * TRANSCRIPT_BYTES]}"
            cut = SINK.cut(text, TRANSCRIPT_BYTES).encode()[:TRANSCRIPT_BYTES].decode(errors="ignore")
            self.transcript.append(Message(perf_counter() - self.started, sent, cut))


async def _dispose(line: _Line) -> None:
    if line.reading is not None:
        await _stopped(line.reading)
    await let_go(line.connection)


async def _stopped(task: asyncio.Task[Frame]) -> None:
    """The task has ended, whatever it came to."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


def _now() -> float:
    return asyncio.get_running_loop().time()
