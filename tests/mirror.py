"""Values as pydantic knew them: it wrote the first records and settings, and says what ours must still read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, make_dataclass
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Any, Union, get_args, get_origin

from msgspec import NODEFAULT, Struct, structs


@cache
def shape(kind: Any) -> Any:
    """The dataclass with the fields of a value's class, and so with all that stands in them."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        rows = [(each.name, shape(each.type), _default(each)) for each in structs.fields(kind)]
        made = make_dataclass(kind.__name__, rows, frozen=True)
        made.__pydantic_config__ = {"extra": "forbid"} if kind.__struct_config__.forbid_unknown_fields else {}
        return made
    origin, inner = get_origin(kind), tuple(map(shape, get_args(kind)))
    if origin in (Union, UnionType):
        return reduce(or_, inner)
    return origin[inner] if origin in (Mapping, tuple, list, dict) else kind


def _default(of: structs.FieldInfo) -> Any:
    if of.default_factory is not NODEFAULT:
        made = of.default_factory
        return field(default_factory=lambda: mirrored(made()))
    return field() if of.default is NODEFAULT else field(default=mirrored(of.default))


def mirrored(value: Any) -> Any:
    """The same value, made of those dataclasses."""
    if isinstance(value, Struct):
        return shape(type(value))(**{name: mirrored(each) for name, each in structs.asdict(value).items()})
    if isinstance(value, Mapping):
        return {key: mirrored(each) for key, each in value.items()}
    return tuple(map(mirrored, value)) if isinstance(value, tuple) else value
