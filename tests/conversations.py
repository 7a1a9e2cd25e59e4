"""Conversations without sockets: a scenario as it stands in ``spillway.yaml``, and what happens in it, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from pipeline.config import schema
from pipeline.probe.conversation import Conversation
from pipeline.probe.effects import Dial, HangUp, Say
from pipeline.probe.machine import Machine
from pipeline.probe.scenario import Scenario
from pipeline.probe.steps import MAIN
from pipeline.probe.templates import Reference, Scope
from pipeline.probe.verdict import Closing, Ending, judge_conversation
from tests.fakes import START

HEAD = "service: chat\nenvironments: {here: {endpoint: local}}\nscenarios:\n  talk:\n"
TOKEN = "t0ken-of-the-test"

#: a message on the first socket or (socket, message), a close, seconds that pass, or why a socket does not open
Happening = str | dict[str, object] | list[object] | tuple[str, object] | Closing | float | Ending


def scenario(text: str) -> Scenario:
    """Of the lines below its name. Raises ConfigError."""
    lines = "".join(f"    {line}\n" for line in text.strip("\n").splitlines())
    return schema.parse(HEAD + lines).build_scenarios()[0]


@dataclass(slots=True)
class Played:
    """How a conversation ended.

    Args:
        said: (socket, message) in order.
        opened: (socket, path) in order.
        seconds: that passed.
    """

    conversation: Conversation
    said: list[tuple[str, object]] = field(default_factory=list)
    opened: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def messages(self) -> list[object]:
        return [message for _, message in self.said]


def play(wanted: Scenario, *script: Happening, answer: Closing | None = None) -> Played:
    """Hold it. After the script nothing happens any more, but that time passes.

    Args:
        answer: how the server answers our close; with our code unless given.
    """
    held = _Held(wanted, list(script), answer)
    held.obey()
    while held.left and held.machine.ending is None:
        held.happen(held.left.pop(0))
        held.obey()
    while held.machine.ending is None:
        held.now = held.machine.deadline
        held.machine.passed(held.now)
        held.obey()
    ending, where = held.machine.ending, held.machine.where
    made = judge_conversation(wanted, held.machine.seen, ending, seconds=held.now, where=where)
    return Played(made, held.said, held.opened, held.now)


class _Held:
    """One under way."""

    def __init__(self, wanted: Scenario, script: list[Happening], answer: Closing | None) -> None:
        numbers, self.now = count(1), 0.0
        secrets = {Reference("env", "WS_TOKEN"): TOKEN, Reference("file", "key.txt"): "from a file"}
        scope = Scope(lambda: f"uuid-{next(numbers)}", lambda: START, secrets)
        self.machine = Machine(wanted, scope, self.now)
        self.left, self.answer = script, answer
        self.said: list[tuple[str, object]] = []
        self.opened: list[tuple[str, str]] = []

    def obey(self) -> None:
        """Do what the machine wants done."""
        while self.machine.effects and self.machine.ending is None:
            match self.machine.effects.pop(0):
                case Dial(socket, path):
                    self.opened.append((socket, path))
                    if self.left and isinstance(self.left[0], Ending):
                        self.machine.end(self.left[0])
                    else:
                        self.machine.opened(socket, self.now)
                case Say(socket, message):
                    self.said.append((socket, message))
                case HangUp(socket, code):
                    self.machine.closed(socket, self.answer or Closing(code, by_server=False), self.now)

    def happen(self, happening: Happening) -> None:
        socket, what = happening if isinstance(happening, tuple) else (MAIN, happening)
        if isinstance(what, float):
            self.now += what
            self.machine.passed(self.now)
        elif isinstance(what, Closing):
            self.machine.closed(socket, what, self.now)
        else:
            self.machine.message(socket, what, self.now)
