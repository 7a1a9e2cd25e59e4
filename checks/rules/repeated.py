"""repeated: helpers that exist several times, equal or nearly, whatever they are called (``--discover``).

Theory of operation. Every function of some size is reduced to its normal form: the hash of it finds equal bodies under
any name; a short signature of its word pairs (the least of their hashes: among the least of two functions together,
the share that both have estimates the share of equal pairs) finds nearly equal bodies under the same name. Only notes
come out: a person decides.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from checks.finding import Confidence, Finding, Severity, Step
from checks.rules.protocol import Brief, Project, Rule, is_test
from checks.settings import Settings
from checks.tree import body
from checks.tree.parse import Parsed
from checks.tree.tree import Tree

NAME = "repeated"
MIN_NODES = 20
_NEAR = 0.6
_SIGNATURE = 16


class Helper(NamedTuple):
    """One function of some size, where it is, and what it is like."""

    name: str
    line: int
    print: str
    signature: list[int]


class Place(NamedTuple):
    path: str
    helper: Helper


def brief(settings: Settings, _tree: Tree) -> Brief | None:
    return {} if settings.discover else None


def wants(path: str, data: bytes, _asked: Brief) -> bool:
    return b"def " in data and path.endswith(".py") and not is_test(path)


def collect(parsed: Parsed, _asked: Brief) -> list[Helper]:
    return [
        _helper(name, node)
        for name, node in body.functions(parsed.tree)
        if not node.name.startswith("__") and body.has_size(node, MIN_NODES)
    ]


def read(row: Any) -> list[Helper]:
    return [Helper(*each) for each in row]


def _helper(name: str, node: body.Function) -> Helper:
    form = body.normal_form(node)
    pairs = {zlib.crc32(f"{a} {b}".encode(errors="surrogatepass")) for a, b in pairwise(form.split(" "))}
    return Helper(name, node.lineno, body.print_of_form(form), sorted(pairs)[:_SIGNATURE])


def judge(_project: Project, _asked: Brief, facts: Mapping[str, list[Helper]]) -> Iterator[Finding]:
    places = [Place(path, helper) for path, helpers in facts.items() for helper in helpers]
    for group in sorted(_groups(places), key=lambda g: (-len(g), g[0].path, g[0].helper.line)):
        first, *others = group
        is_same = len({place.helper.print for place in group}) == 1
        name = first.helper.name.rpartition(".")[2]
        like = "the same body" if is_same else "nearly the same body"
        message = f"{name} is defined {len(group)} times with {like}"
        trail = tuple(Step(p.path, p.helper.line, f"{p.helper.name} here too") for p in others)
        yield Finding(
            NAME, first.path, first.helper.line, 1, Severity.NOTE, Confidence.MEDIUM, message, trail
        )


def _groups(places: Iterable[Place]) -> Iterator[list[Place]]:
    """Equal bodies under any name, and what is nearly equal to them under the same name."""
    equal: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        equal[place.helper.print].append(place)
    by_name: dict[str, list[list[Place]]] = defaultdict(list)
    for group in equal.values():
        by_name[group[0].helper.name.rpartition(".")[2]].append(group)
    for several in by_name.values():
        merged: list[list[Place]] = []
        for group in several:
            near = next((m for m in merged if _likeness(m[0].helper, group[0].helper) >= _NEAR), None)
            if near is None:
                merged.append(list(group))
            else:
                near.extend(group)
        yield from (sorted(group) for group in merged if len(group) > 1)


def _likeness(left: Helper, right: Helper) -> float:
    mine, theirs = set(left.signature), set(right.signature)
    least = sorted(mine | theirs)[:_SIGNATURE]
    return sum(each in mine and each in theirs for each in least) / len(least)


RULE = Rule(
    name=NAME,
    summary="Helpers that are defined several times with equal or nearly equal bodies (--discover).",
    why="""\
Copies of one helper drift apart. This looks at every function of some size, whatever it is called, and lists those
that exist several times, most repeated first. It never fails the gate; what it finds is worth one home and an entry
under single-source.
""",
    brief=brief,
    wants=wants,
    collect=collect,
    read=read,
    severity=Severity.NOTE,
    judge=judge,
    takes_generated=False,
)
