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
from pipeline.local.control.state import Json, Refused

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
        if name not in self._kept:
            raise Refused("NOT_FOUND", f"The resource '{name}' does not exist.")
        return json_format.ParseDict(self._kept[name], self.message())

    def create(self, name: str, given: Any) -> Any:
        """Raises Refused when it is there already or is not accepted."""
        if name in self._kept:
            raise Refused("ALREADY_EXISTS", f"The resource '{name}' already exists.")
        return self._put(name, _plain(given), None)

    def update(self, name: str, given: Any, mask: FieldMask | None = None) -> Any:
        """Replace the fields that the mask names; without one, all of them. Raises Refused."""
        self.show(name)
        before, change = self._kept[name], _plain(given)
        if mask is not None and mask.paths:
            change = _merged(before, change, self._known(mask))
        return self._put(name, change, before)

    def delete(self, name: str) -> None:
        self.show(name)
        del self._kept[name]
        self._made.pop(name, None)
        self._save()

    def _put(self, name: str, document: dict[str, Any], before: Json | None) -> Any:
        self._kept[name] = self._written({**document, "name": name}, before)
        self._save()
        return self.show(name)

    def _known(self, mask: FieldMask) -> Sequence[str]:
        """The top-level fields that the mask names, as JSON spells them. Raises Refused."""
        fields = {f.name.removesuffix("_"): f for f in self.message.DESCRIPTOR.fields}
        heads = [path.partition(".")[0] for path in mask.paths]
        if unknown := next((head for head in heads if head not in fields), None):
            raise Refused("INVALID_ARGUMENT", f"update_mask: '{unknown}' is not a field of {self.message.DESCRIPTOR.name}.")  # fmt: skip
        return [fields[head].json_name for head in heads]

    def _save(self) -> None:
        with suppress(OSError):
            private.write(self._path, json.dumps(self._kept))


def _plain(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(message)


def _merged(before: Json, change: Json, keys: Sequence[str]) -> dict[str, Any]:
    kept = {key: value for key, value in before.items() if key not in keys}
    return {**kept, **{key: change[key] for key in keys if key in change}}
