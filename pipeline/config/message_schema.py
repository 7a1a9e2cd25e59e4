"""The JSON schema of Cloud Run's own messages, as ``container: template:`` and ``service:`` take them.

Made of the client package's descriptors, as ``template_section.py`` reads them: a field in either spelling, null to clear
it, an enum's value by name, a duration as a text. What depends on several fields is left to the reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, product
from typing import Any, get_args

from pipeline.config.fields import Duration
from pipeline.config.template_section import (
    NOT_OF_THE_FILE,
    SERVICE,
    Path,
    descriptor_of,
    most,
    type_of,
    words,
)
from pipeline.model import OUTPUT_ONLY, OWN_VARIABLES, RESERVED_NAMESPACES

_DURATION = "google.protobuf.Duration"
_NAME = {"type": "string", "minLength": 1}
#: of the things of a list: which of them need a name
_OF_THINGS = {
    "containers": {
        "anyOf": [
            {"required": ["name"], "properties": {"name": _NAME}},
            {"properties": {"image": {"maxLength": 0}}},
        ]
    },
    "volumes": {"required": ["name"], "properties": {"name": _NAME}},
    "volumeMounts": {"required": ["name"], "properties": {"name": _NAME}},
    "env": {"required": ["name"], "properties": {"name": {**_NAME, "not": {"enum": sorted(OWN_VARIABLES)}}}},
}
_PLAIN = {str: "string", bool: "boolean", float: "number"}

Schema = dict[str, Any]


def of_section(path: Path, definitions: Schema) -> Schema:
    """Of one of the two sections. Args: definitions: gets every message that is met, by its full name."""
    refused = NOT_OF_THE_FILE[path]
    fields = [
        field for field in descriptor_of(path).fields
        if field.name not in refused and not (path == SERVICE and field.json_name in OUTPUT_ONLY)
    ]  # fmt: skip
    made = _message(fields, definitions)
    properties = made["properties"]
    for name in ("labels", "annotations"):
        properties[name] = {**properties[name], "propertyNames": _theirs()}
    if (
        path == SERVICE
    ):  # whom nobody reaches cannot be rolled out to; the others need probes.address, or a job
        reached = ("ALL", "INTERNAL_ONLY", "INTERNAL_LOAD_BALANCER")
        properties["ingress"] = {"enum": [*(f"INGRESS_TRAFFIC_{each}" for each in reached), None]}
    return made


def _theirs() -> Schema:
    """Keys of labels and annotations that are the file's to set: neither Cloud Run's nor ours."""
    from infra.deployment import OWN_ANNOTATIONS

    namespaces = "|".join(map(re.escape, RESERVED_NAMESPACES))
    reserved = {"pattern": rf"^(?:[^/]*\.)?(?:{namespaces})/"}
    return {"not": {"anyOf": [reserved, {"enum": sorted(OWN_ANNOTATIONS)}]}}


def _message(fields: list[Any], definitions: Schema) -> Schema:
    properties = {word: _field(field, definitions) for field in fields for word in words(field)}
    made: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    exclusive = list(_exclusive({field.json_name: words(field) for field in fields}))
    return made | ({"allOf": exclusive} if exclusive else {})


def _exclusive(spelt: dict[str, tuple[str, str]]) -> Iterator[Schema]:
    """Of some fields a message has one."""
    from infra.document import ONE_OF

    there = {"not": {"type": "null"}}
    for group in ONE_OF:
        for one, other in combinations([name for name in group if name in spelt], 2):
            for pair in product(set(spelt[one]), set(spelt[other])):
                yield {"not": {"required": sorted(pair), "properties": dict.fromkeys(sorted(pair), there)}}


def _field(field: Any, definitions: Schema) -> Schema:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}}
    one = _one(field, definitions)
    if field.is_repeated and (rule := _OF_THINGS.get(field.json_name)):
        one = {"allOf": [one, rule]}
    return {"anyOf": [{"type": "array", "items": one} if field.is_repeated else one, {"type": "null"}]}


def _one(field: Any, definitions: Schema) -> Schema:
    if field.enum_type is not None:
        return {"enum": [each.name for each in field.enum_type.values if each.number]}
    if field.message_type is None:
        kind = _PLAIN.get(type_of(field))
        return {"type": kind} if kind else {"type": "integer", "minimum": 0, "maximum": most(field)}
    if field.message_type.full_name == _DURATION:
        return dict(get_args(Duration)[1].schema)
    name = field.message_type.full_name
    if name not in definitions:
        definitions[name] = {}  # met: what it holds may lead back to it
        definitions[name] = _message(list(field.message_type.fields), definitions)
    return {"$ref": f"#/definitions/{name}"}
