"""What the program declares: the service as it is live, with the next revision's template and what else is asked.  PURE.

Of the service's labels and annotations the names of those that the settings set are noted, as on a revision
(``compose.py``), in an annotation of the service: a key that is not asked for any more goes, and one that never was stays
as somebody else made it. All other fields of the service stay as they are live until something else is asked for: null
clears them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from infra.compose import MADE_ANNOTATION, compose, unreserved
from infra.document import Doc, below, overlaid, without
from infra.settings import Settings
from pipeline.model import DRAIN_ANNOTATION, RECORD_ANNOTATION, UNREADABLE_ANNOTATION, Split, Target

_NEW: Doc = {"ingress": "INGRESS_TRAFFIC_ALL"}
KEYS_ANNOTATION = "spillway.service/made"
#: Written by Spillway alone: nothing that is asked removes them.
OWN_ANNOTATIONS = frozenset({
    MADE_ANNOTATION, KEYS_ANNOTATION, RECORD_ANNOTATION, UNREADABLE_ANNOTATION, DRAIN_ANNOTATION,
})  # fmt: skip
_KINDS = ("labels", "annotations")


class Live(Struct, frozen=True):
    """One read of a service that exists.

    Args:
        split: spec traffic; what LATEST is given is the latest ready revision's, or None's while there is none. A line
            without traffic whose revision is None is a tag that follows LATEST.
        annotations: all of them, so that other people's and our record survive.
        generation: one more with each write, whoever writes.
        serves_nobody: it is settled and no revision ever became ready: there is no traffic that could be moved.
        fields: what a client owns of the service beside its template and traffic; annotations too.
        stable: the revision that the next one starts from; empty where nothing ever served.
        base: its template as it is.
        there: the template of the revision that the settings make, where that exists already.
        unknown, unknown_base: paths of fields that no version here knows, of the service and of the base.
    """

    etag: str
    split: Split
    annotations: Mapping[str, str] = field(default_factory=dict)
    generation: int = 0
    serves_nobody: bool = False
    fields: Doc = field(default_factory=dict)
    stable: str = ""
    base: Doc | None = None
    there: Doc | None = None
    unknown: tuple[str, ...] = ()
    unknown_base: tuple[str, ...] = ()


class Deployment(Struct, frozen=True):
    """One service to be declared, in the API's own words.

    Args:
        revision: its name; the stable revision's where nothing is to be made.
        fields: of the service, without template and traffic, and without what no request may carry.
        template: of the revision, its secret and its name in it.
        stable: the revision that it starts from; empty for none.
        before: as it is live: the service's fields, and under ``template`` the base. None for a new service.
        cleared: of the template: fields to be cleared that would come back from the provider's state.
        unknown: fields of the service that no version here knows; ``unknown_base`` those of the base.
    """

    revision: str
    split: Split
    fields: Doc
    template: Doc
    stable: str = ""
    before: Doc | None = None
    cleared: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    unknown_base: tuple[str, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        return {**self.fields, "template": self.template}


def deployment(settings: Settings, live: Live | None, nonce: str) -> Deployment:
    """Args: nonce: for a revision that is made now. Raises ConfigError."""
    if live is None:
        made = compose(settings)
        return Deployment(made.revision, split_of(made.revision, None), _fields(settings, _NEW), {**made.with_nonce(nonce, settings.telemetry), "revision": made.revision})  # fmt: skip
    made = compose(settings, live.stable, live.base)
    # A revision never changes: one that is there is declared as it is, with the secret that it has.
    template = live.there if live.there is not None else made.with_nonce(nonce, settings.telemetry)
    return Deployment(
        made.revision,
        split_of(made.revision, live),
        _fields(settings, unreserved(live.fields)),
        {**unreserved(template), "revision": made.revision},
        stable=live.stable,
        before={**live.fields, **({"template": live.base} if live.base else {})},
        cleared=() if made.is_base else made.cleared,
        unknown=live.unknown,
        unknown_base=() if made.is_base else live.unknown_base,
    )


def split_of(revision: str, live: Live | None) -> Split:
    """The split to declare: the one that is live; 100 % to the first revision, tagged, where there is none to keep."""
    if live is None or live.serves_nobody:
        return Split.between(revision, None, 0)
    # LATEST while nothing is ready: whoever is ready first gets it, and that is the revision declared here.
    return Split(tuple(_declared(revision, target) for target in live.split.targets))


def _declared(revision: str, target: Target) -> Target:
    # A tag that follows LATEST has no traffic, and goes on to.
    return Target(target.revision or (revision if target.percent else None), target.percent, target.tag)


def _fields(settings: Settings, live: Doc) -> dict[str, Any]:
    short = {"ingress": settings.ingress, "labels": dict(settings.labels)}
    asked = {key: value for key, value in short.items() if value}
    return asked_over(live, overlaid(asked, settings.fields, clears=False))


def asked_over(live: Doc, asked: Doc) -> dict[str, Any]:
    """The service's fields as they are live with what is asked, and the note of which keys that sets."""
    gone = [below(kind, key) for kind, key in _noted(live) if key not in (asked.get(kind) or {})]
    made = overlaid(without(live, gone), asked)
    before, after = live.get("annotations", {}), made.pop("annotations", {})
    annotations = {key: text for key, text in after.items() if key not in OWN_ANNOTATIONS}
    annotations |= {key: before[key] for key in before if key in OWN_ANNOTATIONS and key != KEYS_ANNOTATION}
    if note := _note(asked):
        annotations[KEYS_ANNOTATION] = note
    return {**made, "annotations": annotations} if annotations else made


def _note(asked: Doc) -> str:
    """Empty where no key is set."""
    found = {
        kind: keys
        for kind in _KINDS
        if (keys := sorted(key for key, text in (asked.get(kind) or {}).items() if text is not None))
    }
    return json.dumps(found, separators=(",", ":")) if found else ""


def _noted(live: Doc) -> list[tuple[str, str]]:
    """What the settings set last time; nothing where the note is somebody's own words."""
    try:
        said = json.loads(live["annotations"][KEYS_ANNOTATION])
        return [(kind, key) for kind in _KINDS for key in said.get(kind, ()) if isinstance(key, str)]
    except (AttributeError, KeyError, TypeError, ValueError):
        return []
