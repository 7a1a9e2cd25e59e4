"""A map's entries, put together from all statements about it, wherever they stand.

Order counts: what is assigned, spread or updated later wins. Spreads, re-exports and enum aliases are followed by
path; what cannot be read (a computed key, a call) leaves the map open, so that "missing" is doubtful.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checks.rules.event_map.change import Change, Entry, change_of
from checks.rules.event_map.dispatch import KINDS, REGISTERED
from checks.rules.event_map.mapping import changes
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
            found[path] = {name: list(changes(parsed, name))}
    return found


def last(name: str) -> str:
    return name.rpartition(".")[2]


def unquoted(text: str) -> str | None:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else None


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
        self._owner, _, self._name = wanted.name.rpartition(".")
        self.entries: dict[str, tuple[str, Entry]] = {}
        self.is_open = False
        self.twice: list[tuple[str, Entry, int]] = []
        home = self._rows(wanted.home, self._name)
        mine = [c for c in home if c.kind in ("assign", "holder") and self._is_mine(c)]
        held = [c for c in mine if c.kind == "holder" and self._owner]
        self.where = next((c for c in mine if c.kind == "assign"), next(iter(held), None))
        self._registry: Thing | None = None
        if self.where is None:
            self._use(home)
        if self.where is not None:
            self._gather()

    def _use(self, home: list[Change]) -> None:
        """Where the home only uses a registry, what is registered with the same one counts, wherever that is."""
        used = next((c for c in home if c.kind == "update" and c.style == REGISTERED), None)
        if used is not None:
            self.where = used
            self._registry = self._tree.resolver.what(used.target, self._wanted.home)
            self.is_open = self._registry is None or not self._registry.path

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
        for change in self._rows(home, self._name):
            if change.kind in ("update", "remove") or self._is_mine(change):
                self._add(home, change)
        for path, by_name in self._facts.items():
            if path != home:
                for change in by_name.get(self._name, ()):
                    if change.kind in ("update", "remove") and self._is_home(change.target, path):
                        self._add(path, change)

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
            if entry.form == "spread" and self.class_of(entry, path) is None:
                self._add_other(path, entry.base or Symbol("obj"), depth)
                continue
            if entry.form in ("members", "message", "spread"):  # a class among those of a union
                self._add_class(path, entry)
                continue
            key = self.key(entry.key, path)
            if key is None:  # a computed key may be the one that is missing
                self.is_open = True
            elif change.kind == "remove":
                self.entries.pop(key, None)
            else:
                if key in seen and entry.form != "handler":  # a function may ask twice
                    self.twice.append((path, entry, seen[key]))
                seen[key] = entry.line
                self.entries[key] = (path, entry)

    def _add_class(self, path: str, entry: Entry) -> None:
        """All members of an enum, or the literal of a message class."""
        members = self.members(entry, path)
        if entry.form == "members":
            thing = self.class_of(entry, path)
            texts = [
                name if entry.member else self._text_of(thing, name, text) or name
                for name, text in (members or {}).items()
            ]
        else:
            texts = [text] if (text := self._literal(entry, path)) else []
        self.is_open = self.is_open or not texts
        for text in texts:
            self.entries[text] = (path, entry._replace(form="handler", base=None))

    def _literal(self, entry: Entry, path: str) -> str:
        """``type: Literal["x"]``, its own or inherited."""
        thing = self.class_of(entry, path)
        for above in self._tree.resolver.ancestors(thing) if thing else ():
            made = self._tree.resolver.class_of(above)
            member = next((made.members[k] for k in KINDS if k in made.members), None) if made else None
            if member is not None:
                _, found, inner = member.annotation.partition("Literal[")
                text = (inner.partition("]")[0] if found else member.value).strip()
                return unquoted(text) or self._constant(text, above.path)
        return ""

    def _constant(self, text: str, path: str) -> str:
        """``Kind.X`` as it is written in a file."""
        module, (head, dot, rest) = self._tree.definitions(path), text.partition(".")
        if module is None or not all(part.isidentifier() for part in text.split(".")):
            return ""
        start = module.imports.get(head, f"{path}:{head}")
        return self.key(Symbol("obj", f"{start}{dot}{rest}"), path) or ""

    def _text_of(self, owner: Thing | None, name: str, text: str) -> str | None:
        """What an enum's member is; ``auto()`` of a StrEnum is its name in small letters."""
        if owner is not None and text.endswith("auto()"):
            above = {each.name for each in self._tree.resolver.ancestors(owner)}
            return name.lower() if "enum.StrEnum" in above else None
        return unquoted(text)

    def _add_other(self, path: str, spread: Symbol, depth: int) -> None:
        """``**OTHER``: in this file, in a class of it, or where it was imported from.

        Imports are followed a bounded number of times: two files may spread each other's maps.
        """
        place = spread.name
        inside, colon, name = place.partition(":")
        if colon:
            where: tuple[str, str] | None = (inside, last(name))
        else:
            found = self._tree.modules.split(place, path)
            where = (found[0], found[1][-1]) if found and found[1] else None
        if where == (self._wanted.home, self._name):
            return  # it spreads itself: those entries are there already
        rows = self._rows(*where) if where and depth else []
        if where and not rows and depth:
            module = self._tree.definitions(where[0])
            further = module.imports.get(where[1]) if module else None
            if further:
                self._add_other(where[0], Symbol("obj", further), depth - 1)
                return
        self.is_open = self.is_open or not rows
        for change in rows:
            self._add(where[0] if where else path, change, depth - 1)

    def key(self, key: Symbol | None, path: str) -> str | None:
        """The text of an entry's key; None when it cannot be read."""
        if key is None or key.form == "const":
            return key and key.name
        if key.form == "obj":  # a constant, or an enum member's value
            left, dot, member = key.name.rpartition(".")
            name = member if dot else ""
            if name in ("value", "name"):
                return self.key(Symbol("obj", left), path)
            owner = (
                self._tree.resolver.what(Symbol("obj", left), path)
                if dot and not left.endswith(":")
                else None
            )
            made = self._tree.resolver.class_of(owner) if owner and owner.what == "class" else None
            if made and name in made.members:
                return self._text_of(owner, name, made.members[name].value)
        thing = self._tree.resolver.what(key, path)
        return thing.name if thing and thing.what == "const" else None

    def class_of(self, entry: Entry, path: str) -> Thing | None:
        """The class that a value is taken from."""
        thing = self._tree.resolver.what(entry.base, path) if entry.base is not None else None
        return thing if thing and thing.what == "class" else None

    def members(self, entry: Entry, path: str) -> dict[str, str] | None:
        """Names to value texts of the class that the value is taken from; None when it cannot be followed."""
        thing = self.class_of(entry, path)
        found: dict[str, str] = {}
        for above in self._tree.resolver.ancestors(thing) if thing else ():
            made = self._tree.resolver.class_of(above)
            if made is None and above.what == "outside" and not above.name.startswith(("enum.", "builtins.")):
                return None  # inherits from something that cannot be read
            found |= {name: m.value for name, m in made.members.items() if name not in found} if made else {}
        return found or None
