"""A map's entries, put together from all statements about it, wherever they stand.

Order counts: what is assigned, spread or updated later wins. Spreads, re-exports and enum aliases are followed by
path; what cannot be read (a computed key, a call) leaves the map open, so that "missing" is doubtful.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from checks.rules.event_map.change import Change, Entry, change_of
from checks.rules.event_map.mapping import changes
from checks.rules.event_map.registered import REGISTERED
from checks.rules.event_map.values import PLAIN_BASES, Values
from checks.rules.protocol import Project
from checks.settings import EventMap
from checks.tree.symbols import Symbol
from checks.tree.things import Thing
from checks.tree.tree import Tree

_DEPTH = 8


#: by name of a map, what a file says about it
Facts = dict[str, list[Change]]


def read(row: Any) -> Facts:
    """Facts as JSON gives them back."""
    return {name: [change_of(each) for each in rows] for name, rows in row.items()}


def facts_before(project: Project, now: Mapping[str, Facts], name: str) -> dict[str, Facts]:
    """What ``collect`` would have found in the base about a map: files that differ are looked at again."""
    changed = project.base.changed if project.base else ()
    found = {path: facts for path, facts in now.items() if path not in changed}
    for path in changed:
        data = project.before.read(path) if project.before else None
        parsed = project.before.parsed(path) if project.before and data and name.encode() in data else None
        if parsed is not None:
            found[path] = {each: list(changes(parsed, each)) for each in {name, *now.get(path, ())}}
    return found


def last(name: str) -> str:
    return name.rpartition(".")[2]


def _own_methods(change: Change, owner: Thing) -> Iterator[Change]:
    """Of an inherited ``getattr(self, f"on_{kind}")``, what is called so in the class that inherits it."""
    if named := re.match(r"methods called (\w*)\*(\w*)", change.style):
        base = Symbol("obj", f"{owner.path}:{owner.name}")
        made = Entry(None, owner.line, 1, "functions", base, " ".join(named.groups()))
        yield change._replace(entries=[made], is_open=False)


class Entries:
    """One map.

    Args:
        entries: by key, the file and the entry that counts in the end.
        is_open: something could not be read.
        twice: file, entry and first line of each key that a literal holds again.
        where: the assignment at home; None where there is none.
    """

    def __init__(self, tree: Tree, wanted: EventMap, facts: Mapping[str, Facts]) -> None:
        self._tree, self._wanted, self._facts = tree, wanted, facts
        self.values = Values(tree)
        self._owner, _, self._name = wanted.name.rpartition(".")
        self.entries: dict[str, tuple[str, Entry]] = {}
        self.is_open = False
        self.twice: list[tuple[str, Entry, int]] = []
        self._registry: Thing | None = None
        self._parts: list[tuple[str, Change]] = []
        self.where = self._found()
        if self.where is not None:
            self._gather()

    def _found(self) -> Change | None:
        """The statement that makes the map, and in ``_parts`` all that make it; None where there is nothing of the name."""
        home = self._rows(self._wanted.home, self._name)
        mine = [c for c in home if c.kind == "assign" and self._is_mine(c)]
        held = [
            c
            for c in home
            if c.kind == "holder"
            and (self._owner or last(c.target.name.replace(":", ".")) == c.owner + self._name)
            and self._is_mine(c)
        ]
        if held and self._is_registered():
            return held[0]
        if mine:
            chosen = self._chosen(mine)
            self._parts = [(self._wanted.home, each) for each in chosen]
            return chosen[0]
        return (
            next((c for c in held if self._owner), None)
            or self._used(home)
            or self._inherited(home)
            or self._imported()
        )

    def _chosen(self, mine: list[Change]) -> list[Change]:
        """Of the values by which one function chooses, the one that knows most of the keys that are asked for."""
        groups: dict[tuple[int, int], list[Change]] = {}
        for each in mine:
            groups.setdefault((each.line, each.column) if each.style else (0, -len(groups)), []).append(each)
        return [
            max(several, key=self._worth) if len(several) > 1 else several[0] for several in groups.values()
        ]

    def _worth(self, candidate: Change) -> tuple[int, int]:
        """How many of the keys that are asked for it knows, and how many keys."""
        kept = self.entries, self.is_open, self.twice
        self.entries, self.twice = {}, []
        self._add(self._wanted.home, candidate)
        if not candidate.entries:  # subclasses are entries of their own
            self._add_registered()
        known = set(self.entries)
        self.entries, self.is_open, self.twice = kept
        return len(known & self._wanted.requires.keys()), len(known)

    def _is_registered(self) -> bool:
        rows = ((path, c) for path, by_name in self._facts.items() for c in by_name.get(self._name, ()))
        return any(
            c.kind == "update" and c.style == REGISTERED and self._is_home(c.target, path) for path, c in rows
        )

    def _used(self, home: list[Change]) -> Change | None:
        """Where the home only uses a registry, what is registered with the same one counts, wherever that is."""
        used = next((c for c in home if c.kind == "update" and c.style == REGISTERED), None)
        if used is not None:
            self._registry = self._tree.resolver.what(used.target, self._wanted.home)
            self.is_open = self._registry is None or not self._registry.path
        return used

    def _inherited(self, home: list[Change]) -> Change | None:
        """What a class above the owner says; else what is put into it at home, wherever it was made."""
        where: Change | None = None
        start = self._tree.resolver.what(
            Symbol("obj", f"{self._wanted.home}:{self._owner}"), self._wanted.home
        )
        for above in self._tree.resolver.ancestors(start) if self._owner and start else ():
            rows = self._rows(above.path, self._name) if above.path else []
            mine = [c for c in rows if c.kind == "assign" and c.owner == last(above.name)]
            self.is_open |= not above.path and not above.name.startswith(PLAIN_BASES)
            if mine and start is not None:
                chosen = self._chosen(mine)
                put_in = [c for c in rows if c.kind in ("update", "remove") and c.owner == chosen[0].owner]
                self._parts += [(above.path, each) for each in (*chosen, *put_in)]
                where = chosen[0]._replace(line=start.line, column=1, end=[])
                self._parts += [(start.path, each) for each in _own_methods(where, start)]
                break
        put = next((c for c in home if c.kind == "update"), None)
        if where is None and put is not None:
            self.is_open = True
        return where or put

    def _imported(self) -> Change | None:
        """A map that the home only passes on."""
        module = self._tree.definitions(self._wanted.home)
        further = module.imports.get(self._name) if module and not self._owner else None
        if not further:
            return None
        made = Entry(None, 1, 1, "spread", Symbol("obj", further), "")
        where = Change("assign", Symbol("obj", further), "", 1, 1, [made], False, [])
        self._parts = [(self._wanted.home, where)]
        return where

    def _is_mine(self, change: Change) -> bool:
        return not self._owner or change.owner == self._owner

    def _rows(self, path: str, name: str) -> list[Change]:
        """Statements about a map; from the facts, or read now where a spread leads somewhere else."""
        if name in self._facts.get(path, {}):
            return self._facts[path][name]
        parsed = self._tree.parsed(path)
        return list(changes(parsed, name)) if parsed else []

    def _gather(self) -> None:
        home = self._wanted.home
        for path, change in self._parts:
            self._add(path, change)
        for change in self._rows(home, self._name):
            if change.kind in ("update", "remove") and (not change.owner or self._is_mine(change)):
                self._add(home, change)
        self._add_registered()
        if (
            self.where is not None and "called" in self.where.style
        ):  # ``chat.join`` is answered by ``chat_join``
            for key in self._wanted.requires.keys() - self.entries.keys():
                if (name := re.sub(r"\W", "_", key)) in self.entries:
                    self.entries[key] = self.entries[name]

    def _add_registered(self) -> None:
        """What other files put into it, and subclasses of subclasses wherever they are."""
        home = self._wanted.home
        for path, by_name in self._facts.items():
            if path != home:
                for change in by_name.get(self._name, ()):
                    if change.kind in ("update", "remove") and self._is_home(change.target, path):
                        self._add(path, change)
        for name, place in self._below(self._name, home, set()):
            for path, by_name in self._facts.items():
                for change in by_name.get(name, ()):
                    if change.kind == "update" and self._is_at(change.target, path, place, name):
                        self._add(path, change)

    def _below(self, name: str, place: str, met: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """Classes below a class that have no key of their own, and functions that fill a map; each with its file."""
        for path, by_name in self._facts.items():
            for change in by_name.get(name, ()) if (name, path) not in met else ():
                if change.kind == "below" and self._is_at(change.target, path, place, name):
                    yield change.owner, path
                    yield from self._below(change.owner, path, met | {(name, path)})

    def _is_at(self, target: Symbol, importer: str, place: str, name: str) -> bool:
        if name == self._name and place == self._wanted.home:
            owner = target.name.rpartition(":")[2].rpartition(".")[0]
            return self._is_home(target, importer) or (importer == place and owner == self._owner)
        thing = self._tree.resolver.what(target, importer)
        return thing is not None and (thing.path, last(thing.name)) == (place, name)

    def _is_home(self, target: Symbol, importer: str) -> bool:
        if self._registry is not None:
            return self._tree.resolver.what(target, importer) == self._registry
        if self._leads_home(target, importer):
            return True
        thing = self._tree.resolver.what(
            target, importer
        )  # a method of an object that is made somewhere else
        return thing is not None and thing.path == self._wanted.home and last(thing.name) == self._name

    def _leads_home(self, target: Symbol, importer: str) -> bool:
        """Whether a name in another file is this map: through the imports and re-exports of any file between."""
        found = self._tree.modules.split(target.name, importer)
        names = (found[1] or ("",)) if found else ("",)
        for _ in range(_DEPTH):
            if found is None or found[0] == self._wanted.home:
                return found is not None and names[-1] == self._name
            module = self._tree.definitions(found[0])
            further = module.imports.get(names[0]) if module and names else None
            found = self._tree.modules.split(further, found[0]) if further else None
            names = (*found[1], *names[1:]) if found and further else names
        return False

    def _add(self, path: str, change: Change, depth: int = _DEPTH) -> None:
        self.is_open = self.is_open or change.is_open
        seen: dict[str, int] = {}
        for entry in change.entries:
            if entry.form in ("spread", "message") and self.values.class_of(entry, path) is None:
                self._add_other(path, entry.base or Symbol("obj"), depth)
                continue
            if entry.form in ("members", "message", "spread", "functions"):
                self._add_class(path, entry)
                continue
            key = self.values.key(entry.key, path)
            if key is None:  # a computed key may be the one that is missing
                self.is_open = True
            elif change.kind == "remove" or entry.form == "without":
                self.entries.pop(key, None)
            else:
                if key in seen and entry.form != "handler":  # a function may ask twice
                    self.twice.append((path, entry, seen[key]))
                seen[key] = entry.line
                self.entries[key] = (path, entry)

    def _add_class(self, path: str, entry: Entry) -> None:
        """What stands for several keys: an enum, a message class, the functions of a module or a class."""
        if entry.form == "functions":
            texts, is_open = self.values.functions(entry, path)
        else:
            texts = self.values.of_class(entry, path)
            is_open = not texts
        self.is_open |= is_open
        for text in texts:
            self.entries[text] = (path, entry._replace(form="handler", base=None))

    def _add_other(self, path: str, spread: Symbol, depth: int) -> None:
        """``**OTHER``: in this file, in a class of it, or where it was imported from.

        Imports are followed a bounded number of times: two files may spread each other's maps.
        """
        inside, colon, name = spread.name.partition(":")
        found = (inside, tuple(name.split("."))) if colon else self._tree.modules.split(inside, path)
        if not found or not found[1] or not depth:
            self.is_open = True
            return
        where, names = found
        owner = names[-2] if len(names) > 1 else ""
        if where == self._wanted.home and names[-1] == self._name and owner == self._owner:
            return  # it spreads itself: those entries are there already
        rows = self._rows(where, names[-1])
        rows = [c for c in rows if owner and c.owner == owner] or rows
        module = self._tree.definitions(where) if not rows else None
        further = module.imports.get(names[0]) if module else None
        if further:
            self._add_other(where, Symbol("obj", ".".join((further, *names[1:]))), depth - 1)
            return
        self.is_open = self.is_open or not rows
        for change in rows:
            self._add(where, change, depth - 1)
