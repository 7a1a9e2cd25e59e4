"""The rollout record: a ``Rollout`` as one annotation of the service, and back.

Written in the same ``UpdateService`` as the traffic that it explains, so traffic and record never disagree by our
doing. JSON, versioned, at most 16 KiB: a longer history loses its oldest lines first (the journal keeps them).
A record of an older version is migrated, of a newer one refused, and of no readable kind an error that pauses.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import PlatformError
from pipeline.rollout import Phase, Rollout

VERSION = 1
MAX_BYTES = 16 * 1024
_KEPT_STEPS = 4


class RecordUnreadable(PlatformError):
    """The annotation is there and cannot be used; traffic is left alone until a human looks."""


class _Adapter:
    """Built at first use: pydantic takes a tenth of a second for this tree."""

    _made: TypeAdapter[Rollout] | None = None

    @classmethod
    def get(cls) -> TypeAdapter[Rollout]:
        if cls._made is None:
            cls._made = TypeAdapter(Rollout)
        return cls._made


def encode(rollout: Rollout) -> str:
    """The annotation's text. Raises RecordUnreadable when it cannot be made to fit."""
    body = _Adapter.get().dump_python(rollout, mode="json", exclude_defaults=True)
    text = _dump(body)
    while len(text.encode()) > MAX_BYTES and len(body.get("history", ())) > _KEPT_STEPS:
        del body["history"][1]  # the first line says where it began
        text = _dump(body)
    if len(text.encode()) > MAX_BYTES and body.pop("last", None):
        text = _dump(body)
    if len(text.encode()) > MAX_BYTES and rollout.phase in (Phase.ROLLING_BACK, Phase.ROLLED_BACK):
        text = _dump({**body, "judge": {}})  # judged for good; nothing may stand in a roll-back's way
    if len(text.encode()) > MAX_BYTES:
        raise RecordUnreadable(
            f"the rollout record needs {len(text.encode()):,} bytes, {MAX_BYTES:,} are allowed",
            "Stages, criteria and scenario names are kept in it.",
            "Use fewer stages or criteria in spillway.yaml.",
        )
    return text


def decode(text: str) -> Rollout:
    """Raises RecordUnreadable."""
    try:
        raw = json.loads(text)
        version = raw.pop("v")
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(f"it starts {text[:40]!r}") from error
    if version != VERSION:
        raise RecordUnreadable(
            f"the rollout record has version {version!r}, this Spillway reads {VERSION}",
            "A newer Spillway wrote it.",
            "Upgrade, or roll back with: spillway rollback SERVICE",
        )
    try:
        return _Adapter.get().validate_python(raw)
    except (ValidationError, RecursionError) as error:
        first = (
            error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "nested too deep"}
        )
        raise _unreadable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _dump(body: Mapping[str, Any]) -> str:
    return json.dumps({"v": VERSION, **body}, separators=(",", ":"), sort_keys=True)


def _unreadable(why: str) -> RecordUnreadable:
    return RecordUnreadable(
        "the rollout record on the service cannot be read",
        why,
        "Traffic was left alone. Roll back with: spillway rollback SERVICE [--to REVISION]",
    )


def utc(moment: datetime) -> datetime:
    """Aware UTC, whole milliseconds: what a record keeps."""
    moment = moment.astimezone(UTC)
    return moment - timedelta(microseconds=moment.microsecond % 1000)
