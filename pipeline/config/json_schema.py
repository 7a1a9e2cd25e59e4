"""The JSON schema of ``spillway.yaml`` (draft 7, which editors know), made of the classes that the reader reads.

Of the reader's refusals it has those that a JSON schema can say. It never refuses what the reader takes: a key may be
spelt with hyphens or underscores, and what is measured in durations or depends on the disk is left to the reader. A key's
description is its line under ``Args`` in the docstring of its section.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import NODEFAULT, Struct

from pipeline.config import message_schema
from pipeline.config.fields import NAMED_KINDS, Step
from pipeline.config.schema import Checked, Config
from pipeline.config.sections import Key, is_section, keys_of
from pipeline.config.template_section import SERVICE, TEMPLATE
from pipeline.units import format_duration

DRAFT = "http://json-schema.org/draft-07/schema#"
_PLAIN = {str: "string", int: "integer", bool: "boolean", dict: "object", list: "array"}
_SIZES = {"string": "minLength", "array": "minItems", "object": "minProperties"}

Schema = dict[str, Any]


def schema() -> Schema:
    """Of the whole file. One that declares no service to deploy is for the checks alone, and has their keys alone."""
    whole = section(Config)
    required, properties = whole.pop("required"), whole["properties"]
    alone = section(Checked)["properties"]
    stricter = {
        name: {key: value for key, value in of_whole.items() if alone[name].get(key) != value}
        for name, of_whole in properties.items()
        if name in alone and alone[name] != of_whole
    }
    properties |= alone
    begun = [{"required": [name]} for name in ("environments", "scenarios")]
    definitions: Schema = {}
    for path in (TEMPLATE, SERVICE):  # Cloud Run's own messages
        properties["container"]["properties"][path[1]] |= message_schema.of_section(path, definitions)
    return {
        "$schema": DRAFT,
        "title": "spillway.yaml",
        **whole,
        "properties": {"service": properties.pop("service"), **properties},
        "definitions": definitions,
        "if": {"required": ["service"], "anyOf": [*begun, {"not": {"required": ["checks"]}}]},
        "then": {"required": required, "properties": stricter},
        "else": {"properties": {name: False for name in properties if name not in alone}},
    }


def section(shape: Any) -> Schema:
    """Of a section: its keys, and what its class says of them together."""
    said, keys = described(shape), keys_of(shape)
    properties: Schema = {}
    for key in keys:
        properties[key.name] = {
            "description": said.get(key.field.name, ""), **of_hint(key.hint), **_default(key),
        }  # fmt: skip
    for key in keys:
        if key.field.name not in properties:  # the reader takes either spelling
            properties[key.field.name] = {**properties[key.name], "deprecated": True, "doNotSuggest": True}
    made: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    needed = [key for key in keys if key.is_required]
    required = [key.name for key in needed if key.name == key.field.name]
    either = [_either(key.name, key.field.name) for key in needed if key.name != key.field.name]
    rules = [*either, *([shape.SCHEMA] if hasattr(shape, "SCHEMA") else [])]
    made |= ({"required": required} if required else {}) | ({"allOf": rules} if rules else {})
    short = getattr(shape, "SHORT", "")
    return {"anyOf": [properties[short], made]} if short else made


def _either(*names: str) -> Schema:
    return {"anyOf": [{"required": [name]} for name in names]}


def of_hint(hint: Any) -> Schema:
    """Of what a field is declared to be; see ``Reader.read``, which this follows."""
    origin, inner = get_origin(hint), get_args(hint)
    if is_section(hint):
        return section(hint)
    if origin is Annotated:
        return _stepped(of_hint(inner[0]), inner[1:])
    if origin in (Union, UnionType):
        return {"anyOf": [of_hint(inner[0]), {"type": "null"}]}
    if origin in (list, tuple):
        return {"type": "array", "items": of_hint(inner[0])}
    if origin in (dict, Mapping):
        made = {"type": "object", "additionalProperties": of_hint(inner[1])}
        names = {key: value for key, value in of_hint(inner[0]).items() if key != "type"}
        made |= {"propertyNames": names} if names else {}
        keys_alone = {"type": "array", "items": {"type": "string"}}
        return {"anyOf": [made, keys_alone]} if origin is Mapping else made
    if origin is Literal:
        return {"enum": list(inner)}
    return {"type": _PLAIN[hint]} if hint in _PLAIN else {}


def _stepped(made: Schema, steps: tuple[Any, ...]) -> Schema:
    kind = made.get("type")
    for each in steps:
        step = NAMED_KINDS.get(each, each)
        added = {
            key: value
            for key, value in (step.schema if isinstance(step, Step) else {}).items()
            if key not in _SIZES.values() or key == _SIZES.get(str(kind))  # one of them fits
        }
        clash = made.keys() & added.keys()
        rest = {key: value for key, value in added.items() if key not in clash}
        more = {"allOf": [*made.get("allOf", ()), {key: added[key] for key in clash}]} if clash else {}
        made = {**made, **rest, **more}
    return made


def _default(key: Key) -> Schema:
    """The default as it would stand in the file; nothing where it is to have none."""
    field = key.field
    value = field.default_factory() if field.default_factory is not NODEFAULT else field.default
    if short := getattr(value, "SHORT", ""):
        value = getattr(value, short)
    if value is NODEFAULT or value is None or value in ("", [], {}, ()) or isinstance(value, Struct):
        return {}
    return {"default": _written(value, key.hint)}


def _written(value: Any, hint: Any) -> Any:
    steps = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    writers = [step.write for step in steps if isinstance(step, Step) and step.write]
    if writers:
        return writers[0](value)
    if isinstance(value, list):
        return [_written(each, None) for each in value]
    if isinstance(value, Struct):
        shape: Any = type(value)
        return {
            key.name: _written(getattr(value, key.field.name), key.hint)
            for key in keys_of(shape)
            if getattr(value, key.field.name) != key.field.default
        }
    if isinstance(value, timedelta):
        return format_duration(value)
    return value.value if isinstance(value, Enum) else value


def described(shape: Any) -> Mapping[str, str]:
    """Field to its line under ``Args`` in the docstring, and "" to what the docstring says before."""
    said: dict[str, str] = {}
    names = set(shape.__struct_fields__)
    for base in reversed(shape.__mro__):
        head, _, rows = (inspect.getdoc(base) or "").partition("\nArgs:\n")
        name = ""
        for line in rows.split("\n"):
            begins = re.match(r" {4}(\w+): (.*)", line)
            if begins and begins[1] in names:
                name = begins[1]
                said[name] = begins[2]
            elif name and line.startswith(" " * 8):
                said[name] = f"{said[name]} {line.strip()}"
            else:
                name = ""
        said[""] = " ".join(head.split())
    return said
