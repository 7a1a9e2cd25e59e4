"""The steps of a scenario, as they stand in ``spillway.yaml``.  PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

from msgspec import Struct, field

from pipeline.config.expectation import EVENT_SCHEMA, SCHEMA, check_pattern, event, group
from pipeline.config.fields import Duration, Misplaced, UrlPath, between, text_like, told
from pipeline.probe.steps import MAIN, Close, Expect, Open, Send, Stay, Step, When, is_sendable
from pipeline.units import shown

_DEFAULT_CLOSE = 1000
_LEAST, _MOST = 1000, 4999


@told(**SCHEMA)
def expected(item: object) -> object:
    """The item of ``expect`` as it is. Raises ValueError for what is no event."""
    group(item)
    return item


@told(**EVENT_SCHEMA)
def one_event(item: object) -> object:
    """The event as it is, of ``when`` and ``never``. Raises ValueError for what is none, or has options."""
    made = event(item)
    if made.save or made.within_s is not None or (made.least, made.most) != (1, 1):
        raise ValueError("only an event under expect has repeats, save and within")
    return item


_CODE = {
    "type": "integer",
    "minimum": _LEAST,
    "maximum": _MOST,
    "not": {"anyOf": [{"enum": [1004, 1005, 1006]}, {"minimum": 1015, "maximum": 2999}]},
}


@told(
    anyOf=[
        _CODE,
        {
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "properties": {
                "code": _CODE,
                "reason": {"type": "string", "description": "a pattern of the server's reason."},
                "by": {"enum": ["us", "server"], "description": "who closes first."},
            },
        },
    ]
)
def closing(value: object) -> object:
    """The value as it is. Raises ValueError for what is no close."""
    close_of(value)
    return value


def close_of(value: object, socket: str = MAIN) -> Close:
    """Raises ValueError."""
    if not isinstance(value, Mapping):
        return Close(_code(value), socket=socket)
    known = ("code", "reason", "by")
    if not value or (unknown := [key for key in value if key not in known]):
        raise ValueError(f"a close has code, reason and by{f', no {unknown[0][:60]}' if value else ''}")
    by = value.get("by", "")
    if by not in ("", "us", "server"):
        raise ValueError(f"by: must be us or server, got {shown(by)}")
    reason = value.get("reason", "")
    check_pattern("reason", reason)
    return Close(_code(value.get("code", _DEFAULT_CLOSE)), reason, by, socket)


def _code(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        hint = ": write it without quotes" if isinstance(value, str) and value.isdecimal() else ""
        raise ValueError(  # noqa: TRY004 - becomes a complaint
            f"must be a whole number, or {{code: ..., reason: ..., by: server}}, got {shown(value)}{hint}"
        )
    if not _LEAST <= value <= _MOST:
        raise ValueError(
            f"must be {f'at least {_LEAST}' if value < _LEAST else f'at most {_MOST}'}, got {value}"
        )
    if not is_sendable(value):
        raise ValueError(f"close code {value} may not be sent (RFC 6455 section 7.4.1)")
    return value


_VERBS = ("send", "expect", "when", "stay", "open", "reconnect", "close")


class StepConfig(Struct, frozen=True, kw_only=True):
    """One step: one of these keys, with `reply` beside `when`, and with `socket` where there are several.

    Args:
        send: the message that is sent, or a list of them.
        expect: the events that must come before the next step, in order; a list inside it is "in any order".
        when: an event that is replied to, each time that it comes from here on.
        reply: what is said then, or a list.
        stay: how long every socket must stay open while nothing is said.
        open: the path of one more socket, which `socket` names.
        reconnect: the path at which the socket is opened again, after it was closed.
        close: the code that the socket must be closed with, or code, reason (a pattern) and by (us or server).
        socket: which one is meant; the first is called main.
    """

    send: Any = None
    expect: list[Annotated[Any, expected]] = field(default_factory=list)
    when: Annotated[Any, one_event] | None = None
    reply: Any = None
    stay: Annotated[Duration, between("1ms", "1h")] | None = None
    open: UrlPath | None = None
    reconnect: UrlPath | None = None
    close: Annotated[Any, closing] | None = None
    socket: Annotated[str, text_like(r"[A-Za-z][\w-]{0,40}", "a name: letters, digits, - and _")] = MAIN

    SCHEMA: ClassVar[Mapping[str, Any]] = {
        "oneOf": [{"required": [verb]} for verb in _VERBS],
        "dependencies": {"when": ["reply"], "reply": ["when"]},
    }

    def __post_init__(self) -> None:
        given = [verb for verb in _VERBS if getattr(self, verb) not in (None, [])]
        if len(given) != 1:
            words = f"it has {' and '.join(given)}: write two steps" if given else "it has none"
            raise ValueError(f"a step has one of {', '.join(_VERBS)}; {words}")
        if (self.when is None) != (self.reply is None):
            raise ValueError("when and reply belong together: when: {type: ping}, reply: {type: pong}")
        if self.open is not None and self.socket == MAIN:
            raise ValueError(
                f"the new socket needs a name of its own: socket: NAME ({MAIN} is the first one's)"
            )
        if self.stay is not None and self.socket != MAIN:
            raise Misplaced(("socket",), "all sockets stay open; stay names none")

    def build(self, type_path: str) -> tuple[Step, ...]:
        if self.send is not None:
            return (Send(messages(self.send), self.socket),)
        if self.expect:
            return (Expect(tuple(group(item, type_path) for item in self.expect), self.socket),)
        if self.when is not None:
            return (When(event(self.when, type_path), messages(self.reply), self.socket),)
        if self.stay is not None:
            return (Stay(self.stay.total_seconds()),)
        if self.open is not None:
            return (Open(self.open, self.socket),)
        if self.reconnect is not None:
            return (Close(socket=self.socket), Open(self.reconnect, self.socket, is_again=True))
        return (close_of(self.close, self.socket),)


def messages(said: object) -> tuple[object, ...]:
    """One message, or a list of them."""
    if said is None:
        return ()
    return tuple(said) if isinstance(said, list) else (said,)


def built(steps: Iterable[StepConfig], type_path: str) -> tuple[Step, ...]:
    return tuple(made for step in steps for made in step.build(type_path))
