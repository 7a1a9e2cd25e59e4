"""event-map: every message that must be routed is in the map, to the right member, and stays there.

Theory of operation. The map's home is parsed, and every file that mentions its name (it may be updated from afar).
All statements about it are put together in order; spreads, re-exports and enum aliases are followed by path. What
cannot be read (a computed key, a call) makes "missing" doubtful, never wrong.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from checks.finding import Confidence, Edit, Finding, Fix, Severity
from checks.mapping import Change, Entry, changes
from checks.parse import Parsed, Unparsable, parse
from checks.resolve import Thing
from checks.rules import event_map_examples as examples
from checks.rules.rule import Brief, Facts, Project, Rule, is_test
from checks.settings import EventMap, Settings
from checks.symbols import Symbol

NAME = "event-map"
_DEPTH = 8


def brief(settings: Settings, _parsed: Callable[[str], Parsed | None]) -> Brief | None:
    if settings.event_map is None or not settings.event_map.maps:
        return None
    return {"names": sorted({_last(m.name) for m in settings.event_map.maps})}


def wants(path: str, data: bytes, asked: Brief) -> bool:
    return any(name.encode() in data for name in asked["names"]) and not is_test(path)


def collect(parsed: Parsed, asked: Brief) -> Facts | None:
    found = {name: list(changes(parsed, name)) for name in asked["names"]}
    return {name: rows for name, rows in found.items() if rows} or None


def judge(project: Project, asked: Brief, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    settings = project.settings.event_map
    assert settings
    judges = [Judge(project, wanted, facts) for wanted in settings.maps]
    for each in judges:
        yield from each.findings()
    known = {key for each in judges for key in each.entries} | {
        key for m in settings.maps for key in m.requires
    }
    if judges and judges[0].where is not None:
        for message in settings.messages:
            if message not in known:
                yield judges[0].unmapped(message)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _row(row: Any) -> Change:
    change = Change(*row)
    return change._replace(entries=[Entry(*entry) for entry in change.entries])


class Judge:
    """One map: its entries put together, then held against what is asked."""

    def __init__(self, project: Project, wanted: EventMap, facts: Mapping[str, Facts]) -> None:
        self._project, self._wanted, self._facts = project, wanted, facts
        self._owner, _, self._name = wanted.name.rpartition(".")
        self.entries: dict[str, tuple[str, Entry]] = {}
        self._is_open = False
        self._twice: list[tuple[str, Entry, int]] = []
        home = self._rows(wanted.home, self._name)
        self.where = next((c for c in home if c.kind == "assign" and self._is_mine(c)), None)
        if self.where is not None:
            self._gather()

    def _is_mine(self, change: Change) -> bool:
        return not self._owner or change.owner == self._owner

    def _rows(self, path: str, name: str) -> list[Change]:
        """Statements about a map; from the facts, or read now where a spread leads somewhere else."""
        if name in self._facts.get(path, {}):
            return [_row(row) for row in self._facts[path][name]]
        parsed = self._project.parsed(path)
        return list(changes(parsed, name)) if parsed else []

    def _gather(self) -> None:
        home = self._wanted.home
        for change in self._rows(home, self._name):
            if change.kind != "assign" or self._is_mine(change):
                self._add(home, change)
        for path, by_name in self._facts.items():
            if path != home:
                for row in by_name.get(self._name, ()):
                    change = _row(row)
                    if change.kind != "assign" and self._leads_home(change.target, path):
                        self._add(path, change)

    def _leads_home(self, target: Symbol, importer: str) -> bool:
        found = self._project.modules.split(str(target[1]), importer)
        names = (found[1] or ("",)) if found else ("",)
        for _ in range(_DEPTH):
            if found is None or found[0] == self._wanted.home:
                return found is not None and names[-1] == self._name
            module = self._project.definitions(found[0])
            further = module["imports"].get(names[0]) if module and names else None
            found = self._project.modules.split(further, found[0]) if further else None
            names = (*found[1], *names[1:]) if found and further else names
        return False

    def _add(self, path: str, change: Change, depth: int = _DEPTH) -> None:
        self._is_open = self._is_open or change.is_open
        for spread in change.spreads:
            self._add_other(path, spread, depth)
        seen: dict[str, int] = {}
        for entry in change.entries:
            key = self._key(entry.key, path)
            if key is None:
                self._is_open = True
            elif change.kind == "remove":
                self.entries.pop(key, None)
            else:
                if key in seen:
                    self._twice.append((path, entry, seen[key]))
                seen[key] = entry.line
                self.entries[key] = (path, entry)

    def _add_other(self, path: str, spread: Symbol, depth: int) -> None:
        """``**OTHER``: in this file, in a class of it, or wherever it was imported from."""
        place = str(spread[1])
        inside, colon, name = place.partition(":")
        if colon:
            where: tuple[str, str] | None = (inside, _last(name))
        else:
            found = self._project.modules.split(place, path)
            where = (found[0], found[1][-1]) if found and found[1] else None
        rows = self._rows(*where) if where and depth else []
        if where and not rows and depth:
            module = self._project.definitions(where[0])
            further = module["imports"].get(where[1]) if module else None
            if further:
                self._add_other(where[0], ("obj", further), depth - 1)
                return
        self._is_open = self._is_open or not rows
        for change in rows:
            self._add(where[0] if where else path, change, depth - 1)

    def _key(self, key: Symbol | None, path: str) -> str | None:
        if key is None:
            return None
        if key[0] == "const":
            return str(key[1])
        return self._text_of(key, path)

    def _text_of(self, key: Symbol, path: str) -> str | None:
        """The string behind a named key: a constant, an enum member's value."""
        if key[0] == "obj":
            left, dot, member = str(key[1]).rpartition(".")
            name = member if dot else ""
            if name in ("value", "name"):
                return self._text_of(("obj", left), path)
            owner = (
                self._project.resolver.what(("obj", left), path) if dot and not left.endswith(":") else None
            )
            made = self._project.resolver.class_of(owner) if owner and owner.what == "class" else None
            if made and name in made["members"]:
                return _unquoted(made["members"][name]["value"])
        thing = self._project.resolver.what(key, path)
        return thing.name if thing and thing.what == "const" else None

    # -- what is asked ---------------------------------------------------------------------------------------

    def findings(self) -> Iterator[Finding]:
        wanted = self._wanted
        if not self._project.has(wanted.home):
            yield self._say(
                wanted.home, 1, 1, f"the home of {wanted.name} is missing: there is no {wanted.home}"
            )
            return
        if self.where is None:
            yield self._say(wanted.home, 1, 1, f"{wanted.name} is not assigned in {wanted.home}")
            return
        for path, entry, first in self._twice:
            key = self._key(entry.key, path)
            yield self._say(
                path, entry.line, entry.column, f"duplicate key {key!r}: the one on line {first} is lost"
            )
        yield from self._wrong_members()
        for key, member in wanted.requires.items():
            if key not in self.entries:
                yield self._missing(key, _last(member))
            elif member and not self._agrees(key, _last(member)):
                path, entry = self.entries[key]
                message = (
                    f"{key!r} is mapped to {entry.member or 'something computed'}, not to {_last(member)}"
                )
                yield self._say(path, entry.line, entry.column, message, sure=entry.form != "other")
        yield from self._lost()

    def _wrong_members(self) -> Iterator[Finding]:
        for key, (path, entry) in self.entries.items():
            members = self._members(entry, path)
            if members is None or entry.form == "other":
                continue
            names = members if entry.form == "member" else set(members.values())
            if entry.member not in names:
                near = difflib.get_close_matches(entry.member, sorted(names), n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                message = f"{key!r} is mapped to {entry.member}, which {self._enum_name(entry, path)} does not have{hint}"
                yield self._say(path, entry.line, entry.column, message)

    def _class(self, entry: Entry, path: str) -> Thing | None:
        thing = self._project.resolver.what(entry.base, path) if entry.base is not None else None
        return thing if thing and thing.what == "class" else None

    def _enum_name(self, entry: Entry, path: str) -> str:
        thing = self._class(entry, path)
        return thing.name if thing else ""

    def _members(self, entry: Entry, path: str) -> dict[str, str] | None:
        """Names to value texts of the class that the value is taken from; None when it cannot be followed."""
        thing = self._class(entry, path)
        found: dict[str, str] = {}
        for above in self._project.resolver.ancestors(thing) if thing else ():
            made = self._project.resolver.class_of(above)
            if made is None and above.what == "outside" and not above.name.startswith(("enum.", "builtins.")):
                return None  # inherits from something that cannot be read
            found |= (
                {name: m["value"] for name, m in made["members"].items() if name not in found} if made else {}
            )
        return found or None

    def _agrees(self, key: str, member: str) -> bool:
        path, entry = self.entries[key]
        if entry.form == "member" and entry.member == member:
            return True
        members = self._members(entry, path) or self._common_members()
        if entry.form == "text":
            return entry.member == member or _unquoted(members.get(member, "")) == entry.member
        if entry.form == "value":
            return members.get(member) == entry.member
        same = members.get(member)
        return same is not None and "auto()" not in same and members.get(entry.member) == same

    def _common_members(self) -> dict[str, str]:
        found = (self._members(entry, path) for path, entry in self.entries.values() if entry.form != "text")
        return next((members for members in found if members), {})

    def _missing(self, key: str, member: str) -> Finding:
        assert self.where
        extra = sorted(set(self.entries) - set(self._wanted.requires))
        near = difflib.get_close_matches(key, extra, n=1, cutoff=0.8)
        target = f" (to {member})" if member else ""
        if near:
            path, entry = self.entries[near[0]]
            message = f"{key!r} is not mapped in {self._name}{target}: is {near[0]!r} meant to be it? did you mean {key!r}?"
            return self._say(path, entry.line, entry.column, message)
        message = f"{key!r} is not mapped in {self._name}{target}: such messages are never routed"
        fix = self._entry_fix(key, member) if member else None
        return self._say(
            self._wanted.home, self.where.line, self.where.column, message, sure=not self._is_open, fix=fix
        )

    def unmapped(self, message: str) -> Finding:
        """A scenario's message type that no map holds."""
        assert self.where
        near = difflib.get_close_matches(message, sorted(self.entries), n=1, cutoff=0.8)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        text = f"a scenario uses {message!r}, which {self._name} does not map{hint}"
        return self._say(self._wanted.home, self.where.line, self.where.column, text, sure=not self._is_open)

    def _lost(self) -> Iterator[Finding]:
        """What the base had and the tree has not."""
        before = _Before(self._project, self._wanted.home, self._name)
        assert self.where
        for key in sorted(before.keys - set(self.entries)):
            if key not in self._wanted.requires:
                message = f"{key!r} was removed from {self._name}: whoever sends it is no longer answered"
                yield self._say(
                    self._wanted.home, self.where.line, self.where.column, message, sure=not self._is_open
                )
        classes = {self._class(entry, path) for path, entry in self.entries.values()}
        for thing in sorted((c for c in classes if c), key=lambda c: (c.path, c.name)):
            made = self._project.resolver.class_of(thing)
            for member in before.members(thing) - set(made["members"] if made else ()):
                message = f"{thing.name}.{member} was removed: old code and stored messages still name it"
                yield self._say(thing.path, thing.line, 1, message)

    def _entry_fix(self, key: str, member: str) -> Fix | None:
        """A line like its neighbours, after the last entry of the literal."""
        parsed = self._project.parsed(self._wanted.home)
        mine = [e for p, e in self.entries.values() if p == self._wanted.home]
        model = next((e for e in mine if e.form in ("member", "text")), None)
        if self.where is None or not self.where.end or parsed is None or model is None:
            return None
        members = self._members(model, self._wanted.home)
        if model.form == "member" and (members is None or member not in members):
            return None
        edit = _new_entry(parsed, self.where.end, model, key, member)
        return Fix(f"map {key} to {member}", (edit,)) if edit else None

    def _say(
        self, path: str, line: int, column: int, message: str, *, sure: bool = True, fix: Fix | None = None
    ) -> Finding:
        confidence = Confidence.HIGH if sure else Confidence.MEDIUM
        return Finding(NAME, path, line, column, Severity.ERROR, confidence, message, (), fix)


class _Before:
    """The map and its enums as the base had them."""

    def __init__(self, project: Project, home: str, name: str) -> None:
        self._project = project
        data = project.base.read(home) if project.base and home in project.base.changed else None
        self.keys = frozenset(_keys(home, data, name)) if data is not None else frozenset()

    def members(self, thing: Thing) -> frozenset[str]:
        base = self._project.base
        if base is None or thing.path not in base.changed:
            return frozenset()
        before = self._project.definitions_in_base(thing.path)
        made = before["classes"].get(thing.name) if before else None
        return frozenset(made["members"]) if made else frozenset()


def _keys(path: str, data: bytes, name: str) -> Iterator[str]:
    try:
        found = list(changes(parse(path, data), name))
    except (Unparsable, RecursionError):
        return
    for change in found:
        if change.kind != "remove":
            yield from (str(e.key[1]) for e in change.entries if e.key is not None and e.key[0] == "const")


def _new_entry(parsed: Parsed, end: list[int], model: Entry, key: str, member: str) -> Edit | None:
    lines = parsed.data.split(b"\n")
    source = lines[model.line - 1].decode(errors="replace")
    quote = source.encode()[model.column - 1 : model.column].decode(errors="replace")
    if quote not in ("'", '"'):
        return None
    before, _, rest = source[model.column - 1 :].partition(":")
    value = f"{quote}{member}{quote}" if model.form == "text" else _like(rest, model.member, member)
    if not before or not value:
        return None
    text = f"{quote}{key}{quote}: {value}"
    line, column = end
    after = lines[line - 1][column:].lstrip()
    indent = source[: len(source) - len(source.lstrip())]
    if indent + source.strip()[:1] != source[: model.column]:
        return Edit(parsed.path, (line, column), (line, column), f", {text}")
    if after.startswith(b","):
        return Edit(parsed.path, (line + 1, 0), (line + 1, 0), f"{indent}{text},\n")
    return Edit(parsed.path, (line, column), (line, column), f",\n{indent}{text}")


def _like(rest: str, old: str, new: str) -> str:
    """The neighbour's value with another member: ``MessageType.START_AGENT.value`` keeps its ends."""
    left, found, right = rest.strip().partition(old)
    tail = next((t for t in (".value", ".name") if right.startswith(t)), "")
    return f"{left}{new}{tail}" if found and left.endswith(".") else ""


def _unquoted(text: str) -> str | None:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else None


RULE = Rule(
    name=NAME,
    summary="Required event names are mapped, to existing and right members, and none is lost.",
    why="""\
A message type that is missing in the map is never routed: the client waits until it times out, and no request
metric shows it. Configure the map, the file that assigns it, and what it must hold; everything that the scenarios
send or expect must be there too. Against a base, keys and members may only be added.

    event-map:
      - {map: MESSAGE_TYPES, in: app/events.py, requires: {execute_agent: START_AGENT}}
""",
    brief=brief,
    wants=wants,
    collect=collect,
    judge=judge,
    valid=examples.VALID,
    invalid=examples.INVALID,
)
