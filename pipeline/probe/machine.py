"""The steps of one conversation, gone through.  PURE.

Theory of operation. Whoever has sockets and a clock tells the machine what happens (``opened``, ``message``, ``closed``,
``passed``) and does in order what it puts into ``effects``; nothing else is between the two. It ends when ``ending`` is
there. A step is done at once (Send, When), when its events came (Expect), when its time is over (Stay), or when its
socket is open or closed. Sockets other than the one that is waited on are heard too: what a later step expects of them
is kept for it.

A message that says error and that nothing in the scenario names ends the waiting ``PATIENCE_S`` later, unless what is
awaited comes after all: services go on after some errors, and a person need not wait for ``within`` to read of it.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct
from msgspec.structs import replace

from pipeline.framing.fields import field_at
from pipeline.probe.conversation import Kind
from pipeline.probe.effects import Dial, Effect, HangUp, Say
from pipeline.probe.matching import Expectation, matches
from pipeline.probe.scenario import Scenario
from pipeline.probe.server_errors import error_words
from pipeline.probe.steps import MAIN, Close, Expect, Open, Send, Stay, Step, When
from pipeline.probe.templates import Scope, Unsearchable, Unspeakable
from pipeline.probe.verdict import Closing, Ending, Progress, wrong_close
from pipeline.redact import texts_in
from pipeline.secret_names import is_secret_name

PATIENCE_S = 2.0  # for stragglers once the last group has come, and after the server said error
_NOTHING = Progress.at_start(())
KEPT = 256  # messages of a socket that is not waited on


class _Socket(Struct):
    kept: deque[object]
    closing: Closing | None = None  # a close that no step has asked for yet


class Machine:
    """One conversation.

    Args:
        now: seconds on any clock, the same that later calls tell.
    """

    def __init__(self, scenario: Scenario, scope: Scope, now: float) -> None:
        self.scenario = scenario
        self.effects: list[Effect] = []
        self.ending: Ending | None = None
        self.progress = _NOTHING
        self.sockets: tuple[str, ...] = ()  # those that are open, whose messages are to be told
        self.secrets: list[str] = []  # values that were saved under a name of a secret
        self._scope = scope
        self._steps = scenario.whole
        self._at = 0
        self._step: Step | None = self._steps[0]  # under way
        self._is_begun = False
        self._since = now
        self._limit = now + scenario.within_s
        self._grace: float | None = None
        self._error = ""
        self._has_own_limits = False  # an event of the step has a time of its own
        self._earlier: tuple[str, ...] = ()
        self._disorder = ""
        self._sockets: dict[str, _Socket] = {}
        self._answers: list[When] = []
        self._go(now)

    @property
    def events(self) -> tuple[str, ...]:
        """Names of the expected events that came, in order."""
        return self._earlier + self.progress.events

    @property
    def seen(self) -> Progress:
        """The progress of the step that it came to, with the events of all, and the first of them that came wrongly."""
        disorder = self._disorder or self.progress.disorder
        if not self._earlier and disorder == self.progress.disorder:
            return self.progress
        return self.progress._replace(events=self.events, disorder=disorder)

    @property
    def where(self) -> str:
        """The step that it came to, as a person counts them; empty where there is no choice."""
        waiting = len([step for step in self.scenario.steps if isinstance(step, Expect | Stay)])
        if waiting <= 1:
            return ""
        is_within = 1 <= self._at <= len(self.scenario.steps)
        taken = self._steps[1 : self._at + 1]
        number = len(taken) - sum(isinstance(step, Open) and step.is_again for step in taken)
        step = self._step
        socket = step.socket if isinstance(step, Expect) else MAIN
        beside = "" if socket == MAIN else f", {socket}"
        return f"step {number}{beside}" if is_within else ""

    @property
    def deadline(self) -> float:
        """When ``passed`` is to be told at the latest."""
        step = self._step
        if isinstance(step, Stay):
            return self._since + step.seconds
        latest = self._limit if self._grace is None else min(self._grace, self._limit)
        if not self._has_own_limits:
            return latest
        return min([latest, *(self._since + each.within_s for each in self._open_events if each.within_s)])

    def opened(self, socket: str, now: float) -> None:
        self._sockets[socket] = _Socket(deque())
        self.sockets = tuple([name for name in self._sockets if name == socket or name in self.sockets])
        self._next(now)

    def message(self, socket: str, message: object, now: float) -> None:
        """A message has come."""
        self.passed(now)
        if self.ending is not None:
            return
        if self.is_unwanted(message):
            return
        if self._answers:
            self._answer(socket, message)
        step = self._step
        is_met = False
        if isinstance(step, Expect) and step.socket == socket:
            is_met = self._hear(message, now)
        elif any(isinstance(e, Expect) and e.may_want(socket, message) for e in self._steps[self._at + 1 :]):
            self._keep(socket, message)
        if not is_met:
            self._mind_errors(message, now)
        if self.progress.is_complete or not isinstance(step, Expect):  # else the step goes on waiting
            self._go(now)

    def is_unwanted(self, message: object) -> bool:
        """Whether it must never come: then the conversation is over. All that is asked of what comes while we close."""
        unwanted = next((each for each in self.scenario.never if self._is(each, message)), None)
        if unwanted is not None:
            self._fail(Kind.UNWANTED_EVENT, f"{unwanted.name} came, which must never come")
        return unwanted is not None

    def closed(self, socket: str, closing: Closing | None, now: float) -> None:
        """A socket has closed; None: the server did not answer our close."""
        theirs = self._sockets[socket]
        self.sockets = tuple([name for name in self.sockets if name != socket])
        step = self._step
        if isinstance(step, Close) and step.socket == socket:
            self._judge_close(step, closing, now)
        elif isinstance(step, Stay):
            words = closing.words if closing else "it did not answer"
            self.end(
                Ending(Kind.CLOSED_EARLY, f"{_of(socket)}{words}; it should have stayed open", close=closing)
            )
        else:
            theirs.closing = closing
        self._go(now)

    def passed(self, now: float) -> None:
        """Time has passed."""
        if self.ending is not None or now < self.deadline:
            return
        step = self._step
        if isinstance(step, Stay):
            self._limit += step.seconds
            self._next(now)
        elif late := next(
            (e for e in self._open_events if e.within_s and now >= self._since + e.within_s), None
        ):
            near = f"; {self.progress.nearly}" if self.progress.nearly else ""
            self._fail(Kind.TIMED_OUT, f"{late.name} did not come within {late.within_s:g} s{near}")
        elif self._error and not self.progress.is_complete:
            awaited = f"still awaited: {', '.join(self.progress.awaited)}"
            words = "; ".join(
                filter(None, (f"the server said error: {self._error}", awaited, self.progress.nearly))
            )
            self._fail(Kind.ERROR_EVENT, words)
        elif isinstance(step, Close):
            self.closed(step.socket, None, now)
        else:
            self.end(Ending())

    def end(self, ending: Ending) -> None:
        """It is over, with a fault or without."""
        self.ending = self.ending or ending

    @property
    def _open_events(self) -> tuple[Expectation, ...]:
        return tuple(self.progress.wanted[index][1] for index in self.progress.open)

    def _go(self, now: float) -> None:
        """Take steps until one has to wait."""
        while self.ending is None and (step := self._step) is not None and self._take(step, now):
            self._next(now, goes_on=False)

    def _next(self, now: float, *, goes_on: bool = True) -> None:
        self._at += 1
        self._step = self._steps[self._at] if self._at < len(self._steps) else None
        self._is_begun = False
        self._since, self._grace, self._error = now, None, ""
        if goes_on:
            self._go(now)

    def _take(self, step: Step, now: float) -> bool:
        """Begin a step, or look at it again; whether it is done."""
        is_first, self._is_begun = not self._is_begun, True
        try:
            match step:
                case Expect():  # first: it is looked at again with each message
                    return self._expects(step, now, is_first=is_first)
                case Send():
                    for message in step.messages:
                        self._say(step.socket, self._filled(message))
                case When():
                    self._answers.append(step)
                case Stay():
                    return self._stays()
                case Open() if is_first:
                    path = self._scope.path(step.path) if self.scenario.has_templates else step.path
                    self.effects.append(Dial(step.socket, path))
                    return False
                case Close():
                    return self._closes(step, now, is_first=is_first)
                case _:
                    return False
        except Unspeakable as error:
            self._fail(Kind.NOT_SPOKEN, str(error))
            return False
        return True

    def _expects(self, step: Expect, now: float, *, is_first: bool) -> bool:
        if is_first:
            self._earlier = self.events
            self._disorder = self._disorder or self.progress.disorder
            self.progress = Progress.at_start(step.groups)
            self._has_own_limits = any(event.within_s for event in step.events)
            kept = self._sockets[step.socket].kept
            while kept and not self.progress.is_complete and self.ending is None:
                self._hear(kept.popleft(), now)
        if self.progress.is_complete:
            return True
        if (closing := self._sockets[step.socket].closing) is not None:
            said = f"before, the server said error: {self._error}" if self._error else ""
            self.end(Ending(close=closing, detail=said))
        return False

    def _stays(self) -> bool:
        gone = next((name for name, each in self._sockets.items() if each.closing), None)
        if gone is not None:
            closing = self._sockets[gone].closing
            assert closing is not None
            self._fail(Kind.CLOSED_EARLY, f"{_of(gone)}{closing.words}; it should have stayed open", closing)
        return False

    def _closes(self, step: Close, now: float, *, is_first: bool) -> bool:
        socket = self._sockets[step.socket]
        if socket.closing is not None:
            closing, socket.closing = socket.closing, None
            self._judge_close(step, closing, now)
        elif is_first and step.by != "server":
            self.effects.append(HangUp(step.socket, step.code))
        return False

    def _judge_close(self, step: Close, closing: Closing | None, now: float) -> None:
        is_last = self._at == len(self._steps) - 1
        if is_last:
            self.end(Ending(close=closing))
        elif wrong := wrong_close(step, closing):
            self._fail(Kind.WRONG_CLOSE, f"{_of(step.socket)}{wrong}", closing)
        else:
            self._next(now, goes_on=False)

    def _hear(self, message: object, now: float) -> bool:
        """A message for the step under way; whether the step expects it."""
        self.progress = self.progress.after(message, self._bound)
        if self.progress.met is None:
            return False
        event = self.progress.wanted[self.progress.met][1]
        for name, path in event.save.items():
            value = self._scope.variables[name] = field_at(message, path)
            if is_secret_name(name) or is_secret_name(path.rpartition(".")[2]):
                self.secrets += texts_in(value)
        if self.progress.has_last_group and not self._error:
            self._grace = self._grace or now + PATIENCE_S
        elif self._error:
            self._grace = now + PATIENCE_S
        return True

    def _mind_errors(self, message: object, now: float) -> None:
        words = error_words(message, self.scenario.framing.type_path)
        if not words or self._is_named(message):
            return
        if isinstance(self._step, Stay):
            self._fail(Kind.ERROR_EVENT, f"the server said error: {words}")
        elif isinstance(self._step, Expect) and not self._error:
            self._error, self._grace = words, now + PATIENCE_S

    def _is_named(self, message: object) -> bool:
        """Whether the scenario speaks of such messages."""
        spoken_of = (*self.scenario.expected, *(answer.event for answer in self._answers))
        return any(matches(event.literal, message) for event in spoken_of if event.key in event.literal)

    def _answer(self, socket: str, message: object) -> None:
        for answer in self._answers:
            if answer.socket != socket or not self._is(answer.event, message):
                continue
            try:
                for reply in answer.replies:
                    self._say(socket, self._scope.rendered(reply, message))
            except Unspeakable as error:
                self._fail(Kind.NOT_SPOKEN, f"the reply to {answer.event.name}: {error}")

    def _filled(self, message: object) -> object:
        return self._scope.rendered(message) if self.scenario.has_templates else message

    def _say(self, socket: str, message: object) -> None:
        if self._sockets[socket].closing is None:
            self.effects.append(Say(socket, message))

    def _keep(self, socket: str, message: object) -> None:
        kept = self._sockets[socket].kept
        kept.append(message)
        if len(kept) > KEPT:
            self._fail(Kind.UNREADABLE, f"{_of(socket)}a flood: {KEPT} events came before their step")

    def _is(self, event: Expectation, message: object) -> bool:
        bound = self._bound(event)
        return bound is not None and bound.is_met_by(message)

    def _bound(self, event: Expectation) -> Expectation | None:
        if not event.has_templates:
            return event
        try:
            match = self._scope.rendered(event.match)
        except Unsearchable as error:
            self._fail(Kind.NOT_SPOKEN, str(error))
            return None
        except Unspeakable:
            return None  # not known yet
        return replace(event, match=match)

    def _fail(self, kind: Kind, detail: str, closing: Closing | None = None) -> None:
        self.end(Ending(kind, detail, close=closing))


def _of(socket: str) -> str:
    return "" if socket == MAIN else f"{socket}: "
