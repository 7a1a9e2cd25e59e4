"""A request message from the path, the query and the JSON body of an HTTP call.

Names may be in camelCase or in snake_case. What the message has no place for is refused, all of it at once, in the
words of Google's own transcoder.
Source: protobuf's JSON mapping; ``google.api.http`` (http.proto) for what comes from where.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, reduce
from itertools import islice
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.message import Message
from msgspec import Struct

from pipeline.local.control.state import Refused

_WELL_KNOWN = "google.protobuf."
_MASK = "google.protobuf.FieldMask"
_SHOWN = 200  # characters of a value that is refused
_TOLD = 100  # violations
_INVALID = "Invalid JSON payload received."

Descriptor = Any  # of a message, and of a field; their stubs say None where protobuf says it by another field
Field = Any
Json = dict[str, Any]
Pairs = Sequence[tuple[str, str]]


class Violation(Struct, frozen=True):
    """What is wrong with one field of a payload, or with a query parameter.

    Args:
        field: dotted path of the message that it stands in; empty for the request itself.
    """

    field: str
    description: str


class BadPayload(Refused):
    """A body or query that is not a request of the method; all that is wrong with it at once."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("INVALID_ARGUMENT", "\n".join(each.description for each in violations))
        self.violations = violations


def request_of(
    kind: type[Message], *, body_field: str, path: Mapping[str, str], query: Pairs, body: bytes
) -> Message:
    """The request. Raises BadPayload.

    Args:
        body_field: field of the request that the body is; ``*`` for all of it, empty for none.
        path: values of fields, dotted, which stand in the path and beat those of the body.
        query: parameters that are not the API's own (``alt`` and so on).
    """
    given = _object(body)
    fields = {"": {}, "*": given}.get(body_field, {body_field: given})
    bound, violations = _bound(kind.DESCRIPTOR, query, taken=(body_field, *path))
    if not body_field:
        violations += [_unknown(name, "", "Cannot find field.") for name in given]
    violations += islice(_violations(kind.DESCRIPTOR, {**fields, **bound}, ""), _TOLD)
    if violations:
        raise BadPayload(violations[:_TOLD])
    request = kind()
    try:
        json_format.ParseDict({**fields, **bound}, request)
    except json_format.ParseError as error:  # whatever the checks above do not know
        raise BadPayload([Violation("", f"{_INVALID} {error}")]) from error
    for name, value in path.items():
        *parents, last = name.split(".")
        setattr(reduce(getattr, parents, request), last, value)
    return request


def _object(body: bytes) -> Json:
    """The body as JSON; empty stands for an empty object. Raises BadPayload."""
    if not body.strip():
        return {}
    try:
        found = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise BadPayload([Violation("", f"{_INVALID} {error or 'It is too deep.'}")]) from error
    if not isinstance(found, dict):
        raise BadPayload([_unknown("", "", "Root element must be a message.")])
    return found


def _violations(kind: Descriptor, given: Json, path: str) -> Iterator[Violation]:
    known = _names(kind)
    for name, value in given.items():
        field = known.get(name)
        if field is None:
            yield _unknown(name, path, "Cannot find field.")
        elif isinstance(value, list) and not _is_list(field):
            yield _unknown(name, path, "Proto field is not repeating, cannot start list.")
        elif value is not None:  # null is as if it were not there
            at = f"{path}.{_name(field)}" if path else _name(field)
            for of, each, where in _elements(field, value, at):
                yield from _of_value(of, each, where)


def _elements(field: Field, value: Any, where: str) -> Iterator[tuple[Field, Any, str]]:
    """Each value that stands in one of a field, with the field that it is of and its path."""
    if isinstance(value, list):
        yield from ((field, each, f"{where}[{index}]") for index, each in enumerate(value))
    elif isinstance(value, dict) and _is_map(field):
        of = field.message_type.fields_by_name["value"]
        yield from ((of, each, f"{where}[{index}].value") for index, each in enumerate(value.values()))
    else:
        yield field, value, where


def _of_value(field: Field, value: Any, where: str) -> Iterator[Violation]:
    if _has_fields(field) and isinstance(value, dict):
        yield from _violations(field.message_type, value, where)
    elif _has_fields(field) or not _is_readable(field, value):
        yield Violation(where, f"Invalid value at '{where}' ({_type_of(field)}), {_shown(value)}")


def _is_readable(field: Field, value: Any) -> bool:
    """Whether protobuf takes the value for a field that has no fields of its own."""
    if isinstance(value, str) and field.type == FieldDescriptorProto.TYPE_STRING:
        return True  # nearly all of a large body: not worth a message each
    holder = message_factory.GetMessageClass(field.containing_type)()
    try:
        json_format.ParseDict({field.json_name: [value] if _is_list(field) else value}, holder)
    except json_format.ParseError:
        return False
    return True


def _bound(kind: Descriptor, query: Pairs, taken: Sequence[str]) -> tuple[Json, list[Violation]]:
    """Query parameters as JSON of the request's fields, and those that have no place there."""
    known = {name: field for name, field in _names(kind).items() if field.name not in taken}
    bound: Json = {}
    violations = []
    for name, text in query:
        field = known.get(name)
        if field is None or _has_fields(field) or _is_map(field) or _is_list(field):
            what = f"Cannot bind query parameter. Field '{name}' could not be found in request message."
            violations.append(_unknown(name, "", what))
        elif field.json_name in bound:
            violations.append(_unknown(name, "", "Proto field is not repeating, cannot start list."))
        else:
            bound[field.json_name] = _from_text(field, text)
    return bound, violations


def _from_text(field: Field, text: str) -> Any:
    if field.type == FieldDescriptorProto.TYPE_BOOL:
        return {"true": True, "false": False, "1": True, "0": False}.get(text.lower(), text)
    if field.message_type and field.message_type.full_name == _MASK:
        return re.sub(
            r"_([a-z0-9])", lambda found: found[1].upper(), text
        )  # the one form that protobuf reads
    return text


@cache
def _names(kind: Descriptor) -> dict[str, Field]:
    """Every name that JSON may call a field by."""
    return {name: field for field in kind.fields for name in (_name(field), field.json_name)}


def _is_map(field: Field) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)


def _is_list(field: Field) -> bool:
    return bool(field.is_repeated) and not _is_map(field)


def _has_fields(field: Field) -> bool:
    """Whether its value is an object with fields: no map, and none of the messages that JSON spells as one value."""
    kind = field.message_type
    return bool(kind) and not _is_map(field) and not kind.full_name.startswith(_WELL_KNOWN)


def _name(field: Field) -> str:
    """The API's: the client package appends to ``type`` and the like what Python asks for."""
    return str(field.name.removesuffix("_"))


def _unknown(name: str, path: str, what: str) -> Violation:
    at = f" at '{path}'" if path else ""
    return Violation(path, f'{_INVALID} Unknown name "{name}"{at}: {what}')


def _type_of(field: Field) -> str:
    named = field.enum_type or field.message_type
    return f"type.googleapis.com/{named.full_name}" if named else FieldDescriptorProto.Type.Name(field.type)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
