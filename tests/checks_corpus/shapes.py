"""Dispatch as ten kinds of backends write it, each twice: whole, and without the last of its keys.

Shape of ``shapes.txt``: ``=== title`` starts one, ``@ map NAME HOME KEY...`` says what is asked for, ``--- path`` starts a file. A
line that ends with ``#-`` is only in the whole one, one that begins with ``#+`` only in the other, where ``#!`` and ``#?``
stand for what must be found (``corpus.py``). ``@ discover`` marks what ``--discover`` finds too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.checks_corpus import settings
from tests.checks_corpus.corpus import HERE, Case, marked

_MARK = re.compile(r" #[!?]$", re.MULTILINE)


class Shape(NamedTuple):
    """One dispatcher. Args: whole: its files; lacking: the same without the last key, with marks."""

    title: str
    name: str
    home: str
    keys: tuple[str, ...]
    whole: dict[str, str]
    lacking: dict[str, str]
    is_discovered: bool


def shapes() -> Iterator[Shape]:
    text = (HERE / "shapes.txt").read_text(encoding="utf-8")
    for part in re.split(r"^=== ", text, flags=re.MULTILINE)[1:]:
        head, *files = re.split(r"^--- ", part, flags=re.MULTILINE)
        title, asked, *options = head.splitlines()
        _, _, name, home, *keys = asked.split()
        texts = dict(each.split("\n", 1) for each in files)
        whole = {path: _MARK.sub("", _lines(body, "#-", "#+ ")) for path, body in texts.items()}
        lacking = {path: _lines(body, "", "") for path, body in texts.items()}
        yield Shape(title, name, home, tuple(keys), whole, lacking, "@ discover" in options)


def _lines(body: str, kept: str, dropped: str) -> str:
    """The lines of one of the two: without those that are the other's, and without the marks for that."""
    if kept:
        lines = (line for line in body.split("\n") if not line.startswith(dropped))
        return "\n".join(line.removesuffix(f" {kept}") for line in lines)
    lines = (line for line in body.split("\n") if not line.endswith(" #-"))
    return "\n".join(line.removeprefix("#+ ") for line in lines)


def cases() -> Iterator[Case]:
    for each in shapes():
        asked = settings.event_map({"map": [[each.name, each.home, *(f"{key}=" for key in each.keys)]]})
        yield marked("event-map", f"{each.title}: whole", each.whole, asked)
        yield marked("event-map", f"{each.title}: one lost", each.lacking, asked)
