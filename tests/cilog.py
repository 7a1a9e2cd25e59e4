"""What a CI log takes for a command, judged by the bytes that came out and without the code under test."""

from __future__ import annotations

import re
import unicodedata

_NOT_SEEN = "\ufffd\u115f\u1160\u3164\uffa0\u2800"


def commands_in(text: str) -> list[str]:
    """The lines of ``text`` that begin with ``::`` for whoever skips what is not seen, or hold ``##[`` or the like."""
    lines = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text).splitlines()
    return [line for line in lines if _seen(line).startswith("::") or re.search(r"##\w*\[", line)]


def _seen(line: str) -> str:
    start = 0
    while start < len(line) and (line[start] in _NOT_SEEN or unicodedata.category(line[start])[0] in "CZM"):
        start += 1
    return line[start:]
