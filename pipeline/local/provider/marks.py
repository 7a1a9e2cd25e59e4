"""How Pulumi's engine marks values in a message: secrets, and what is not known yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from pipeline import credentials
from pipeline.model import NONCE_VARIABLE

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a mark of the protocol
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


def plain(message: Struct) -> dict[str, Any]:
    """The values without marks."""
    return dict(_plain(json_format.MessageToDict(message)))


def has_unknowns(value: object) -> bool:
    """Whether anything in it is known only after another resource was made."""
    return any(part == _UNKNOWN for part in _parts(value))


class Secrets:
    """What is secret in some messages: by value, and environment variables by name too, whatever their value is by now."""

    def __init__(self, *messages: Struct) -> None:
        given = [json_format.MessageToDict(message) for message in messages]
        secret = [_plain(part) for part in _parts(given) if _is_secret(part)]
        self._values = {part for part in _parts(secret) if isinstance(part, str) and part}
        named = [part for part in _parts(_plain(given)) if isinstance(part, Mapping) and "name" in part]
        self._names = {NONCE_VARIABLE, *(each["name"] for each in named if each.get("value") in self._values)}

    def marked(self, value: Mapping[str, Any]) -> Struct:
        """The values as a message, secrets marked."""
        return json_format.ParseDict({key: self._marked(item) for key, item in value.items()}, Struct())

    def _marked(self, value: Any) -> Any:
        match value:
            case list():
                return [self._marked(item) for item in value]
            case Mapping():
                made = {key: self._marked(item) for key, item in value.items()}
                return made | (
                    {"value": _as_secret(value["value"])} if self._is_secret_variable(value) else {}
                )
            case str() if value in self._values:
                return _as_secret(value)
        return value

    def _is_secret_variable(self, value: Mapping[str, Any]) -> bool:
        name, text = value.get("name"), value.get("value")
        if not isinstance(name, str) or not isinstance(text, str):
            return False
        return name in self._names or bool(credentials.of_environment({name: text}))


def _as_secret(value: Any) -> dict[str, Any]:
    return {_SIGNATURE: _SECRET, "value": value}


def _plain(value: Any) -> Any:
    match value:
        case list():
            return [_plain(item) for item in value]
        case Mapping() if _is_secret(value):
            return _plain(value["value"])
        case Mapping():
            return {key: _plain(item) for key, item in value.items() if not key.startswith("__")}
    return value


def _is_secret(value: object) -> bool:
    return isinstance(value, Mapping) and value.get(_SIGNATURE) == _SECRET


def _parts(value: Any) -> Iterator[Any]:
    """The value, and all that is in it at any depth."""
    yield value
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for item in inner:
        yield from _parts(item)
