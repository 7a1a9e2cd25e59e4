"""What one conversation turned out to be.  PURE.

Nothing that a service does to us is an exception: refusal, silence, a close in the middle, rubbish on the wire are all
outcomes.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


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


#: They say nothing of the service.
NOBODYS = frozenset({Kind.NOT_SPOKEN, Kind.UNPROVEN})


class Message(Struct, frozen=True):
    """One line of a transcript. ``at_s`` counts from the start of the handshake."""

    at_s: float
    sent: bool
    text: str  # as on the wire, cut at 4 KiB


class Conversation(Struct, frozen=True):
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
        return self.kind is not Kind.OK and self.kind not in NOBODYS
