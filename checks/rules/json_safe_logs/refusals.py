"""Which values ``json.dumps`` refuses: the table for what Python and common libraries make, and the question itself."""

from __future__ import annotations

import builtins
import re
from dataclasses import dataclass

from checks.tree.resolve import Resolver, Thing

#: class outside of the tree -> the word for it in a message
REFUSED = {
    "builtins.set": "set",
    "builtins.frozenset": "set",
    "builtins.bytes": "bytes",
    "builtins.bytearray": "bytes",
    "builtins.memoryview": "bytes",
    "datetime.datetime": "datetime",
    "datetime.date": "date",
    "datetime.time": "time",
    "datetime.timedelta": "timedelta",
    "decimal.Decimal": "Decimal",
    "uuid.UUID": "UUID",
    "pathlib.Path": "Path",
    "pathlib.PurePath": "Path",
    "enum.Enum": "enum member",
    "enum.Flag": "enum member",
}
_JSON_BASES = frozenset({"str", "int", "float", "dict", "list", "tuple"})
_JSON_ENUMS = frozenset({"enum.IntEnum", "enum.StrEnum", "enum.IntFlag"})
_SOCKET_STATE = re.compile(r"(starlette|fastapi)(\.\w+)*\.WebSocketState(\.[A-Z_]+)?")
_SOCKET_ATTRIBUTE = re.compile(r"(starlette|fastapi)(\.\w+)*\.WebSocket\.(client|application)_state")
_MODELS = (
    "pydantic.BaseModel",
    "pydantic.main.BaseModel",
    "sqlmodel.SQLModel",
    "pydantic_settings.BaseSettings",
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What kind of value it is, and whether it is that in every branch."""

    word: str
    is_sure: bool
    path: str = ""
    line: int = 0


def refusal(thing: Thing | None, resolver: Resolver) -> Refusal | None:
    """Why ``json.dumps`` refuses it; None when it does not, or that is unknown."""
    if thing is None:
        return None
    if thing.what == "kind":
        return Refusal(thing.name, True)
    if thing.what == "known":
        word = (
            "enum WebSocketState"
            if thing.name in ("client_state", "application_state")
            else f"enum {thing.name}"
        )
        return Refusal(word, thing.is_sure)
    if thing.what in ("box", "any"):
        return _of_several(thing, resolver)
    if thing.what == "instance":
        return _of_instance(thing, resolver)
    return _of_outside(thing)


def _of_several(thing: Thing, resolver: Resolver) -> Refusal | None:
    found = [refusal(part, resolver) for part in thing.parts]
    refused = [each for each in found if each is not None]
    if not refused:
        return None
    if thing.what == "box":
        return max(refused, key=lambda each: each.is_sure)
    return Refusal(
        refused[0].word,
        len(refused) == len(found) and all(t.is_sure for t in refused),
        refused[0].path,
        refused[0].line,
    )


def _of_instance(thing: Thing, resolver: Resolver) -> Refusal | None:
    above = [
        a.name for a in resolver.ancestors(Thing("class", thing.path, thing.name)) if a.what == "outside"
    ]
    if any(name in _JSON_ENUMS or name.removeprefix("builtins.") in _JSON_BASES for name in above):
        return None
    made = resolver.class_of(thing)
    line = made.line if made else 0
    if any(name.startswith("enum.") for name in above):
        return Refusal(f"enum {thing.name}", True, thing.path, line)
    if any(_is_exception(name) for name in above):
        return Refusal("exception", True, thing.path, line)
    known = next((REFUSED[name] for name in above if name in REFUSED), None)
    if known:
        return Refusal(known, True, thing.path, line)
    is_model = any(name in _MODELS for name in above)
    is_record = made is not None and any(d.rpartition(".")[2] == "dataclass" for d in made.decorators)
    return Refusal(f"{thing.name} object", False, thing.path, line) if is_model or is_record else None


def _of_outside(thing: Thing) -> Refusal | None:
    if thing.what == "outside instance":
        if _SOCKET_STATE.fullmatch(thing.name):
            return Refusal("enum WebSocketState", True)
        if _is_exception(thing.name):
            return Refusal("exception", True)
        word = REFUSED.get(thing.name)
        return Refusal(word, True) if word else None
    if thing.what == "outside" and _SOCKET_STATE.fullmatch(thing.name) and not thing.name.endswith("State"):
        return Refusal("enum WebSocketState", True)
    if thing.what == "outside attribute" and _SOCKET_ATTRIBUTE.fullmatch(thing.name):
        return Refusal("enum WebSocketState", True)
    return None


def _is_exception(name: str) -> bool:
    module, _, last = name.rpartition(".")
    if module == "builtins":
        found = getattr(builtins, last, None)
        return isinstance(found, type) and issubclass(found, BaseException)
    return last.endswith(("Error", "Exception"))
