"""What ``event-map`` could be told of a Python service: where it tells messages apart, and what its clients send in vain.

Clients are the tests and whatever is written in JavaScript: a message type that they send, and that no dispatcher of the
service knows, is never answered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from checks.run.scan import collector_off
from checks.service import dispatch
from checks.service.certain import PARTS, is_asked_for_types, is_one
from checks.service.dispatch import Branch
from checks.service.facts import Place
from checks.service.held import held
from checks.service.javascript import SUFFIXES, texts
from checks.service.sending import Sending
from checks.service.source import Source, is_client
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


@collector_off()
def propose(root: Path, around: Path) -> Proposal:
    """Of the service below ``root``, and its clients below ``around``; their paths are from there.

    Raises CheckError when the root is no folder that can be read; nothing in the checked code raises."""
    source = Source.below(root, keeps_all=False)
    field = source.type_field
    sending = Sending(source, field)
    found: dict[tuple[str, str], list[Branch]] = {}
    for each in dispatch.branches(source, field):
        found.setdefault(_where(source, each), []).append(each)
    made = [_dispatcher(source, sending, *where, several) for where, several in found.items()]
    rows = [row for row in made if row is not None]
    rows = [row for row in rows if not _is_said(row, rows)]
    known = {each.key for several in found.values() for each in several}
    sent = _sent(around, field) if rows else {}
    return Proposal(
        tuple(sorted(rows, key=lambda row: (-len(row.keys), row.path, row.name))),
        {kind: place for kind, place in sorted(sent.items()) if kind not in known and kind not in PARTS},
    )


def _where(source: Source, branch: Branch) -> tuple[str, str]:
    """By what name, and in which file, ``event-map`` looks for the dispatcher."""
    if branch.table:
        return branch.table.name, branch.table.where.path
    name, home = branch.dispatcher, branch.where.path
    if branch.style not in ("decorator", "call"):
        return name, home
    above, rest = source.inside(home, name)
    if above != home and rest and "." not in rest:  # ``command.command``, of a module
        return rest, above
    return name, source.home(home, name)[0]


def _is_passed_on(source: Source, name: str, home: str) -> bool:
    """Whether a registry is made elsewhere, and its file gives it by what cannot be read: in a ``__getattr__``."""
    made = source.function(name, home)
    return made is not None and made.path != home and made.name == name and name not in source.imported(home)


def _dispatcher(
    source: Source, sending: Sending, name: str, home: str, several: list[Branch]
) -> Dispatcher | None:
    """None where too few types are told apart, or those of no messages."""
    styles = Counter(style for style, _ in dict.fromkeys((each.style, each.key) for each in several))
    style = max(styles, key=lambda each: styles[each])  # ``event-map`` reads one way of a function
    several = [each for each in several if each.style == style]
    keys = tuple(dict.fromkeys(each.key for each in several))
    if len(keys) < _LEAST_KEYS or name.endswith("__init__") or not _is_of_messages(source, sending, several):
        return None
    if style in ("decorator", "call") and _is_passed_on(source, name, home):
        return None
    if style not in ("decorator", "call", "class"):
        read = filter(dispatch.is_type, held(source, home, name, keys))
        keys = tuple(key for key in read if style != "name" or key in keys)
    if len(keys) < _LEAST_KEYS or not is_one(several, keys):
        return None
    return Dispatcher(name, home, style, keys)


def _is_said(row: Dispatcher, rows: list[Dispatcher]) -> bool:
    """Whether classes of a file are all in another proposal: those below one that stand in a union too."""
    others = [
        o for o in rows if o is not row and (o.style, o.path, row.style) == ("class", row.path, "class")
    ]
    return any({*row.keys} < {*o.keys} or ({*row.keys} == {*o.keys} and o.name < row.name) for o in others)


def _is_of_messages(source: Source, sending: Sending, several: list[Branch]) -> bool:
    """Whether those of one dispatcher are: what takes no time to see is asked of all first."""
    first = several[0]
    if first.style == "dict" and not is_asked_for_types(source.tree(first.where.path), several):
        return False
    if any(map(sending.is_near, several)):
        return True
    return any(map(sending.is_of_messages, several))


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
        data = files.read_or_none(root, path) if path.endswith(".py") and is_client(path) else None
        if data is not None:
            yield path, files.decode(data)
    yield from texts(root, (*SUFFIXES, ".jsx", ".tsx"))
