"""What is deployed now, read before anything is declared.

A program that declares a split of its own would move traffic each time it runs, and one that declares a template of its
own would clear what it does not know. This one declares what it has just read, so it needs one honest read: only "no
such service" means that there is nothing yet. Every other error stops the program, because "could not look" must never
become "there is nothing, so the new revision gets everything".

The reader is imported by the first read: previews of other stacks need none of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from infra.compose import compose, made_of
from infra.deployment import Live
from infra.document import covers
from infra.settings import Settings
from pipeline.errors import RevisionNotFound, ServiceNotFound
from pipeline.model import RECORD_ANNOTATION, STABLE_TAG, Split

if TYPE_CHECKING:
    import grpc

    from pipeline.cloudrun.documents import Seen
    from pipeline.cloudrun.service import CloudRun

__all__ = ["Live", "etag", "read", "stable_of"]

_HEALTH = "healthCheckDisabled"
_UNDER_WAY = ("deploying", "rolling", "paused", "rolling_back")  # phases of a record


def read(settings: Settings, channel: grpc.Channel | None = None) -> Live | None:
    """The service as it is, or None when it does not exist.

    Raises: AccessError, PlatformUnavailable, RequestRejected; RevisionNotFound when the stable revision is gone.

    Args:
        channel: to a Cloud Run of one's own; None is the one that the settings name.
    """
    from pipeline.cloudrun.service import CloudRun

    platform = CloudRun.of(settings.ref, channel)
    try:
        service, fields, template = platform.described(settings.ref)
    except ServiceNotFound:
        return None
    stable = "" if service.serves_nobody else stable_of(service.pinned, service.annotations)
    find = partial(_template, platform, settings, service.latest_created, template)
    base = find(stable) if stable else None
    if stable and base is None:
        raise RevisionNotFound(
            f"{settings.service}: its stable revision {stable} is gone",
            "The next revision would start from nothing, and lose every setting of that one.",
            f"Choose another one: spillway rollback {settings.ref.name} --to REVISION",
        )
    name = compose(settings, stable, base.document if base else None).revision
    there = base if name == stable else find(name)
    return Live(
        service.etag,
        service.pinned,
        service.annotations,
        generation=service.generation,
        serves_nobody=service.serves_nobody,
        fields=fields.document,
        stable=stable,
        base=base.document if base else None,
        there=there.document if there else None,
        unknown=fields.unknown,
        unknown_base=base.unknown if base else (),
    )


def etag(settings: Settings, channel: grpc.Channel | None = None) -> str:
    """Of the service as it is now, in one call; empty when it does not exist. Raises as ``read``."""
    from pipeline.cloudrun.service import CloudRun

    platform = CloudRun.of(settings.ref, channel)
    try:
        return platform.read(settings.ref).etag
    except ServiceNotFound:
        return ""


def stable_of(split: Split, annotations: Mapping[str, str] = MappingProxyType({})) -> str:
    """The revision that the next one starts from; empty while nobody is served.

    A rollout that is under way says so in its record. Otherwise it is whoever has all traffic, and of a split by hand
    who carries our tag, or has most.
    """
    with suppress(KeyError, TypeError, ValueError):  # there may be none that can be read
        record = json.loads(annotations.get(RECORD_ANNOTATION, "{}"))
        if record["phase"] in _UNDER_WAY:
            return str(record["plan"]["stable"])
    shares = {name: percent for name, percent in split.serving.items() if name}
    tagged = split.tagged(STABLE_TAG)
    most = max(shares, key=lambda name: shares[name], default="")
    return tagged if tagged in shares and len(shares) > 1 else most


def _template(
    platform: CloudRun, settings: Settings, latest: str, of_service: Seen, name: str
) -> Seen | None:
    """A revision's template, with what a revision does not show and the service's own template does.

    What of an unknown field is the template's, and not just said of a revision, the service's own template tells.
    """
    try:
        found = platform.template(settings.ref, name)
    except RevisionNotFound:
        return None
    unknown = found.unknown
    if latest == name:
        beside = (path for path in unknown if not path.startswith("#"))
        unknown = tuple(dict.fromkeys((*beside, *of_service.unknown)))
    made = made_of(latest, of_service.document)
    is_of_another = latest != name and made is not None and any(covers(_HEALTH, key) for key in made.keys)
    unseen = {
        key: value for key, value in of_service.document.items() if key == _HEALTH and not is_of_another
    }
    return replace(found, document={**found.document, **unseen}, unknown=unknown)
