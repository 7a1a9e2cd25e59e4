"""What a conversation consists of, step by step.  PURE."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from pipeline.probe.matching import Expectation, matches

MAIN = "main"  # the socket that every conversation has


class HttpStep(Struct, frozen=True):
    """One plain request before the socket opens: what to send and what must come back.

    Args:
        body: dotted field path of the answer's JSON to the expected value, or a predicate.
        send: a text, or a value that becomes JSON; None: nothing.
        form: fields, sent as a browser's form.
        save: variable to where its value stands in the answer: a dotted path of its JSON, ``cookie:NAME``,
            ``header:NAME``, or ``text:PATTERN``, whose first group it is.
    """

    method: str
    path: str
    status: int = 200
    body: Mapping[str, object] = field(default_factory=dict)
    send: object = None
    form: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    save: Mapping[str, str] = field(default_factory=dict)


def source_of(where: str) -> tuple[str, str]:
    """Where an answer has a value: ``cookie``, ``header``, ``text`` or ``json``, and the name, pattern or path there."""
    source, _, name = where.partition(":")
    return (source, name) if name and source in ("cookie", "header", "text") else ("json", where)


class Send(Struct, frozen=True):
    """Messages that are sent, in order."""

    messages: tuple[object, ...]
    socket: str = MAIN


class Expect(Struct, frozen=True):
    """Events that must come: ``groups`` one after the other, those inside one group in any order."""

    groups: tuple[tuple[Expectation, ...], ...]
    socket: str = MAIN

    @property
    def events(self) -> tuple[Expectation, ...]:
        return tuple(event for group in self.groups for event in group)

    def may_want(self, socket: str, message: object) -> bool:
        """Whether a message may be one of them; what templates come to is not known yet."""
        return socket == self.socket and any(matches(event.literal, message) for event in self.events)


class When(Struct, frozen=True):
    """From here on, each such message is replied to, whatever else it counts for."""

    event: Expectation
    replies: tuple[object, ...]
    socket: str = MAIN


class Stay(Struct, frozen=True):
    """All sockets stay open for so long, and we say nothing but replies."""

    seconds: float


class Open(Struct, frozen=True):
    """A socket is opened.

    Args:
        is_again: with the close before it, it is one step to whoever wrote it.
    """

    path: str
    socket: str
    is_again: bool = False


class Close(Struct, frozen=True):
    """A close that is wanted.

    Args:
        code: of the close frame; ours has it too.
        reason: a pattern that is to be found in the server's; empty: any.
        by: "us", "server", or empty: we begin, and it is no fault if the server was faster.
    """

    code: int = 1000
    reason: str = ""
    by: str = ""
    socket: str = MAIN


def is_sendable(code: int) -> bool:
    """Whether a close frame may have the code (RFC 6455 section 7.4.1)."""
    return code in range(1000, 1004) or code in range(1007, 1015) or code in range(3000, 5000)


class Tls(Struct, frozen=True):
    """Each is PEM, or the path of a file that has it; all may be templates of secrets.

    Args:
        certificate: that is shown, and those between it and its root.
        key: of the certificate; empty: stands with it.
        password: of the key.
        ca: roots by which the server is trusted, instead of the system's.
    """

    certificate: str = ""
    key: str = ""
    password: str = ""
    ca: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.certificate, self.key, self.password, self.ca)


Step = Send | Expect | When | Stay | Open | Close
