"""What the settings ask of a template, in the API's words: one document for the template, one for the container.  PURE.

The *container* is the one that serves: it gets the image, the short settings and our variables. All others are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct, field

from infra.document import Doc, overlaid
from infra.settings import Template
from pipeline.errors import ConfigError

_LONGEST_PERIOD_S = 10
#: What a short setting that is to be cleared says: of the template, and of the container.
_CLEARS: Doc = {
    "timeout": {"timeout": None},
    "concurrency": {"maxInstanceRequestConcurrency": None},
    "min_instances": {"scaling": {"minInstanceCount": None}},
    "max_instances": {"scaling": {"maxInstanceCount": None}},
    "service_account": {"serviceAccount": None},
}
_CLEARS_OF_MAIN: Doc = {
    "port": {"ports": None},
    "cpu": {"resources": {"limits": {"cpu": None}}},
    "memory": {"resources": {"limits": {"memory": None}}},
    "startup": {"startupProbe": None},
}


class Asked(Struct, frozen=True):
    """Args:
    template: all but containers.
    main: of the container.
    others: by name.
    """

    template: Doc
    main: Doc
    others: dict[str, Doc] = field(default_factory=dict)


def main_index(containers: Sequence[Doc]) -> int:
    """The container that serves: the one with a port, else the first."""
    return next((index for index, each in enumerate(containers) if each.get("ports")), 0)


def asked_of(wanted: Template, main_name: str) -> Asked:
    """Args: main_name: of the container as it is live; empty where it has none. Raises ConfigError."""
    short, main = _short(wanted)
    fields = {key: value for key, value in wanted.fields.items() if key != "containers"}
    others: dict[str, Doc] = {}
    serving: str | None = None
    for entry in wanted.fields.get("containers") or ():
        name = entry.get("name", "")
        is_main = not name or name == main_name or (not main_name and "image" not in entry)
        if is_main and "image" in entry:
            raise ConfigError(
                f"container.template.containers: {name or 'the first'} is the container that serves",
                f"Its image is the one that is deployed, and {entry['image']:.200} is given beside it.",
                "Leave its image out of the file, and give it with --image.",
            )
        if is_main and serving is not None:
            raise ConfigError(
                f"container.template.containers: {serving or 'the first'} and {name or 'one without a name'}"
                " would both be the container that serves",
                "It is the one without an image, and all others have one of their own.",
                "Give the other one its image, or leave it out.",
            )
        if is_main:
            main, serving = overlaid(main, entry, clears=False), name
        else:
            others[name] = entry
    return Asked(overlaid(short, fields, clears=False), main, others)


def _short(wanted: Template) -> tuple[dict[str, Any], dict[str, Any]]:
    """The short settings: of the template, and of the container."""
    scaling = {"minInstanceCount": wanted.min_instances, "maxInstanceCount": wanted.max_instances}
    limits = {"cpu": wanted.cpu, "memory": wanted.memory}
    template: dict[str, Any] = {
        "timeout": None if wanted.timeout_s is None else f"{wanted.timeout_s}s",
        "maxInstanceRequestConcurrency": wanted.concurrency,
        "scaling": _given(scaling),
        "serviceAccount": wanted.service_account,
    }
    main: dict[str, Any] = {
        "command": list(wanted.command),
        "args": list(wanted.args),
        "env": [{"name": name, "value": value} for name, value in sorted(wanted.env.items())],
        "ports": None if wanted.port is None else ports(wanted.port),
        "resources": {"limits": _given(limits)} if _given(limits) else {},
        "startupProbe": None if wanted.startup_s is None else startup_probe(wanted.startup_s),
    }
    of_template, of_main = ({k: v for k, v in each.items() if v} for each in (template, main))
    for key in wanted.cleared:
        of_template = overlaid(of_template, _CLEARS.get(key, {}), clears=False)
        of_main = overlaid(of_main, _CLEARS_OF_MAIN.get(key, {}), clears=False)
    return of_template, {**of_main, "image": wanted.image}


def _given(values: Doc) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def ports(port: int) -> list[Doc]:
    """http1: a WebSocket upgrade does not pass through HTTP/2 end to end."""
    return [{"name": "http1", "containerPort": port}]


def startup_probe(startup_s: int) -> Doc:
    """TCP, tried until exactly ``startup_s`` have passed."""
    period = next(p for p in range(_LONGEST_PERIOD_S, 0, -1) if startup_s % p == 0)
    return {
        "tcpSocket": {},
        "periodSeconds": period,
        "timeoutSeconds": 1,
        "failureThreshold": startup_s // period,
    }
