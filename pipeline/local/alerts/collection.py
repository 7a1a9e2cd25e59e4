"""One collection of resources as a Google API keeps it: create, get, list, update under a mask, delete.

What is kept is the message's JSON, one file a collection, replaced whole; a service that goes on without its disk keeps
it in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask

from pipeline import private
from pipeline.local.control.state import Json, Refused, there

T = TypeVar("T")
Written = Callable[[dict[str, Any], Json | None], dict[str, Any]]


class Collection:
    """Documents by resource name.

    Args:
        message: the (bare) protobuf class of one.
        written: a document as it is kept, given what was there before; raises Refused for one that is not accepted.
    """

    def __init__(self, path: Path, message: Any, written: Written) -> None:
        self._path = path
        self.message = message
        self._written = written
        self._kept: dict[str, dict[str, Any]] = {}
        self._made: dict[str, tuple[Json, Any]] = {}
        with suppress(FileNotFoundError):
            self._kept = json.loads(path.read_text(encoding="utf-8"))

    def __iter__(self) -> Iterator[tuple[str, Json]]:
        return iter(sorted(self._kept.items()))

    def made(self, make: Callable[[Json], T]) -> Iterator[tuple[str, Json, T]]:
        """Each name and document, and what is made of it: once, until it is written again. One ``make`` a collection."""
        for name, document in self:
            known = self._made.get(name)
            if known is None or known[0] is not document:
                known = self._made[name] = (document, make(document))
            yield name, document, known[1]

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    def under(self, parent: str) -> list[str]:
        return [name for name, _ in self if name.startswith(f"{parent}/")]

    def show(self, name: str) -> Any:
        """The message. Raises Refused."""
        return json_format.ParseDict(self.document(name), self.message())

    def document(self, name: str) -> dict[str, Any]:
        """As it is kept. Raises Refused."""
        return there(self._kept.get(name), f"The resource '{name}' does not exist.")

    def create(self, name: str, given: Any) -> Any:
        """Raises Refused when it is there already or is not accepted."""
        if name in self._kept:
            raise Refused("ALREADY_EXISTS", f"The resource '{name}' already exists.")
        return self._put(name, json_format.MessageToDict(given), None)

    def update(self, name: str, given: Any, mask: FieldMask | None = None) -> Any:
        """Replace the fields that the mask names; without one, all of them. Raises Refused."""
        changed = self.show(name)
        if mask is None or not mask.paths:
            changed = given
        else:
            for way in [_way(self.message.DESCRIPTOR, path) for path in mask.paths]:
                _set(changed, given, way)
        return self._put(name, json_format.MessageToDict(changed), self._kept[name])

    def delete(self, name: str) -> None:
        self.show(name)
        del self._kept[name]
        self._made.pop(name, None)
        self._save()

    def keep(self, name: str, document: dict[str, Any]) -> Any:
        """Replace one by what the server itself found out."""
        self._kept[name] = document
        self._save()
        return self.show(name)

    def _put(self, name: str, document: dict[str, Any], before: Json | None) -> Any:
        return self.keep(name, self._written({**document, "name": name}, before))

    def _save(self) -> None:
        with suppress(OSError):
            private.write(self._path, json.dumps(self._kept))


def _way(descriptor: Any, path: str) -> list[str]:
    """The fields that a path leads through; of a map, then the key. Raises Refused.

    Source: google/protobuf/field_mask.proto: a repeated field stands at a path's end alone.
    """
    head, _, rest = path.partition(".")
    field = {field.name.removesuffix("_"): field for field in descriptor.fields}.get(head)
    if field is None:
        raise Refused("INVALID_ARGUMENT", f"update_mask: '{head}' is not a field of {descriptor.name}.")
    if not rest:
        return [field.name]
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return [field.name, rest]
    if kind is None or field.is_repeated:
        raise Refused("INVALID_ARGUMENT", f"update_mask: '{path}': nothing can be named in '{head}', which is {'a list' if field.is_repeated else 'no message'}.")  # fmt: skip
    return [field.name, *_way(kind, rest)]


def _set(message: Any, given: Any, way: Sequence[str]) -> None:
    """What one path names becomes as given: also nothing, where nothing is."""
    name, *rest = way
    field = message.DESCRIPTOR.fields_by_name[name]
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    if rest and is_map:
        getattr(message, name).pop(rest[0], None)
        if rest[0] in (there := getattr(given, name)):
            getattr(message, name)[rest[0]] = there[rest[0]]
    elif rest and (message.HasField(name) or given.HasField(name)):
        _set(getattr(message, name), getattr(given, name), rest)
    elif not rest:
        message.ClearField(name)
        if any(each.name == name for each, _ in given.ListFields()):
            message.MergeFrom(type(message)(**{name: getattr(given, name)}))
