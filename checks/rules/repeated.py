"""repeated: helpers that exist several times, equal or nearly, whatever they are called (``--discover``).

Theory of operation. Most functions are like no other, and their text shows it: what a normal form has is a key of the text
first, and what nearly equal bodies share are words. Functions that share the key with another one, or the name and enough
words, are parsed, each by itself. One of some size is reduced to its normal form: the hash of it finds equal bodies under
any name; a short signature of its word pairs (the least of their hashes: among the least of two functions together,
the share that both have estimates the share of equal pairs) finds nearly equal bodies under the same name; and functions
of one name that ask whether a value is an enum belong together, however they do it. Only notes come out: a person decides.
What did harm before comes first: copies that treat enums differently, then equal ones at the top of their modules, by how
many files import them.
"""

from __future__ import annotations

import ast
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, combinations, pairwise
from typing import Any, NamedTuple

from checks.finding import Confidence, Finding, Severity, Step
from checks.rules.protocol import Brief, Project, Rule, is_test
from checks.settings import Settings
from checks.tree import body
from checks.tree.symbols import dotted
from checks.tree.texts import FunctionText, function_texts, parsed_function
from checks.tree.tree import Tree

NAME = "repeated"
MIN_NODES = 20
_NEAR = 0.6
_SIGNATURE = 16
_MOST_SHARED = 100
#: the share of their words that nearly equal bodies have in common at least
_ALIKE = 0.4
#: functions of one name of which each is compared with each
_MOST_COMPARED = 50
_IMPORT = re.compile(rb" import(?<=[\w.] import)[ \t]*(\([^)]*\)|[^\n#(]*)")
_ENUM_WORDS = ("name", "value")
#: folders of files that stay what they were, and so share nothing
_FROZEN = frozenset({"migrations", "versions"})


class Seen(NamedTuple):
    """One function by its text. Args: words: the least hashes of them. asks: it may ask whether a value is an enum."""

    name: str
    line: int
    last: int
    key: int
    words: list[int]
    asks: bool


class Helper(NamedTuple):
    """One function of some size, where it is, and what it is like. Args: enums: how it asks for one; empty where it does not."""

    name: str
    line: int
    print: str
    signature: list[int]
    enums: str


class Facts(NamedTuple):
    """Of one file: its functions by their texts, those of them that were asked about, and the names that it imports."""

    seen: list[Seen]
    helpers: list[Helper]
    imported: list[str]


class Place(NamedTuple):
    path: str
    helper: Helper


def brief(settings: Settings, _tree: Tree) -> Brief | None:
    return {} if settings.discover else None


def wants(path: str, data: bytes, asked: Brief) -> bool:
    """Args: asked: nothing at first; then, by path, names and lines of functions that may have a copy."""
    if asked:
        return path in asked
    is_frozen = not _FROZEN.isdisjoint(path.split("/"))
    return b"def " in data and path.endswith(".py") and not is_frozen and not is_test(path)


def skim(path: str, data: bytes, asked: Brief) -> Facts:
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    rows = data.split(b"\n")
    if asked:
        nodes = ((*place, parsed_function(rows, *place)) for place in asked[path])
        found = [_helper(name, line, node) for name, line, _, node in nodes if body.has_size(node, MIN_NODES)]
        return Facts([], found, [])
    seen = (_seen(text, rows) for text in function_texts(data) if not _plain(text.name).startswith("__"))
    return Facts(list(filter(None, seen)), [], _imported(data))


def _seen(text: FunctionText, rows: list[bytes]) -> Seen | None:
    """None where the function has not the size of a helper."""
    words = text.words
    if text.is_smaller(MIN_NODES, words):
        return None
    source = b"\n".join(rows[text.first : text.last]) if "." not in text.name else b""
    least = sorted(map(zlib.crc32, set(words)))[:_SIGNATURE]
    return Seen(text.name, text.first, text.last, zlib.crc32(text.key(words)), least, _may_ask(source))


def _imported(data: bytes) -> list[str]:
    """Names that the file imports from other modules, inside of functions too."""
    names = chain.from_iterable(m[1].split(b",") for m in _IMPORT.finditer(data))
    return sorted({words[0].decode(errors="replace") for name in names if (words := name.split())})


def read(row: Any) -> Facts:
    seen, helpers, imported = row
    return Facts([Seen(*each) for each in seen], [Helper(*each) for each in helpers], imported)


def join(facts: Facts, more: Facts) -> Facts:
    return facts._replace(helpers=more.helpers)


def further(_project: Project, _asked: Brief, facts: Mapping[str, Facts]) -> Brief | None:
    """Functions that may have a copy: another one has the same key, or the same name and enough of the same words."""
    seen = [(path, each) for path, of_file in facts.items() for each in of_file.seen]
    keys = Counter(each.key for _, each in seen)
    names: dict[str, list[Seen]] = defaultdict(list)
    for _, each in seen:
        names[_plain(each.name)].append(each)
    alike = {id(each) for several in names.values() for each in _alike(several)}
    asked: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
    for path, each in seen:
        if keys[each.key] > 1 or id(each) in alike:
            asked[path].append((each.name, each.line, each.last))
    return asked or None


def _alike(several: list[Seen]) -> Iterable[Seen]:
    """Those that may be nearly equal to another one of that name; of very many, all."""
    if len(several) > _MOST_COMPARED:
        return several
    return (each for pair in combinations(several, 2) if _may_be_near(*pair) for each in pair)


def _may_be_near(left: Seen, right: Seen) -> bool:
    shared = len(set(left.words).intersection(right.words))
    return shared >= _ALIKE * max(len(left.words), len(right.words)) or (left.asks and right.asks)


def _helper(name: str, line: int, node: body.Function) -> Helper:
    form = body.normal_form(node)
    written = form.encode(errors="surrogatepass")
    pairs = set(map(zlib.crc32, map(b" ".join, pairwise(written.split(b" ")))))
    enums = _enums(node) if _may_ask(written) else ""
    return Helper(name, line, body.print_of_form(form), sorted(pairs)[:_SIGNATURE], enums)


def _may_ask(text: bytes) -> bool:
    """Whether a body may ask for an enum: to go through it again takes as long as to write it."""
    return b"hasattr" in text or b"getattr" in text or (b"isinstance" in text and b"Enum" in text)


def _enums(node: body.Function) -> str:
    """The questions by which a function finds out whether a value is an enum."""
    found: set[str] = set()
    for child in ast.walk(node):
        match child:
            case ast.Call(
                func=ast.Name(id="hasattr" | "getattr" as asks), args=[_, ast.Constant(value=word), *_]
            ):
                found |= {f"{asks} {word}"} if word in _ENUM_WORDS else set()
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
                several = kinds.elts if isinstance(kinds, ast.Tuple) else [kinds]
                found |= {kind for kind in map(dotted, several) if kind.endswith("Enum")}
    return ", ".join(sorted(found))


def judge(_project: Project, _asked: Brief, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    places = [Place(path, helper) for path, each in facts.items() for helper in each.helpers]
    importers = Counter(chain.from_iterable(each.imported for each in facts.values()))
    for rank, group in enumerate(sorted(_groups(places), key=lambda group: _rank(group, importers))):
        first, *others = group
        trail = tuple(Step(p.path, p.helper.line, f"{p.helper.name} here too") for p in others)
        message = _message(group, importers[_name(first)])
        place = (first.path, first.helper.line, 1)
        yield Finding(NAME, *place, Severity.NOTE, Confidence.MEDIUM, message, trail, rank=rank)


def _rank(group: list[Place], importers: Mapping[str, int]) -> tuple[object, ...]:
    is_top = all(map(_is_top, group)) and len({place.path for place in group}) > 1
    is_equal = is_top and _is_same(group)
    return (not _differs(group), not is_equal, not is_top, -importers[_name(group[0])], -len(group), group[0])


def _message(group: list[Place], importers: int) -> str:
    like = "with the same body" if _is_same(group) else "with nearly the same body"
    like = "and not all treat enums alike" if _differs(group) else like
    used = {0: "", 1: "; one file imports it"}.get(importers, f"; {importers} files import it")
    return f"{_name(group[0])} is defined {len(group)} times {like}{used}"


def _name(place: Place) -> str:
    return _plain(place.helper.name)


def _plain(name: str) -> str:
    return name.rpartition(".")[2]


def _is_top(place: Place) -> bool:
    return "." not in place.helper.name


def _is_same(group: list[Place]) -> bool:
    return len({place.helper.print for place in group}) == 1


def _differs(group: list[Place]) -> bool:
    return len({place.helper.enums for place in group}) > 1


def _groups(places: Iterable[Place]) -> Iterator[list[Place]]:
    """Equal bodies under any name, and what is nearly equal to them under the same name."""
    equal: dict[str, list[Place]] = defaultdict(list)
    for place in places:
        equal[place.helper.print].append(place)
    by_name: dict[str, list[list[Place]]] = defaultdict(list)
    for group in equal.values():
        by_name[_name(group[0])].append(group)
    for several in by_name.values():
        yield from (sorted(group) for group in _merged(several) if len(group) > 1)


def _merged(several: list[list[Place]]) -> list[list[Place]]:
    """Groups of one name, with those together that are nearly equal.

    Only groups that share a part of their signatures are compared, or that both ask for enums: of a name that a thousand
    functions have, nearly all share none. Of the parts that more share than could be told apart, none is looked up.
    """
    merged: list[list[Place]] = []
    by_part: dict[int, list[int]] = defaultdict(list)
    asking: list[int] = []
    for group in several:
        helper = group[0].helper
        shared = Counter(chain.from_iterable(by_part[part][:_MOST_SHARED] for part in helper.signature))
        near = sorted({*shared, *(asking if helper.enums and _is_top(group[0]) else ())})
        at = next((at for at in near if _is_near(merged[at][0], group[0])), None)
        if at is not None:
            merged[at].extend(group)
            continue
        for part in helper.signature:
            by_part[part].append(len(merged))
        if helper.enums and _is_top(group[0]) and not asking:
            asking.append(len(merged))
        merged.append(list(group))
    return merged


def _is_near(left: Place, right: Place) -> bool:
    both_ask = bool(left.helper.enums and right.helper.enums)
    return (both_ask and _is_top(left) and _is_top(right)) or _likeness(left.helper, right.helper) >= _NEAR


def _likeness(left: Helper, right: Helper) -> float:
    mine, theirs = set(left.signature), set(right.signature)
    least = sorted(mine | theirs)[:_SIGNATURE]
    return sum(each in mine and each in theirs for each in least) / len(least)


RULE = Rule(
    name=NAME,
    summary="Helpers that are defined several times with equal or nearly equal bodies (--discover).",
    why="""\
Copies of one helper drift apart. This looks at every function of some size, whatever it is called, and lists those
that exist several times: first those of which not all treat enums alike, then equal ones that many files import. It never
fails the gate; what it finds is worth one home and an entry under single-source.
""",
    brief=brief,
    wants=wants,
    skim=skim,
    further=further,
    rounds=1,
    join=join,
    read=read,
    severity=Severity.NOTE,
    judge=judge,
    takes_generated=False,
)
