"""What a conversation must look like.  PURE.

Theory of operation. A *scenario* is optional plain HTTP steps and then, if it has a path, one WebSocket
conversation in steps: say something, expect events, say more, see the close. Texts in it may hold templates
(``templates.py``). Events that nobody expects are ignored, so a service may add new ones. An event that comes twice is a
fault unless its expectation says that it may.

``machine.py`` goes through the steps, and ``verdict.judge_conversation`` turns what was seen into an outcome (``conversation.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from msgspec import Struct, field
from msgspec.structs import force_setattr, replace

from pipeline.framing.choice import JSON, Choice
from pipeline.probe.matching import Expectation
from pipeline.probe.steps import MAIN, Close, Expect, HttpStep, Open, Send, Stay, Step, Tls, When


class Scenario(Struct, frozen=True):
    """One kind of conversation.

    Args:
        path: of the WebSocket; empty for a scenario of HTTP steps alone.
        steps: what happens once it is open, in order.
        never: events that must not come, on any socket.
        within_s: seconds from handshake to the last expected event; what is stayed for comes on top.
        close: how a socket that is still open after the last step ends.
        framing: how messages stand in frames.
        folder: in which the paths of ``${file:...}`` begin.
        tls: certificates, where the address is https.
    """

    name: str
    path: str = ""
    steps: tuple[Step, ...] = ()
    never: tuple[Expectation, ...] = ()
    within_s: float = 10.0
    close: Close = field(default_factory=Close)
    http: tuple[HttpStep, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    subprotocols: tuple[str, ...] = ()
    max_message_bytes: int = 1 << 20
    framing: Choice = JSON
    folder: str = ""
    tls: Tls | None = None
    has_templates: bool = False  # never given: looked for once, not in every conversation

    def __post_init__(self) -> None:
        force_setattr(self, "has_templates", "${" in repr(self.texts))

    @classmethod
    def short(
        cls,
        name: str,
        path: str = "",
        send: Sequence[object] = (),
        groups: tuple[tuple[Expectation, ...], ...] = (),
        **rest: Any,
    ) -> Self:
        """The short form: everything is said at once, and then expected."""
        said = (Send(tuple(send)),) if send else ()
        return cls(name, path, (*said, Expect(groups)) if groups else said, **rest)

    @property
    def sent(self) -> tuple[object, ...]:
        """Every message that is sent of our own accord."""
        return tuple(message for step in self.steps if isinstance(step, Send) for message in step.messages)

    @property
    def replies(self) -> tuple[object, ...]:
        return tuple(message for step in self.steps if isinstance(step, When) for message in step.replies)

    @property
    def expected(self) -> tuple[Expectation, ...]:
        """Every event that must come."""
        return tuple(event for step in self.steps if isinstance(step, Expect) for event in step.events)

    @property
    def events(self) -> tuple[Expectation, ...]:
        """Every event that is spoken of: expected, replied to, never wanted."""
        asked = (step.event for step in self.steps if isinstance(step, When))
        return (*self.expected, *asked, *self.never)

    @property
    def texts(self) -> tuple[object, ...]:
        """All values that may hold templates."""
        matched = (event.match for event in self.events)
        asked = ((step.body, step.send, step.form, step.headers) for step in self.http)
        return (
            *self.paths,
            self.headers,
            self.subprotocols,
            self.framing.options,
            *self.sent,
            *self.replies,
            *matched,
            *asked,
            self.tls.texts if self.tls else (),
        )

    @property
    def longest_s(self) -> float:
        """How long it may take."""
        return self.within_s + sum(step.seconds for step in self.steps if isinstance(step, Stay))

    @property
    def paths(self) -> tuple[str, ...]:
        """Of every request and socket."""
        opened = (step.path for step in self.steps if isinstance(step, Open))
        return (*(step.path for step in self.http), *([self.path] if self.path else []), *opened)

    @property
    def whole(self) -> tuple[Step, ...]:
        """The steps, with the first socket's opening, and a close of each that is left open, the first socket's last."""
        steps: list[Step] = [Open(self.path, MAIN), *self.steps]
        ends = {step.socket: step for step in steps if isinstance(step, Open | Close)}
        left = [socket for socket, step in ends.items() if isinstance(step, Open) and socket != MAIN]
        last = self.close if self.close.socket == MAIN else replace(self.close, socket=MAIN)
        return (*steps, *(Close(socket=socket) for socket in left), last)
