"""Which of some words a WebSocket message holds in a field, found without parsing the messages that cannot hold one.  PURE.

Most messages of a chat are pieces of an answer. Where the field's name is nowhere followed by one of the words, none of
them can be its value, and to look for that costs a third of parsing. (An encoder may write a character in more than
one way; words in which it could are looked for by parsing.)
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

MOST_PARSED = 1 << 20  # characters; a larger message asks for nothing and ends nothing
_PLAIN = re.compile(r"[A-Za-z0-9 _.:;,=+*@#!?()\[\]{}$%^~|-]+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Words, and the path of the field in which they are looked for.

    Args:
        in_text, in_bytes: what must stand in a message that has one; None where that is not known.
    """

    path: tuple[str, ...]
    words: tuple[str, ...]
    in_text: re.Pattern[str] | None
    in_bytes: re.Pattern[bytes] | None

    def found_in(self, message: Mapping[str, object]) -> str | None:
        """Which of them stands in the field of the message's JSON object; None for anything else."""
        data = message.get("text") or message.get("bytes")
        if isinstance(data, str):
            if len(data) > MOST_PARSED or (self.in_text and not self.in_text.search(data)):
                return None
        elif isinstance(data, bytes):
            if len(data) > MOST_PARSED or (self.in_bytes and not self.in_bytes.search(data)):
                return None
        else:  # asked last: this is done for each message of a chat
            held = data_of(message)
            return None if held is None else self.found_in({"bytes": held})
        try:
            value: object = json.loads(data)
        except (ValueError, RecursionError):
            return None
        return self.found_in_value(value)

    def found_in_value(self, value: object) -> str | None:
        """The same, of a message that is parsed already."""
        for key in self.path:
            if isinstance(value, dict):
                value = value.get(key)
            elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
                value = value[int(key)]
            else:
                return None
        return value if isinstance(value, str) and value in self.words else None


def data_of(message: Mapping[str, object]) -> str | bytes | None:
    """What a WebSocket message of ASGI's holds; None where that is nothing, or larger than what is parsed."""
    data = message.get("text") or message.get("bytes")
    if isinstance(
        data, bytearray | memoryview
    ):  # no bytes by ASGI's words, and servers send them all the same
        data = bytes(data) if memoryview(data).nbytes <= MOST_PARSED else None
    return data if isinstance(data, str | bytes) and len(data) <= MOST_PARSED else None


@lru_cache(maxsize=1024)
def wanted(path: tuple[str, ...], words: tuple[str, ...]) -> Wanted:
    name = path[-1]
    if not name.isdecimal() and all(_PLAIN.fullmatch(each) for each in (name, *words)):
        text = rf'"{re.escape(name)}"\s*:\s*"(?:{"|".join(map(re.escape, words))})"'
        return Wanted(path, words, re.compile(text), re.compile(text.encode()))
    return Wanted(path, words, None, None)
