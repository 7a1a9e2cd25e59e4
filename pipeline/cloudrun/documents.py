"""Cloud Run's messages as documents (proto JSON, camelCase, enums by name), and a template back to its message.

What the installed package does not know arrives all the same: Protocol Buffers keep such fields with their numbers.
They are found here, because a write that is made of a document would clear them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from msgspec import Struct

from pipeline.errors import PlanRefused
from pipeline.model import OUTPUT_ONLY
from pipeline.rpc.run import run_v2

Document = Mapping[str, Any]

#: Of a service, what no client owns; who wrote last, and with what, on which nothing depends; and what is written in
#: other ways: the split by the rollout, the template as one revision.
_LEFT_OUT = OUTPUT_ONLY | {"client", "clientVersion", "template", "traffic"}
_OF_THE_BUILD = {
    "buildConfig": "name",
    "containers": "buildInfo",
}  # output only, inside of what a client owns


class Seen(Struct, frozen=True):
    """One message as a document.

    Args:
        unknown: paths of fields that the installed package has no name for, as ``binaryAuthorization.#7``.
    """

    document: Document
    unknown: tuple[str, ...] = ()


def service_fields(service: run_v2.Service) -> Seen:
    """What a client owns of a service, but for its template and its traffic."""
    bare = run_v2.Service.pb(service)
    found = {key: value for key, value in _document(bare).items() if key not in _LEFT_OUT}
    return Seen(found, tuple(_unknown(bare, leave=_LEFT_OUT)))


def service_template(service: run_v2.Service) -> Seen:
    """The template that the service has now, whichever revision's that is."""
    bare = run_v2.Service.pb(service).template
    return Seen(_document(bare), tuple(_unknown(bare)))


def revision_template(revision: run_v2.Revision) -> Seen:
    """The template that a revision was made of, as far as the revision shows it."""
    bare = run_v2.Revision.pb(revision)
    names = {field.json_name for field in run_v2.RevisionTemplate.pb().DESCRIPTOR.fields}
    leave = frozenset(field.json_name for field in bare.DESCRIPTOR.fields if field.json_name not in names)
    found = {key: value for key, value in _document(bare).items() if key in names}
    return Seen(found, tuple(_unknown(bare, leave=leave)))


def template_message(template: Document) -> run_v2.RevisionTemplate:
    """Raises PlanRefused for what no template can hold."""
    made = run_v2.RevisionTemplate()
    try:
        json_format.ParseDict(dict(template), run_v2.RevisionTemplate.pb(made))
    except json_format.ParseError as error:
        raise PlanRefused("the template cannot be written", str(error)) from error
    return made


def _document(message: Message) -> dict[str, Any]:
    return {key: _without_builds(key, value) for key, value in json_format.MessageToDict(message).items()}


def _without_builds(key: str, value: Any) -> Any:
    gone = _OF_THE_BUILD.get(key)
    if gone is None:
        return value
    if isinstance(value, list):
        return [{name: each for name, each in item.items() if name != gone} for item in value]
    return {name: each for name, each in value.items() if name != gone}


def _unknown(message: Message, at: str = "", *, leave: frozenset[str] = frozenset()) -> Iterator[str]:
    """Args: leave: names of fields that are not looked into."""
    numbered: Any = UnknownFieldSet(message)
    yield from (f"{at}.#{each.field_number}".removeprefix(".") for each in numbered)
    for descriptor, value in message.ListFields():
        if descriptor.json_name in leave or descriptor.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        path = f"{at}.{descriptor.json_name}" if at else descriptor.json_name
        if isinstance(value, Message):
            yield from _unknown(value, path)
        elif not isinstance(value, Mapping):  # maps are of texts, all of them
            for index, each in enumerate(value):
                yield from _unknown(each, f"{path}[{getattr(each, 'name', '') or index}]")
