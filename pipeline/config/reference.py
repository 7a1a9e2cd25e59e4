"""``spillway.yaml``, key by key, as Markdown: a table for each section, made of its JSON schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.config import json_schema
from pipeline.config.json_schema import Schema
from pipeline.config.template_section import SERVICE, TEMPLATE

_HEAD = """\
# spillway.yaml, key by key

Made of the code by `spillway schema --markdown`; `spillway schema` prints the same as a JSON schema, for editors. A
duration is a text with its unit (`500ms`, `5m`, `1h30m`), a rate a percentage (`0.1%`). Keys that are not known are
errors, and so are duplicates, and numbers that YAML 1.1 and 1.2 read differently. An event is its `type`, or fields by
dotted path (`{type: done, payload.status: ok}`); `repeats: true` lets it come again, and fields that are called like an
option stand under `match:`.
"""
_OF_CLOUD_RUN = (TEMPLATE, SERVICE)


def page() -> str:
    """The whole page."""
    whole = json_schema.schema()
    return "\n".join([_HEAD, *_section(whole, (), whole["then"]["required"])]).rstrip() + "\n"


def _section(made: Schema, path: tuple[str, ...], needed: list[str]) -> Iterator[str]:
    rows = {key: value for key, value in made["properties"].items() if not value.get("deprecated")}
    yield f"## {'.'.join(path) or 'The file'}\n"
    yield "| key | value | default | |"
    yield "|---|---|---|---|"
    for key, value in rows.items():
        default = "**needed**" if key in needed else _default(value)
        yield f"| `{key}` | {_kind(value, (*path, key))} | {default} | {_cell(value.get('description', ''))} |"
    yield ""
    for key, value in rows.items():
        if (*path, key) not in _OF_CLOUD_RUN and (found := _inner(value)):
            inner, step = found
            yield from _section(inner, (*path, f"{key}{step}"), _needed(inner))


def _needed(made: Schema) -> list[str]:
    either = [rule["anyOf"][0]["required"] for rule in made.get("allOf", ()) if _is_either(rule)]
    return [*made.get("required", ()), *(names[0] for names in either)]


def _is_either(rule: Mapping[str, Any]) -> bool:
    return all(choice.keys() == {"required"} for choice in rule.get("anyOf", [{}]))


def _inner(value: Schema) -> tuple[Schema, str] | None:
    """The section that a key holds, itself, in a list or by name, and how it is reached."""
    if "title" in value:  # told in words
        return None
    if "properties" in value:
        return value, ""
    for choice in value.get("anyOf", ()):
        if found := _inner(choice):
            return found
    for key, step in (("items", "[]"), ("additionalProperties", ".NAME")):
        inner = value.get(key)
        if isinstance(inner, dict) and (found := _inner(inner)):
            return found[0], step + found[1]
    return None


def _kind(value: Schema, path: tuple[str, ...]) -> str:
    if path in _OF_CLOUD_RUN:
        return "Cloud Run's own message"
    if "title" in value:
        return str(value["title"])
    if "anyOf" in value:
        first, *others = value["anyOf"]
        is_short = "properties" not in first and any("properties" in each for each in others)
        return _kind(first, path) + (", or a section" if is_short else "")
    choices = value.get("enum", [value["const"]] if "const" in value else [])
    return ", ".join(f"`{each}`" for each in choices) or _of_type(value, path)


def _of_type(value: Schema, path: tuple[str, ...]) -> str:
    match value.get("type"):
        case "array":
            return f"list of {_kind(value['items'], path)}"
        case "object" if "properties" in value:
            return "section"
        case "object":
            inner = value["additionalProperties"] if value.get("additionalProperties") else {}
            return f"by name: {_kind(inner, path)}"
        case "string":
            return _text(value)
        case "integer":
            return f"{value['minimum']} to {value['maximum']:,}"
        case "boolean":
            return "`true`, `false`"
    return "anything"


def _text(value: Schema) -> str:
    kinds = (("ms|[smhd]", "duration"), ("%$", "rate"), (r"\s+in\s+", "odds"), ("KiB", "size"))
    kind = next((words for piece, words in kinds if piece in value.get("pattern", "")), "text")
    return f"{kind} {value['$comment']}" if "$comment" in value else kind


def _default(value: Schema) -> str:
    if "default" not in value:
        return ""
    default = value["default"]
    text = default if isinstance(default, str) else json.dumps(default).replace('"', "")
    return f"`{_cell(text)}`"


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")
