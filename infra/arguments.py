"""A service's document as the arguments of Pulumi's resource, found from the provider's own input types.

Field by field nothing is written here: what the types of ``pulumi_gcp.cloudrunv2`` have a word for is handed over under
that word, and what they have none for is told. So a newer provider carries more without a change, and one that drops a
field loses nothing unseen.
"""

from __future__ import annotations

import collections.abc
import typing
from functools import cache
from typing import Any

from pulumi import _types as pulumi_types
from pulumi_gcp import cloudrunv2

from infra.document import NAMED, ZERO_COUNTS, Doc, below, items

#: Pulumi's plural of names that are singular in the API.
_PLURALS = {"command": "commands", "env": "envs", "dependsOn": "dependsOns"}


def arguments(document: Doc) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Keyword arguments of ``cloudrunv2.Service``, as plain values, and the paths of what it has no argument for."""
    beyond: list[str] = []
    return _object(cloudrunv2.ServiceArgs, document, "", beyond), tuple(beyond)


def _object(kind: type, document: Doc, at: str, beyond: list[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    names, types = _words(kind)
    for key, value in document.items():
        path, word = below(at, key), _PLURALS.get(key, key)
        is_zero_that_counts = key in ZERO_COUNTS and not value  # the provider leaves zeros out
        if word not in types or is_zero_that_counts:
            beyond.append(path)
            continue
        found = _value(types[word], key, value, path, beyond)
        if found is not None:
            made[names[word]] = found
    return made


def _value(kind: Any, key: str, value: Any, path: str, beyond: list[str]) -> Any:
    """The value as this type takes it; None, and the path is told, where it does not."""
    origin = typing.get_origin(kind)
    if origin is collections.abc.Mapping:
        return dict(value)
    if isinstance(value, list) and origin is collections.abc.Sequence:
        inner = _first(typing.get_args(kind)[0])
        named = (
            items(key, value) if key in NAMED else {str(number): item for number, item in enumerate(value)}
        )
        return [_value(inner, key, item, f"{path}[{name}]", beyond) for name, item in named.items()]
    if isinstance(value, list) and len(value) == 1:  # one port: a list in the API alone
        return _value(kind, key, value[0], path, beyond)
    if isinstance(value, dict) and pulumi_types.is_input_type(kind):
        return _object(kind, value, path, beyond)
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    beyond.append(path)
    return None


@cache
def _words(kind: type) -> tuple[dict[str, str], dict[str, Any]]:
    """Python's names by the provider's, and the types by the provider's."""
    names = {theirs: ours for ours, theirs in pulumi_types.input_type_py_to_pulumi_names(kind).items()}
    return names, pulumi_types.input_type_types(kind)


def _first(kind: Any) -> Any:
    """Of "a value, or a promise of one", the value."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Union else kind
