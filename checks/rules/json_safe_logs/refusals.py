"""Which values ``json.dumps`` refuses: the table for what Python and common libraries make, and the question itself."""

from __future__ import annotations

import builtins
import re

from msgspec import Struct
from msgspec.structs import replace

from checks.tree.library import NUMPY_SCALARS
from checks.tree.resolve import Resolver
from checks.tree.symbols import ENUM_ATTRIBUTES
from checks.tree.things import Thing

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
    "aenum.Enum": "enum member",
    "builtins.complex": "complex",
    "builtins.type": "class",
    "collections.deque": "deque",
    "fractions.Fraction": "Fraction",
    "ipaddress.IPv4Address": "IP address",
    "ipaddress.IPv6Address": "IP address",
    "numpy.ndarray": "numpy array",
    "pandas.DataFrame": "DataFrame",
    "pandas.Series": "Series",
    "pandas.Timestamp": "Timestamp",
    "re.Match": "match",
    "re.Pattern": "pattern",
    "types.MappingProxyType": "mapping proxy",
    "types.SimpleNamespace": "namespace",
} | dict.fromkeys(NUMPY_SCALARS, "numpy scalar")
#: plain enums of libraries
_ENUMS = frozenset(
    {
        "grpc.StatusCode", "grpc.ChannelConnectivity", "opentelemetry.trace.StatusCode", "opentelemetry.trace.SpanKind",
        "opentelemetry.trace.status.StatusCode", "uuid.SafeUUID", "google.api_core.retry.RetryFailureReason",
    }
)  # fmt: skip
_JSON_BASES = frozenset({"str", "int", "float", "dict", "list", "tuple", "typing.NamedTuple"})
_PLAIN_BASES = frozenset({"builtins.object", "abc.ABC", "typing.Generic"})
_JSON_ENUMS = frozenset({"enum.IntEnum", "enum.StrEnum", "enum.IntFlag"})
_SOCKET_STATE = re.compile(r"(starlette|fastapi)(\.\w+)*\.WebSocketState(\.[A-Z_]+)?")
_SOCKET_ATTRIBUTE = re.compile(r"(starlette|fastapi)(\.\w+)*\.WebSocket\.(client|application)_state")
_MODELS = (
    "pydantic.BaseModel",
    "pydantic.main.BaseModel",
    "sqlmodel.SQLModel",
    "pydantic_settings.BaseSettings",
)


class Refusal(Struct, frozen=True):
    """What kind of value it is, and whether it is that in every branch; whether it is a key, or in a container.

    Args:
        is_object: of a class of the tree with nothing of its own for JSON: told only where what refuses it is known.
    """

    word: str
    is_sure: bool
    path: str = ""
    line: int = 0
    is_key: bool = False
    is_inside: bool = False
    is_object: bool = False


def refusal(thing: Thing | None, resolver: Resolver, *, is_key_alone: bool = False) -> Refusal | None:
    """Why ``json.dumps`` refuses it; None when it does not, or that is unknown.

    Args:
        is_key_alone: only keys are asked about: values have a fallback.
    """
    match thing:
        case Thing(what="box" | "row" | "any"):
            return _of_several(thing, resolver, is_key_alone)
        case Thing(what="key"):
            found = refusal(thing.parts[0], resolver)
            return found and replace(found, is_key=True)
        case None:
            return None
        case _ if is_key_alone:
            return None
        case Thing(what="kind" | "iter"):
            return Refusal(thing.name, True)
        case Thing(what="class"):
            return Refusal("class", True, thing.path, thing.line)
        case Thing(what="known"):
            is_socket = thing.name in ENUM_ATTRIBUTES
            return Refusal(f"enum {'WebSocketState' if is_socket else thing.name}", thing.is_sure)
        case Thing(what="instance"):
            return _of_instance(thing, resolver)
        case _:
            return _of_outside(thing)


def _of_several(thing: Thing, resolver: Resolver, is_key_alone: bool) -> Refusal | None:
    found = [refusal(part, resolver, is_key_alone=is_key_alone) for part in thing.parts]
    refused = [each for each in found if each is not None]
    if not refused:
        return None
    if thing.what != "any":
        first = max(refused, key=lambda each: (each.is_sure, not each.is_key))
        return replace(first, is_inside=True)
    is_sure = len(refused) == len(found) and all(each.is_sure for each in refused)
    return replace(refused[0], is_sure=is_sure)


def _of_instance(thing: Thing, resolver: Resolver) -> Refusal | None:
    above = [
        a.name for a in resolver.ancestors(Thing("class", thing.path, thing.name)) if a.what == "outside"
    ]
    if any(name.rpartition(".")[2] == "TypedDict" for name in above):
        return refusal(resolver.unfolded(thing), resolver)
    if any(name in _JSON_ENUMS or name.removeprefix("builtins.") in _JSON_BASES for name in above):
        return None
    made = resolver.class_of(thing)
    line = made.line if made else 0
    known = next((REFUSED[name] for name in above if name in REFUSED), "")
    if any(name.startswith("enum.") for name in above):  # what is not known may be a ``str`` with members
        return Refusal(f"enum {thing.name}", resolver.is_told(thing), thing.path, line)
    if any(_is_exception(name) for name in above):
        known = "exception"
    if known:
        return Refusal(known, True, thing.path, line)
    is_model = any(name in _MODELS for name in above)
    is_record = any(
        d.rpartition(".")[2] == "dataclass"
        for each in resolver.ancestors(Thing("class", thing.path, thing.name))
        if (found := resolver.class_of(each))
        for d in found.decorators
    )
    if is_model or is_record:
        return Refusal(f"{thing.name} object", True, thing.path, line)
    if _PLAIN_BASES.issuperset(above) and _is_of_plain_class(thing, resolver):
        return Refusal(f"{thing.name} object", True, thing.path, line, is_object=True)
    return None


def _is_of_plain_class(thing: Thing, resolver: Resolver) -> bool:
    """Whether it is made by ``__init__``: a class of constants alone is a name for the text that they are."""
    every = [
        found
        for each in resolver.ancestors(Thing("class", thing.path, thing.name))
        if (found := resolver.class_of(each))
    ]
    is_made = any("__init__" in each.returns for each in every)
    is_other = any(each.changes_reads or each.decorators or "__new__" in each.returns for each in every)
    return is_made and not is_other and resolver.is_told(thing)


def _of_outside(thing: Thing) -> Refusal | None:
    name, is_instance = thing.name, thing.what == "outside instance"
    is_member = thing.what == "outside" and not name.endswith("State")
    is_state = (is_instance or is_member) and _SOCKET_STATE.fullmatch(name)
    if is_state or (thing.what == "outside attribute" and _SOCKET_ATTRIBUTE.fullmatch(name)):
        return Refusal("enum WebSocketState", True)
    owner = name if is_instance else name.rpartition(".")[0] if is_member else ""
    if owner in _ENUMS:
        return Refusal(f"enum {owner.rpartition('.')[2]}", True)
    if thing.what == "outside" and _is_builtin_class(name):
        return Refusal("class", True)
    word = "exception" if _is_exception(name) else REFUSED.get(name)
    return Refusal(word, True) if is_instance and word else None


def _is_builtin_class(name: str) -> bool:
    module, _, last = name.rpartition(".")
    return module == "builtins" and isinstance(getattr(builtins, last, None), type)


def _is_exception(name: str) -> bool:
    module, _, last = name.rpartition(".")
    if module == "builtins":
        found = getattr(builtins, last, None)
        return isinstance(found, type) and issubclass(found, BaseException)
    return last.endswith(("Error", "Exception"))
