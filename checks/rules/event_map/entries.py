"""A map's entries, put together from all statements about it, wherever they stand.

Order counts: what is assigned, spread or updated later wins. Spreads, re-exports and enum aliases are followed by
path; what cannot be read (a computed key, a call) leaves the map open, so that "missing" is doubtful.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from checks.rules.event_map.mapping import Change, Entry, changes
from checks.rules.protocol import Facts, Project
from checks.settings import EventMap
from checks.tree.definitions import Definitions
from checks.tree.modules import ModuleIndex
from checks.tree.parse import Parsed, Unparsable, parse
from checks.tree.resolve import Resolver, Thing
from checks.tree.symbols import Symbol

_DEPTH = 8


class View(Protocol):
    """The tree, or what it was before, as far as maps need it."""

    modules: ModuleIndex
    resolver: Resolver

    def parsed(self, path: str) -> Parsed | None: ...

    def definitions(self, path: str) -> Definitions | None: ...


class BaseView:
    """The tree as the base had it: files that differ are read from there."""

    def __init__(self, project: Project) -> None:
        self._project, self._base = project, project.base
        self._changed = frozenset(self._base.changed) if self._base else frozenset()
        self.modules = project.modules
        self.resolver = Resolver(project.modules, self.definitions)

    def parsed(self, path: str) -> Parsed | None:
        if path not in self._changed or self._base is None:
            return self._project.parsed(path)
        data = self._base.read(path)
        try:
            return parse(path, data) if data is not None else None
        except Unparsable:
            return None

    def definitions(self, path: str) -> Definitions | None:
        is_other = path in self._changed
        return self._project.definitions_in_base(path) if is_other else self._project.definitions(path)

    def facts(self, now: Mapping[str, Facts], names: list[str]) -> dict[str, Facts]:
        """What ``collect`` would have found then."""
        found = {path: facts for path, facts in now.items() if path not in self._changed}
        for path in sorted(self._changed):
            data = self._base.read(path) if self._base else None
            mentioned = [name for name in names if data and name.encode() in data]
            parsed = self.parsed(path) if mentioned else None
            if parsed is not None:
                found[path] = {name: list(changes(parsed, name)) for name in mentioned}
        return found


def last(name: str) -> str:
    return name.rpartition(".")[2]


def unquoted(text: str) -> str | None:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else None


def _row(row: Any) -> Change:
    change = Change(*row)
    return change._replace(entries=[Entry(*entry) for entry in change.entries])


class Entries:
    """One map.

    Args:
        entries: by key, the file and the entry that counts in the end.
        is_open: something could not be read.
        twice: file, entry and first line of each key that a literal holds again.
        where: the assignment at home; None where there is none.
    """

    def __init__(self, view: View, wanted: EventMap, facts: Mapping[str, Facts]) -> None:
        self._view, self._wanted, self._facts = view, wanted, facts
        self._owner, _, self._name = wanted.name.rpartition(".")
        self.entries: dict[str, tuple[str, Entry]] = {}
        self.is_open = False
        self.twice: list[tuple[str, Entry, int]] = []
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
        parsed = self._view.parsed(path)
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
        found = self._view.modules.split(str(target[1]), importer)
        names = (found[1] or ("",)) if found else ("",)
        for _ in range(_DEPTH):
            if found is None or found[0] == self._wanted.home:
                return found is not None and names[-1] == self._name
            module = self._view.definitions(found[0])
            further = module["imports"].get(names[0]) if module and names else None
            found = self._view.modules.split(further, found[0]) if further else None
            names = (*found[1], *names[1:]) if found and further else names
        return False

    def _add(self, path: str, change: Change, depth: int = _DEPTH) -> None:
        self.is_open = self.is_open or change.is_open
        seen: dict[str, int] = {}
        for entry in change.entries:
            if entry.form == "spread":
                self._add_other(path, entry.base or ("obj", ""), depth)
                continue
            key = self.key(entry.key, path)
            if key is None:
                self.is_open = True
            elif change.kind == "remove":
                self.entries.pop(key, None)
            else:
                if key in seen:
                    self.twice.append((path, entry, seen[key]))
                seen[key] = entry.line
                self.entries[key] = (path, entry)

    def _add_other(self, path: str, spread: Symbol, depth: int) -> None:
        """``**OTHER``: in this file, in a class of it, or wherever it was imported from."""
        place = str(spread[1])
        inside, colon, name = place.partition(":")
        if colon:
            where: tuple[str, str] | None = (inside, last(name))
        else:
            found = self._view.modules.split(place, path)
            where = (found[0], found[1][-1]) if found and found[1] else None
        if where == (self._wanted.home, self._name):
            return  # built upon itself: all that is there already
        rows = self._rows(*where) if where and depth else []
        if where and not rows and depth:
            module = self._view.definitions(where[0])
            further = module["imports"].get(where[1]) if module else None
            if further:
                self._add_other(where[0], ("obj", further), depth - 1)
                return
        self.is_open = self.is_open or not rows
        for change in rows:
            self._add(where[0] if where else path, change, depth - 1)

    def key(self, key: Symbol | None, path: str) -> str | None:
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
            owner = self._view.resolver.what(("obj", left), path) if dot and not left.endswith(":") else None
            made = self._view.resolver.class_of(owner) if owner and owner.what == "class" else None
            if made and name in made["members"]:
                return unquoted(made["members"][name]["value"])
        thing = self._view.resolver.what(key, path)
        return thing.name if thing and thing.what == "const" else None

    def class_of(self, entry: Entry, path: str) -> Thing | None:
        """The class that a value is taken from."""
        thing = self._view.resolver.what(entry.base, path) if entry.base is not None else None
        return thing if thing and thing.what == "class" else None

    def members(self, entry: Entry, path: str) -> dict[str, str] | None:
        """Names to value texts of the class that the value is taken from; None when it cannot be followed."""
        thing = self.class_of(entry, path)
        found: dict[str, str] = {}
        for above in self._view.resolver.ancestors(thing) if thing else ():
            made = self._view.resolver.class_of(above)
            if made is None and above.what == "outside" and not above.name.startswith(("enum.", "builtins.")):
                return None  # inherits from something that cannot be read
            found |= (
                {name: m["value"] for name, m in made["members"].items() if name not in found} if made else {}
            )
        return found or None
