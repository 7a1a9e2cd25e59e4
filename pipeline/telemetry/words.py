"""Which of some words a WebSocket message holds in a field, found without parsing the messages that cannot hold one.  PURE.

Most messages of a chat are pieces of an answer. A word that stands nowhere in the text cannot be the value of a field
in it, and looking for it costs a tenth of parsing. (An encoder may write a character in more than one way; words in
which it could are looked for by parsing.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

_MOST_PARSED = 1 << 20  # characters; a larger message asks for nothing and ends nothing
_PLAIN = re.compile(r"[A-Za-z0-9 _.:;,=+*@#!?()\[\]{}$%^~|-]+")

#: A word in a text and in bytes, as it must stand there; empty where that is not known.
Needles = Mapping[str, tuple[str, bytes]]


def needles(words: Iterable[str]) -> Needles:
    return {word: (word, word.encode()) if _PLAIN.fullmatch(word) else ("", b"") for word in words}


def word_in(message: Mapping[str, object], path: tuple[str, ...], wanted: Needles) -> str | None:
    """Which of the wanted words stands in the field at this path of the message's JSON object; None for anything else."""
    data = message.get("text") or message.get("bytes")
    if isinstance(data, str):
        if len(data) > _MOST_PARSED or not any(text in data for text, _ in wanted.values()):
            return None
    elif isinstance(data, bytes):
        if len(data) > _MOST_PARSED or not any(raw in data for _, raw in wanted.values()):
            return None
    else:
        return None
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value if isinstance(value, str) and value in wanted else None
