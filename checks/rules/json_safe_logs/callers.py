"""Where functions that hand a parameter on to a sink may be called: by their names, in the bytes of a file.

A function of a module is called by its name alone only where that name is imported or its own, and behind a dot; a method
behind a dot only. A method that is named like one of a dictionary or a set is looked for where its class is mentioned:
every second file calls ``update``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

#: names that methods of containers, files and queues have, too
_COMMON = frozenset(
    name for kind in (dict, set, list, str, bytes) for name in vars(kind) if not name.startswith("_")
) | {"close", "get", "put", "read", "run", "save", "send", "set", "write"}
# A pattern that begins with its word is found many times faster, so what stands before the word is looked at behind it.
_IMPORTED = re.compile(rb"import(?<!\wimport)\b[ \t]*(\([^)]{0,9999}\)|[^\n]*)")
_WORD = re.compile(rb"\w+|\*")


def brief_of(functions: Iterable[str], known: frozenset[str]) -> dict[str, Any] | None:
    """What to look for, by paths and dotted names ``app/send.py:Sender.send``; None where all of them are known.

    A name that starts with an underscore is looked for in the files alone that define it.
    """
    helpers: dict[str, dict[str, list[str]]] = {}
    for function in sorted(functions):
        path, _, dotted = function.partition(":")
        owner, _, name = dotted.rpartition(".")
        if "<local>" in dotted or name in known:
            continue
        made = helpers.setdefault(name, {"paths": [], "classes": [], "modules": []})
        made["paths"].append(path)
        made["classes" if owner else "modules"].append(owner.rpartition(".")[2] or path)
    return helpers or None


def calls_of(path: str, data: bytes, helpers: Mapping[str, Any]) -> Iterator[int]:
    """Offsets at which one of these may be called."""
    imported: frozenset[bytes] | None = None
    for name, asked in helpers.items():
        is_far = name.startswith("_") and path not in asked["paths"]
        if is_far or name.encode() + b"(" not in data:
            continue
        if asked["modules"]:
            imported = _imported(data) if imported is None else imported
            is_bound = path in asked["modules"] or name.encode() in imported or b"*" in imported
            yield from (match.start() for match in _pattern(name, is_bound).finditer(data))
        elif name not in _COMMON or any(each.encode() in data for each in asked["classes"]):
            yield from (match.start() for match in _pattern(name, False).finditer(data))


def _imported(data: bytes) -> frozenset[bytes]:
    return frozenset(word for match in _IMPORTED.finditer(data) for word in _WORD.findall(match[1]))


@lru_cache(4096)
def _pattern(name: str, is_bound: bool) -> re.Pattern[bytes]:
    word = name.encode()
    return re.compile(word + rb"(?<!\w%b)(?<!def %b)\(" % (word, word) if is_bound else rb"\.%b\(" % word)
