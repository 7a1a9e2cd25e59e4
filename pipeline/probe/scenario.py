"""What a conversation must look like, and what one turned out to be.  PURE.

Theory of operation. A *scenario* is optional plain HTTP steps and then, if it has a path, one WebSocket
conversation in steps: say something, expect events, say more, see the close. Texts in it may hold templates
(``templates.py``). Events that nobody expects are ignored, so a service may add new ones. An event that comes twice is a
fault unless its expectation says that it may.

``machine.py`` goes through the steps, and ``verdict.judge_conversation`` turns what was seen into an outcome. Nothing that a service does to us is an
exception: refusal, silence, a close in the middle, rubbish on the wire are all outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pipeline.framing.choice import JSON, Choice
from pipeline.probe.matching import Expectation
from pipeline.probe.route import Route
from pipeline.probe.steps import Close, Expect, HttpStep, Open, Send, Stay, Step, Tls, When

USER_AGENT = "spillway-probe"  # by which the platform's request log knows our conversations


@dataclass(frozen=True, slots=True)
class Scenario:
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
    has_templates: bool = field(init=False)  # looked for once, not in every conversation

    def __post_init__(self) -> None:
        object.__setattr__(self, "has_templates", "${" in repr(self.texts))

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


class Kind(StrEnum):
    """How one conversation ended, most telling first."""

    OK = "ok"
    REFUSED = "refused"  # the handshake got another status than 101
    UNREACHABLE = "unreachable"  # no TCP connection, no TLS, no answer to the handshake
    CLOSED_EARLY = "closed_early"  # a close, with or without a frame, before all events came
    TIMED_OUT = "timed_out"  # the socket stayed open and something expected did not come
    MISSING_EVENTS = "missing_events"  # the conversation went on to its end without an event
    OUT_OF_ORDER = "out_of_order"
    WRONG_CLOSE = "wrong_close"  # all events came; the close was not the expected one
    UNWANTED_EVENT = "unwanted_event"  # what must never come came
    ERROR_EVENT = "error_event"  # the service said error, which nothing expected, and no more of what was
    NOT_SPOKEN = (
        "not_spoken"  # nobody's fault: something of the scenario cannot be said, or what came understood
    )
    UNPROVEN = "unproven"  # nobody's fault: another revision may have answered
    UNREADABLE = "unreadable"  # not JSON, not text, larger than the limit, broken frames
    HTTP_MISMATCH = "http_mismatch"  # a plain HTTP step answered otherwise


_NOBODYS = frozenset({Kind.NOT_SPOKEN, Kind.UNPROVEN})
_NOT_WRONG = frozenset({Kind.OK, Kind.UNREACHABLE, Kind.TIMED_OUT, *_NOBODYS})


class CloseClass(StrEnum):
    """Close codes by what they say about the service (judge.py counts by these)."""

    NORMAL = "normal"
    SERVER_ERROR_1011 = "server_error_1011"
    KEEPALIVE_1011 = "keepalive_1011"  # "keepalive ping timeout": the client's doing, told by the reason
    ABNORMAL_1006 = "abnormal_1006"  # no close frame: crash, bug, time-out or network
    RESTART_1012 = "restart_1012"
    OTHER = "other"


#: Source: RFC 6455 section 7.4.1; https://www.iana.org/assignments/websocket (1012).
_CLASSES: Mapping[int | None, CloseClass] = {
    1000: CloseClass.NORMAL,
    1001: CloseClass.NORMAL,
    1005: CloseClass.NORMAL,
    1006: CloseClass.ABNORMAL_1006,
    1011: CloseClass.SERVER_ERROR_1011,
    1012: CloseClass.RESTART_1012,
    None: CloseClass.ABNORMAL_1006,
}


def close_class(code: int | None, reason: str = "") -> CloseClass:
    if code == 1011 and "keepalive ping timeout" in reason:
        return CloseClass.KEEPALIVE_1011
    return _CLASSES.get(code, CloseClass.OTHER)


@dataclass(frozen=True, slots=True)
class Message:
    """One line of a transcript. ``at_s`` counts from the start of the handshake."""

    at_s: float
    sent: bool
    text: str  # as on the wire, cut at 4 KiB


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation's outcome. ``detail`` says what was awaited, missing or wrong, in plain words."""

    scenario: str
    kind: Kind
    seconds: float
    detail: str = ""
    status: int | None = None  # of a refused handshake or HTTP step
    close_code: int | None = None
    close_reason: str = ""
    first_event_s: float | None = (
        None  # until the first expected event; from the start of the handshake, like connect_s
    )
    events: tuple[str, ...] = ()  # names of expected events that came, in order
    transcript: tuple[Message, ...] = ()  # kept for the first failures only
    marks: tuple[str | None, ...] = ()  # of each answer, as ``route.Witness`` saw them
    connect_s: float | None = None  # from the start of the handshake until its answer

    @property
    def is_ok(self) -> bool:
        return self.kind is Kind.OK

    @property
    def is_bad(self) -> bool:
        """It says something against the service."""
        return self.kind is not Kind.OK and self.kind not in _NOBODYS


ClockNow = Callable[[], datetime]
#: audience -> ID token, with errors of ``errors.py``. May block: it asks a metadata server or reads a key.
TokenSource = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Address:
    """Where to talk to.

    Args:
        base_url: http(s)://host[:port].
        audience: asks for an ID token for it.
        key: marks our sockets as a probe's to the telemetry behind it, so that they are not counted among users.
        route: for an address that is not a tag's own: who answers there is to be proven.
        headers: that lead there, beside the route's.
    """

    base_url: str
    audience: str = ""
    key: str = ""
    route: Route | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeAsk:
    """One round: so many conversations of each scenario, and where to check that it is not our network.

    Args:
        warm_up: nothing was asked for so long that instances may be cold: the first conversations do not count.
        confirms: a failure is followed by more conversations with both addresses.
    """

    scenarios: tuple[Scenario, ...]
    candidate: Address
    control: Address | None
    sessions: int = 5
    concurrency: int = 5
    warm_up: bool = False
    confirms: bool = True


def _bad(conversations: Sequence[Conversation]) -> int:
    return sum(c.is_bad for c in conversations)


@dataclass(frozen=True, slots=True)
class Confirming:
    """As many conversations with the candidate as with stable, at the same moments, after one failed.

    Args:
        control: empty where there is no stable to ask.
    """

    candidate: tuple[Conversation, ...]
    control: tuple[Conversation, ...] = ()

    @property
    def bad(self) -> tuple[int, int]:
        """How many failed with the candidate, and with stable."""
        return _bad(self.candidate), _bad(self.control)

    @property
    def is_worse(self) -> bool:
        """The candidate failed more often."""
        candidate, control = self.bad
        return candidate > control

    @property
    def is_common(self) -> bool:
        """Both fail, stable at least every other time: our network, or an incident that both share."""
        candidate, control = self.bad
        return candidate > 0 and 2 * control >= len(self.control) > 0

    @property
    def words(self) -> str:
        """``5 of 5 against 0 of 5``."""
        candidate, control = self.bad
        beside = f" against {control} of {len(self.control)}" if self.control else ""
        return f"{candidate} of {len(self.candidate)}{beside}"


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """One finished round (``course.py`` says how it goes).

    Args:
        control: with stable, one conversation of each scenario; empty where it was not asked.
        warm_up: with the candidate, after a cold start; they count neither way.
        confirming: what was held after a failure, in order.
        obstacle: why no conversation is known of at all; empty where some are.
    """

    started: datetime
    seconds: float
    candidate: tuple[Conversation, ...]
    control: tuple[Conversation, ...] = ()
    control_wanted: bool = True
    warm_up: tuple[Conversation, ...] = ()
    confirming: tuple[Confirming, ...] = ()
    obstacle: str = ""

    @property
    def held(self) -> tuple[Conversation, ...]:
        """All conversations with the candidate that count for something."""
        return (*self.candidate, *(c for block in self.confirming for c in block.candidate))

    @property
    def failures(self) -> tuple[Conversation, ...]:
        return tuple(c for c in self.held if not c.is_ok)

    @property
    def is_worse(self) -> bool:
        """The candidate failed more often than stable when both were asked at the same moments."""
        return bool(self.confirming) and self.confirming[-1].is_worse

    @property
    def unspoken(self) -> str:
        """Why a conversation could not be held, whoever it was with; empty when all were. Such a round says nothing."""
        every = (*self.held, *self._stable)
        return self.obstacle or next((c.detail for c in every if c.kind in _NOBODYS), "")

    @property
    def is_blind(self) -> bool:
        """Failures that stable shares, or conversations that could not be held: neither good nor bad."""
        return bool(self.unspoken) or (bool(self.confirming) and self.confirming[-1].is_common)

    @property
    def words(self) -> str:
        """``a conversation failed; confirming with 5 on each: 5 of 5 against 0 of 5; again: ...``."""
        bad, lost = _bad(self.candidate), _bad(self.warm_up)
        cold = f" ({lost} of {len(self.warm_up)} before them, while it was cold, failed)" if lost else ""
        if self.obstacle:
            return f"the round says nothing: {self.obstacle}"
        if self.unspoken:
            return "a conversation could not be held, so the round says nothing"
        if not bad:
            return f"{len(self.candidate)} conversations ok{cold}"
        failed = f"{'a conversation' if bad == 1 else f'{bad} of {len(self.candidate)} conversations'} failed"
        return "; ".join(filter(None, (failed + cold, self.confirming_words)))

    @property
    def confirming_words(self) -> str:
        """What followed a failure; empty when nothing did."""
        if not self.confirming:
            return ""
        first = self.confirming[0]
        whom = f"{len(first.candidate)} on each" if first.control else f"{len(first.candidate)} more"
        blocks = "; again: ".join(block.words for block in self.confirming)
        return f"confirming with {whom}: {blocks}{', stable fails too' if self.is_blind else ''}"

    @property
    def stable_fails(self) -> str:
        """How stable failed, in words, whatever the candidate did; empty when it held every conversation."""
        bad = next((c for c in self._stable if not c.is_ok), None)
        return f"{bad.kind}: {bad.detail}".rstrip(": ") if bad else ""

    @property
    def is_stable_bad(self) -> bool:
        """Stable answered wrongly at least every other time, which is more than our network being away.

        Asked at the same moments as the candidate it may have hung, too, as often as that.
        """
        last = self.confirming[-1] if self.confirming else None
        stable = last.control if last else self.control
        may_hang = last is None or last.is_worse
        excused = _NOT_WRONG if may_hang else _NOT_WRONG - {Kind.TIMED_OUT}
        wrong = sum(c.kind not in excused for c in stable)
        return bool(wrong) and (2 * wrong >= len(stable) or not self.confirming)

    @property
    def _stable(self) -> tuple[Conversation, ...]:
        return (*self.control, *(c for block in self.confirming for c in block.control))
