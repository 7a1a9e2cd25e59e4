"""One file, looked at once for all rules: which want it, and what they collect. The same in every process."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from checks import suppress
from checks.rules import BY_NAME
from checks.rules.protocol import Brief
from checks.tree.definitions import define
from checks.tree.excerpt import parse_part
from checks.tree.parse import Parsed, Unparsable, parse

COMMENTS = "comments"
DEFINITIONS = "definitions"

_TYPES = (b"Enum)", b"BaseModel)", b"dataclass")

#: what looks for a few bytes alone: that a file does not hold them is found again rather than remembered
QUICK = frozenset({COMMENTS, *(rule.name for rule in BY_NAME.values() if rule.is_quick)})

#: what is looked for in one file, by rule: those lines that it needs, or None where it needs all
Asked = dict[str, list[int] | None]
#: what was collected, by rule; under ``trouble`` the line and the reason when the file could not be parsed
Collected = dict[str, Any]


def wanted(path: str, data: bytes, names: Iterable[str], briefs: Mapping[str, Brief]) -> Asked:
    """Those of the names that have something to look for in these bytes.

    A file that is parsed anyway and holds enums or models tells what it defines too: others will ask.
    """
    answers = [(name, _is_wanted(name, path, data, briefs)) for name in names]
    found: Asked = {name: None if answer is True else answer for name, answer in answers if answer}
    if any(BY_NAME[n].refers for n in found if n in BY_NAME) and any(word in data for word in _TYPES):
        found[DEFINITIONS] = None
    return found


def _is_wanted(name: str, path: str, data: bytes, briefs: Mapping[str, Brief]) -> bool | list[int]:
    if name == COMMENTS:
        return suppress.NEEDLE in data
    return name == DEFINITIONS or BY_NAME[name].wants(path, data, briefs[name])


def collect(path: str, data: bytes, asked: Asked, briefs: Mapping[str, Brief]) -> Collected:
    """Parse once, and let each of these rules collect its facts. Nothing that is in the file raises.

    Comments of a file that cannot be looked at are not told: nobody knows what they would have silenced.
    """
    entry: Collected = {}
    try:
        trees = {name: lines for name, lines in asked.items() if not _needs_bytes_alone(name)}
        parsed = _parsed(path, data, trees)
        for name in asked:
            if name == COMMENTS:
                entry[COMMENTS] = suppress.comments(data)
            elif name in BY_NAME and (skim := BY_NAME[name].skim):
                entry[name] = skim(path, data, briefs[name])
            elif parsed is not None:
                entry[name] = (
                    define(parsed) if name == DEFINITIONS else BY_NAME[name].collect(parsed, briefs[name])
                )
    except Unparsable as error:
        return {"trouble": [error.line, error.reason]}
    except RecursionError:
        return {"trouble": [0, "nested too deeply to check"]}
    except Exception as error:  # noqa: BLE001 - one strange file must not hide what is wrong with all others
        return {"trouble": [0, f"a rule broke on it: {type(error).__name__}: {error}"]}
    return entry


def _needs_bytes_alone(name: str) -> bool:
    return name == COMMENTS or (name in BY_NAME and BY_NAME[name].skim is not None)


def _parsed(path: str, data: bytes, asked: Asked) -> Parsed | None:
    """The file, or the part of it that the only rule which wants it needs, and its classes. Raises Unparsable."""
    parts = [lines for name, lines in asked.items() if name != DEFINITIONS]
    if len(parts) == 1 and parts[0] is not None:
        return parse_part(path, data, parts[0], with_classes=DEFINITIONS in asked)
    return parse(path, data) if asked else None


@contextmanager
def collector_off() -> Iterator[None]:
    """Syntax trees are freed by reference counts; walking them for circles costs a sixth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
