"""The service, its revision and its traffic split, as Pulumi resources; usable from any program.

What is declared follows from the settings and from one read of what is deployed (``live.py``): the service's fields, the
split, the tags and the annotations are declared as they are, and the revision starts from the stable one. So running
the program moves no traffic, clears nothing and loses nobody's notes; what it could not keep it refuses to touch.
Traffic goes to revisions by name, never to LATEST: a later template must not get any by being ready. A tag without
traffic that follows LATEST is declared as it is.

A document becomes the arguments of Pulumi's resource by the provider's own input types. Field by field nothing is written
here: what the types of ``pulumi_gcp.cloudrunv2`` have a word for is handed over under that word, and what they have none
for is told. So a newer provider carries more without a change, and one that drops a field loses nothing unseen.
"""

from __future__ import annotations

import collections.abc
import secrets
import typing
from functools import cache
from typing import Any

import pulumi
from pulumi import _types as pulumi_types
from pulumi_gcp import cloudrunv2

from infra.deployment import Deployment, deployment
from infra.document import NAMED, ZERO_COUNTS, Doc, below, items
from infra.guard import Ruling, rule
from infra.live import Live
from infra.settings import Settings
from pipeline.model import Target

_BY_NAME = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"
_LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
#: Pulumi's plural of names that are singular in the API.
_PLURALS = {"command": "commands", "env": "envs", "dependsOn": "dependsOns"}


class CloudRunService(pulumi.ComponentResource):
    """One Cloud Run service with one named revision.

    Args:
        live: what ``live.read`` returned for the same settings.
        hooks: run around the provider's create and update of the service.

    Raises: FieldsLost where an apply would clear what is live and not waived.
    """

    service: cloudrunv2.Service
    revision: str

    def __init__(
        self,
        name: str,
        settings: Settings,
        live: Live | None,
        opts: pulumi.ResourceOptions | None = None,
        *,
        hooks: pulumi.ResourceHookBinding | None = None,
    ) -> None:
        made, ruling = planned(settings, live)
        ruling.refuse_all(settings.service)
        super().__init__("spillway:index:CloudRunService", name, None, opts)
        self.revision = made.revision
        self.service = cloudrunv2.Service(
            name,
            name=settings.service,
            project=settings.project,
            location=settings.location,
            deletion_protection=settings.deletion_protection,
            traffics=[_traffic(target) for target in made.split.targets],
            opts=pulumi.ResourceOptions(parent=self, hooks=hooks),
            **_hidden(arguments(made.document)[0]),
        )
        self.register_outputs({"uri": self.service.uri, "revision": made.revision})


def planned(settings: Settings, live: Live | None) -> tuple[Deployment, Ruling]:
    """What would be declared, and which way that may go. A new revision gets a secret that nobody can guess."""
    made = deployment(settings, live, secrets.token_hex(16))
    return made, rule(made, arguments(made.document)[1], settings.waive)


def _hidden(inputs: dict[str, Any]) -> dict[str, Any]:
    """What a container is given may be secret, and Pulumi's state is a file."""
    for container in inputs["template"]["containers"]:
        for variable in container.get("envs", ()):
            if "value" in variable:
                variable["value"] = pulumi.Output.secret(variable["value"])
    return inputs


def _traffic(target: Target) -> cloudrunv2.ServiceTrafficArgs:
    return cloudrunv2.ServiceTrafficArgs(
        type=_BY_NAME if target.revision else _LATEST,
        revision=target.revision,
        percent=target.percent,
        tag=target.tag or None,
    )


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
