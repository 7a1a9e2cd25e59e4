"""``gcp:cloudrunv2/service:Service`` as Pulumi spells it, and ``run_v2.Service``: both ways.

Both follow the API's own field names in camelCase; what differs is written here and nowhere else. A field that the API
does not know is an error, not something to leave out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import json_format

from pipeline.local.provider.fields import MAPS, PROVIDER_ONLY, Json
from pipeline.rpc.run import run_v2

_TO_API = {"traffics": "traffic", "commands": "command", "envs": "env", "dependsOns": "dependsOn"}
_TO_PULUMI = {api: pulumi for pulumi, api in _TO_API.items()}
_SINGLE = frozenset({"ports"})  # a list in the API, one object in Pulumi


def to_message(inputs: Json) -> run_v2.Service:
    """What to write. Raises ValueError for a field that the API does not have."""
    spec = {key: value for key, value in inputs.items() if key not in PROVIDER_ONLY}
    service = run_v2.Service()
    try:
        json_format.ParseDict(_translated(spec, _TO_API, lambda value: [value]), run_v2.Service.pb(service))
    except json_format.ParseError as error:
        raise ValueError(str(error)) from error
    return service


def to_outputs(service: run_v2.Service) -> dict[str, Any]:
    """What is there, fields at their default left out."""
    found = json_format.MessageToDict(run_v2.Service.pb(service))
    return _translated(found, _TO_PULUMI, lambda value: value[0])


def _translated(value: Any, names: Mapping[str, str], fold: Callable[[Any], Any]) -> Any:
    if isinstance(value, list):
        return [_translated(item, names, fold) for item in value]
    if not isinstance(value, dict):
        return value
    made = {}
    for key, item in value.items():
        new = item if key in MAPS else _translated(item, names, fold)
        made[names.get(key, key)] = fold(new) if key in _SINGLE else new
    return made
