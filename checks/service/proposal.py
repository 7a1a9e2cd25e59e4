"""What ``event-map`` could be told of a Python service: where it tells messages apart, and what its clients send in vain.

Clients are the tests and whatever is written in JavaScript: a message type that they send, and that no dispatcher of the
service knows, is never answered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from checks.rules.protocol import is_test
from checks.service import dispatch
from checks.service.facts import Place
from checks.service.javascript import SUFFIXES, texts
from checks.service.sending import Sending
from checks.service.source import Source
from checks.tree import files

_SEND = re.compile(r"\b(?:send\w*|emit|publish)\s*\(")
_SPAN = 300
_LEAST_KEYS = 2


class Dispatcher(Struct, frozen=True):
    """One place where messages are told apart, as ``event-map`` names it. Args: keys: the types that it knows, in order."""

    name: str
    path: str
    style: str
    keys: tuple[str, ...]


class Proposal(Struct, frozen=True):
    """Dispatchers, those with most keys first; and by type where a client sends what none of them knows."""

    dispatchers: tuple[Dispatcher, ...]
    unhandled: dict[str, Place]


def propose(root: Path, around: Path) -> Proposal:
    """Of the service below ``root``, and its clients below ``around``; their paths are from there.

    Raises CheckError when the root is no folder that can be read; nothing in the checked code raises."""
    source = Source.below(root, keeps_all=False)
    field = source.type_field
    sending = Sending(source, field)
    found: dict[tuple[str, str, str], list[str]] = {}
    known: set[str] = set()
    for each in filter(sending.is_of_messages, dispatch.branches(source, field)):
        known.add(each.key)
        name, home = each.dispatcher, each.where.path
        if each.style in ("decorator", "call"):
            home, _ = source.home(home, name)
        if each.table:
            name, home = each.table.name, each.table.where.path
        found.setdefault((name, home, each.style), []).append(each.key)
    rows = [Dispatcher(*key, tuple(keys)) for key, keys in found.items() if len(keys) >= _LEAST_KEYS]
    sent = _sent(around, field) if known else {}
    return Proposal(
        tuple(sorted(rows, key=lambda row: (-len(row.keys), row.path, row.name))),
        {kind: place for kind, place in sorted(sent.items()) if kind not in known},
    )


def _sent(root: Path, field: str) -> dict[str, Place]:
    """Types that clients send, each where it is sent first."""
    kinds = re.compile(rf"""["']?\b{field}["']?\s*:\s*["']([\w.:-]+)["']""")
    found: dict[str, Place] = {}
    for path, text in _clients(root):
        for call in _SEND.finditer(text):
            match = kinds.search(text, call.end(), call.end() + _SPAN)
            # what stands behind the end of the statement is another's
            if match is not None and not re.search(r";|\n\s*\n", text[call.end() : match.start()]):
                line = text.count("\n", 0, match.start()) + 1
                found.setdefault(match[1], Place(path, line))
    return found


def _clients(root: Path) -> Iterator[tuple[str, str]]:
    for path in files.discover(root).paths:
        data = files.read_or_none(root, path) if path.endswith(".py") and is_test(path) else None
        if data is not None:
            yield path, files.decode(data)
    yield from texts(root, (*SUFFIXES, ".jsx", ".tsx"))
