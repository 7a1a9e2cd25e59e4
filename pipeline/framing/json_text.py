"""``json``, ``json-lines``, ``json-array``: one JSON value, or several, in each frame.  PURE."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn, TypeVar

from pipeline.framing.protocol import MOST_MESSAGES, AtOnce, BadFrame, Decoded, Frame

RECORD = "\x1e"
_Piece = TypeVar("_Piece")
_MOST_LOOKED_AT = 1 << 16  # bytes of a frame that is no plain JSON
SEPARATORS = {"newline": "\n", "0x1e": RECORD}


class Json(AtOnce):
    """One JSON value in each frame.

    Args:
        binary: frames are binary instead of text, both ways.
    """

    def __init__(self, *, binary: bool = False) -> None:
        self._is_binary = binary

    def encode(self, message: object) -> Iterable[Frame]:
        text = _ENCODER.encode(message)
        return (text.encode() if self._is_binary else text,)

    def decode(self, frame: Frame) -> Decoded:
        if isinstance(frame, bytes) is not self._is_binary:
            kind = ("text", "binary") if self._is_binary else ("binary", "text")
            size = len(frame) if isinstance(frame, bytes) else len(frame.encode(errors="replace"))
            wanted = "binary JSON" if self._is_binary else "JSON text"
            raise BadFrame(f"a {kind[0]} message of {size} bytes, expected {wanted}{self._hint(frame)}")
        return Decoded(tuple(self._values(frame)))

    def _hint(self, frame: Frame) -> str:
        return _hint(frame) if type(self) is Json and not self._is_binary else ""

    def _values(self, frame: Frame) -> Sequence[object]:
        try:
            return (parsed(frame),)
        except BadFrame as error:
            raise BadFrame(f"{error}{self._hint(frame)}") from None


class JsonArray(Json):
    """A frame may be an array, whose items are messages. What is sent is sent as it stands."""

    def _values(self, frame: Frame) -> Sequence[object]:
        value = parsed(frame)
        return bounded(value) if isinstance(value, list) else (value,)


class JsonLines(Json):
    """A frame may hold several values, each ended by a line feed or 0x1E.

    Args:
        separator: what ends each message that is sent.
    """

    def __init__(self, *, binary: bool = False, separator: str = "newline") -> None:
        super().__init__(binary=binary)
        self._end = SEPARATORS[separator]

    def encode(self, message: object) -> Iterable[Frame]:
        text = _ENCODER.encode(message) + self._end
        return (text.encode() if self._is_binary else text,)

    def _values(self, frame: Frame) -> Sequence[object]:
        return records(frame)


def records(frame: Frame) -> Sequence[object]:
    """Values that are separated by line feeds or 0x1E: inside of JSON neither stands unescaped. Raises BadFrame."""
    if isinstance(frame, bytes):
        try:
            frame = frame.decode()
        except UnicodeDecodeError as error:
            raise BadFrame(f"a message that is not UTF-8 ({error})") from None
    pieces = frame.replace(RECORD, "\n").split("\n")
    return [parsed(piece) for piece in bounded(pieces) if piece.strip()]


def bounded(pieces: list[_Piece]) -> list[_Piece]:
    """The pieces of one frame. Raises BadFrame where looking at them all would hold up everybody else."""
    if len(pieces) > MOST_MESSAGES:
        raise BadFrame(f"{len(pieces)} messages in one frame, more than {MOST_MESSAGES}")
    return pieces


def parsed(text: Frame) -> object:
    """The JSON value of a text. Raises BadFrame."""
    try:
        if not isinstance(text, str) or text.startswith("\ufeff"):
            return json.loads(text, parse_constant=_refuse_constant)
        text = text.strip(_BLANK)
        value, end = _DECODER.raw_decode(text)
        if end != len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"a message that is not JSON ({error})") from None
    return value


def an_object(value: object, what: str) -> Mapping[str, object]:
    """The value, if it is a JSON object. Raises BadFrame.

    Args:
        what: it should be.
    """
    if isinstance(value, dict):
        return value
    raise BadFrame(f"a message that is no {what}: a JSON {type(value).__name__} instead of an object")


def only_text(frame: Frame, what: str) -> str:
    """The frame, if it is one of text. Raises BadFrame."""
    if isinstance(frame, str):
        return frame
    raise BadFrame(f"a binary message of {len(frame)} bytes, expected {what}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_ENCODER = json.JSONEncoder(allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # json.loads() would make one for each message
_BLANK = " \t\n\r"  # in JSON


def _hint(frame: Frame) -> str:
    """What it looks like, for whoever has not named a framing yet: `` (set framing: ...)``, or nothing."""
    name = (
        _of_bytes(frame[:_MOST_LOOKED_AT]) if isinstance(frame, bytes) else _of_text(frame[:_MOST_LOOKED_AT])
    )
    return f" (set framing: {name})" if name else ""


def _of_text(text: str) -> str:
    if text.startswith('0{"sid"'):
        return "socket.io"
    if text.endswith("\x1e"):
        return "signalr, or json-lines"
    lines = text.splitlines()
    return "json-lines" if len(lines) > 1 and all(_is_json(line) for line in lines[:2]) else ""


def _of_bytes(data: bytes) -> str:
    if _is_json(data):
        return "{name: json, binary: true}"
    is_container = data[:1] and (0x80 <= data[0] <= 0x9F or 0xDC <= data[0] <= 0xDF)  # a map or an array
    return "msgpack, if it is that" if is_container else ""


def _is_json(text: Frame) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False
