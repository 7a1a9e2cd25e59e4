"""Labels and annotations of the service, and which of them the settings set.  PURE.

As on a revision (``compose.py``), the names of the keys that were set are noted, in an annotation of the service: a key
that is not asked for any more goes, and one that never was stays as somebody else made it. All other fields of the
service stay as they are live until something else is asked for: null clears them.
"""

from __future__ import annotations

import json
from typing import Any

from infra.compose import MADE_ANNOTATION
from infra.document import Doc, below, overlaid, without
from pipeline.model import DRAIN_ANNOTATION, RECORD_ANNOTATION, UNREADABLE_ANNOTATION

KEYS_ANNOTATION = "spillway.service/made"
#: Written by Spillway alone: nothing that is asked removes them.
OWN_ANNOTATIONS = frozenset({
    MADE_ANNOTATION, KEYS_ANNOTATION, RECORD_ANNOTATION, UNREADABLE_ANNOTATION, DRAIN_ANNOTATION,
})  # fmt: skip
_KINDS = ("labels", "annotations")


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
    names = {
        kind: sorted(key for key, text in (asked.get(kind) or {}).items() if text is not None)
        for kind in _KINDS
    }
    found = {kind: keys for kind, keys in names.items() if keys}
    return json.dumps(found, separators=(",", ":")) if found else ""


def _noted(live: Doc) -> list[tuple[str, str]]:
    """What the settings set last time; nothing where the note is somebody's own words."""
    try:
        said = json.loads(live["annotations"][KEYS_ANNOTATION])
        return [(kind, key) for kind in _KINDS for key in said.get(kind, ()) if isinstance(key, str)]
    except (AttributeError, KeyError, TypeError, ValueError):
        return []
