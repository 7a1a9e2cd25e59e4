"""A field of a message, by its dotted path.  PURE."""

from __future__ import annotations

import re
from collections.abc import Mapping

ABSENT = object()
_INDEX = re.compile(r"[0-9]{1,9}")
_OBJECT = (dict, Mapping)  # the second is asked only about what is no dict: asking takes long


def field_at(message: object, path: str) -> object:
    """The value at a dotted path (``payload.items.0.name``), or ``ABSENT``, which equals nothing else."""
    for key in path.split("."):
        if isinstance(message, _OBJECT):
            message = message.get(key, ABSENT)
        elif isinstance(message, list) and _INDEX.fullmatch(key) and int(key) < len(message):
            message = message[int(key)]
        else:
            return ABSENT
    return message
