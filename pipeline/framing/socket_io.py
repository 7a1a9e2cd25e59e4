"""``socket.io``: its protocol 5 inside of Engine.IO 4, over a WebSocket.  PURE.

Written from the protocols' public descriptions. python-socketio's codec would bring both its servers and its clients
along into a service that wants its telemetry read; what it decodes is a page.

An event is a message ``{type: NAME, data: its first argument, args: all of them}``, with ``id`` where the sender wants it
acknowledged; an acknowledgement is ``{type: ack, id: N, data: ..., args: ...}``, both ways.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.framing.json_text import an_object, parsed
from pipeline.framing.protocol import BadFrame, Declined, Decoded, Frame

_PACKET = re.compile(r"([0-6])(?:([0-9]{1,6})-)?(?:(/[^,]*),)?([0-9]{1,18})?(.*)", re.DOTALL)
_CONNECT, _DISCONNECT, _EVENT, _ACK, _ERROR, _BINARY_EVENT, _BINARY_ACK = "0123456"
_MOST_ATTACHMENTS = 1_000


class SocketIo:
    """One connection, and the one namespace that is spoken on it.

    Args:
        namespace: begins with a slash.
        auth: what the namespace is connected with.
        most: bytes of all attachments of one event.
    """

    def __init__(self, *, namespace: str = "/", auth: object = None, most: int = 1 << 20) -> None:
        self._namespace = namespace
        self._prefix = "" if namespace == "/" else f"{namespace},"
        self._auth = auth
        self.is_ready = False
        self._waiting: tuple[dict[str, object], int] | None = None  # for so many attachments
        self._attachments: list[bytes] = []
        self._left = self._most = most

    def opening(self) -> Iterable[Frame]:
        return ()  # the server's open packet comes first

    def encode(self, message: object) -> Iterable[Frame]:
        if not isinstance(message, Mapping) or not isinstance(message.get("type"), str):
            raise TypeError("no mapping with the event's name as its type")
        args = message.get("args", [message["data"]] if "data" in message else [])
        if not isinstance(args, list):
            raise TypeError("args: not a list")
        number = message.get("id", "")
        if not re.fullmatch(r"[0-9]{0,18}", str(number)):
            raise ValueError("id: not a number")
        is_ack = message["type"] == "ack" and number != ""
        kind, said = (_ACK, args) if is_ack else (_EVENT, [message["type"], *args])
        return (f"4{kind}{self._prefix}{number}{json.dumps(said, allow_nan=False)}",)

    def decode(self, frame: Frame) -> Decoded:
        if isinstance(frame, bytes):
            return self._attached(frame)
        if self._waiting:
            self._waiting, self._attachments = None, []
            raise BadFrame("a text message where an attachment of a binary event should be")
        kind, rest = frame[:1], frame[1:]
        match kind:
            case "0":
                an_object(parsed(rest), "open packet of Engine.IO")
                auth = "" if self._auth is None else json.dumps(self._auth)
                return Decoded(replies=(f"4{_CONNECT}{self._prefix}{auth}",))
            case "2":
                return Decoded(replies=(f"3{rest}",))
            case "4":
                return self._packet(rest)
            case "1" | "3" | "5" | "6":
                return Decoded()
        raise BadFrame("a message that is no packet of Engine.IO", frame)

    def _packet(self, text: str) -> Decoded:
        found = _PACKET.fullmatch(text)
        if not found:
            raise BadFrame("a message that is no packet of socket.io", text)
        kind, attachments, namespace, number, rest = found.groups()
        value = parsed(rest) if rest else None
        is_ours = (namespace or "/").partition("?")[0] == self._namespace
        if kind == _ERROR and is_ours:
            words = value.get("message", value) if isinstance(value, dict) else value
            raise Declined(f"namespace {self._namespace} refused us", words)
        if kind == _CONNECT:
            self.is_ready = self.is_ready or is_ours
        message = _message(kind, number, value)
        if kind in (_BINARY_EVENT, _BINARY_ACK) and int(attachments or 0):
            if int(attachments) > _MOST_ATTACHMENTS:
                raise BadFrame(
                    f"a binary event with {attachments} attachments, more than {_MOST_ATTACHMENTS}"
                )
            self._waiting, self._left = (message if is_ours else {}, int(attachments)), self._most
            return Decoded()
        return Decoded((message,) if is_ours else ())

    def _attached(self, data: bytes) -> Decoded:
        if self._waiting is None:
            raise BadFrame(f"a binary message of {len(data)} bytes that belongs to no event")
        message, count = self._waiting
        self._left -= len(data)
        if self._left < 0:
            self._waiting, self._attachments = None, []
            raise BadFrame(f"a binary event with attachments that are too large (over {self._most} bytes)")
        self._attachments.append(data if message else b"")  # another namespace's are not kept
        if len(self._attachments) < count:
            return Decoded()
        attachments = dict(enumerate(self._attachments))
        self._waiting, self._attachments = None, []
        if not message:
            return Decoded()
        args = _filled(message["args"], attachments)
        return Decoded(({**message, **_first_of(args), "args": args},))


def _message(kind: str, number: str | None, value: object) -> dict[str, object]:
    if kind in (_CONNECT, _DISCONNECT, _ERROR):
        name = {_CONNECT: "connect", _DISCONNECT: "disconnect"}.get(kind, "connect_error")
        return {"type": name, "data": value}
    if not isinstance(value, list):
        raise BadFrame("a socket.io event that is no list")
    if kind in (_ACK, _BINARY_ACK):
        name, args = "ack", value
    elif value and isinstance(value[0], str):
        name, args = value[0], value[1:]
    else:
        raise BadFrame("a socket.io event without a name")
    return {"type": name, **_first_of(args), "args": args, **({"id": int(number)} if number else {})}


def _first_of(args: list[object]) -> dict[str, object]:
    return {"data": args[0]} if args else {}


def _filled(value: Any, attachments: dict[int, bytes]) -> Any:
    """The value with its placeholders' attachments in their places, each in one. Raises BadFrame."""
    if isinstance(value, list):
        return [_filled(each, attachments) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder") is True:
        number = value.get("num")
        if not isinstance(number, int) or number not in attachments:
            which = number if isinstance(number, int) and number < _MOST_ATTACHMENTS else "of no number"
            raise BadFrame(f"a binary event that names attachment {which}, which is none or taken")
        return attachments.pop(number)
    return {key: _filled(each, attachments) for key, each in value.items()}
