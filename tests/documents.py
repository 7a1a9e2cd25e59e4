"""What commands print with ``-o json``, held to the published schema."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema

from pipeline.app import output_schema

_GROUPS = ("local",)


def command_of(words: tuple[str, ...]) -> str:
    """The command's name in the schema: ``local_up`` for ``local up``."""
    return "_".join(words[:2]) if words[0] in _GROUPS else words[0]


def hold(words: tuple[str, ...], document: Mapping[str, Any], *, closed: bool = False) -> None:
    """Args: closed: a key that the schema does not name is refused too, though users' readers must take it."""
    command = command_of(words)
    errors = sorted(_judge(command, closed=closed).iter_errors(document), key=lambda e: list(e.path))
    assert not errors, f"{' '.join(words)}: pipeline/app/output_schema.py says otherwise: {_told(errors[0])}"


def _told(error: jsonschema.ValidationError) -> str:
    best = jsonschema.exceptions.best_match([error]) or error
    return f"{best.json_path}: {best.message[:300]}"


@cache
def _judge(command: str, *, closed: bool) -> jsonschema.Draft202012Validator:
    made = output_schema.schema()
    definitions = _closed(made["$defs"]) if closed else made["$defs"]
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{command}", "$defs": definitions})


def _closed(schema: Any) -> Any:
    """The same, taking no key that is not named, where it does not say that there are others."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _closed(each) for key, each in schema.items()}
    is_record = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
    return {"additionalProperties": False, **made} if is_record else made
