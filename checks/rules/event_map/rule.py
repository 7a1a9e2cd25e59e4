"""event-map: every message that must be routed is in the map, to the right member, and stays there.

Theory of operation. The map's home is parsed, and every file that mentions its name (it may be updated from afar).
All statements about it are put together (see ``entries.py``) and held against what is asked.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import partial

from checks.finding import Finding, Fix
from checks.rules.event_map.entries import Entries, Facts, facts_before, last, read
from checks.rules.event_map.fix import new_entry
from checks.rules.event_map.mapping import changes
from checks.rules.event_map.registered import REGISTERED
from checks.rules.event_map.values import unquoted
from checks.rules.protocol import Brief, Project, Rule, error, is_test
from checks.settings import EventMap, Settings
from checks.tree.parse import Parsed
from checks.tree.tree import Tree

NAME = "event-map"
_error = partial(error, NAME)


def brief(settings: Settings, _tree: Tree) -> Brief | None:
    names = sorted({last(m.name) for m in settings.event_map})
    return {"names": names} if names else None


def wants(path: str, data: bytes, asked: Brief) -> bool:
    return any(name.encode() in data for name in asked["names"]) and not is_test(path)


def collect(parsed: Parsed, asked: Brief) -> Facts | None:
    found = {name: list(changes(parsed, name)) for name in asked["names"]}
    return {name: rows for name, rows in found.items() if rows} or None


def further(_project: Project, asked: Brief, facts: Mapping[str, Facts]) -> Brief | None:
    """Classes below one that is asked for, without a key of their own: those below them are looked for next."""
    rows = (change for by_name in facts.values() for several in by_name.values() for change in several)
    known = {*asked["names"], *asked.get("known", ())}
    names = sorted({change.owner for change in rows if change.kind == "below"} - known)
    return {"names": names, "known": sorted(known)} if names else None


def judge(project: Project, _asked: Brief, facts: Mapping[str, Facts]) -> Iterator[Finding]:
    settings = project.settings
    judges = [MapJudge(project, wanted, facts) for wanted in settings.event_map]
    for each in judges:
        yield from each.findings()
    known = {key for each in judges for key in each.entries} | {
        key for m in settings.event_map for key in m.requires
    }
    if judges and judges[0].where is not None:
        for message in settings.messages:
            if message not in known:
                yield judges[0].unmapped(message)


class MapJudge:
    """One map, held against what is asked of it."""

    def __init__(self, project: Project, wanted: EventMap, facts: Mapping[str, Facts]) -> None:
        self._project, self._wanted, self._facts = project, wanted, facts
        self._name = last(wanted.name)
        self._map = Entries(project.now, wanted, facts)
        self.entries, self.where = self._map.entries, self._map.where

    def findings(self) -> Iterator[Finding]:
        wanted = self._wanted
        if not self._project.now.has(wanted.home):
            hint = self._project.now.hint(wanted.home)
            text = f"the home of {wanted.name} is missing: there is no {wanted.home}{hint}"
            yield _error(wanted.home, (1, 1), text)
            return
        if self.where is None:
            yield _error(wanted.home, (1, 1), f"{wanted.name} is not assigned in {wanted.home}")
            return
        if self.where.style == REGISTERED and not self.entries and wanted.requires:
            text = f"{self._name} chooses by nothing that can be read, and no file of the tree was seen to register a handler with it"
            yield _error(wanted.home, (self.where.line, self.where.column), text, is_sure=False)
            return
        for path, entry, first in self._map.twice:
            key = self._map.values.key(entry.key, path)
            yield _error(
                path, (entry.line, entry.column), f"duplicate key {key!r}: the one on line {first} is lost"
            )
        yield from self._wrong_members()
        for key, member in wanted.requires.items():
            if key not in self.entries:
                yield self._missing(key, last(member))
            elif member and not self._agrees(key, last(member)):
                path, entry = self.entries[key]
                message = (
                    f"{key!r} is mapped to {entry.member or 'something computed'}, not to {last(member)}"
                )
                yield _error(path, (entry.line, entry.column), message, is_sure=entry.form != "other")
        yield from self._lost()

    def _wrong_members(self) -> Iterator[Finding]:
        for key, (path, entry) in self.entries.items():
            members = self._map.values.members(entry, path)
            if members is None or entry.form == "other":
                continue
            names = members if entry.form == "member" else set(members.values())
            if entry.member not in names:
                near = difflib.get_close_matches(entry.member, sorted(names), n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                thing = self._map.values.class_of(entry, path)
                message = f"{key!r} is mapped to {entry.member}, which {thing.name if thing else ''} does not have{hint}"
                yield _error(path, (entry.line, entry.column), message)

    def _agrees(self, key: str, member: str) -> bool:
        path, entry = self.entries[key]
        if entry.form == "handler":  # a function answers, whatever the member is called
            return True
        if entry.form in ("member", "text") and entry.member == member:
            return True
        members = self._map.values.members(entry, path) or self._common_members()
        same = members.get(member, "")
        if entry.form == "text":
            return unquoted(same) == entry.member
        if entry.form == "value":
            return same == entry.member
        return member in members and "auto()" not in same and members.get(entry.member) == same

    def _common_members(self) -> dict[str, str]:
        found = (
            self._map.values.members(entry, path)
            for path, entry in self.entries.values()
            if entry.form != "text"
        )
        return next((members for members in found if members), {})

    def _missing(self, key: str, member: str) -> Finding:
        assert self.where
        extra = sorted(set(self.entries) - set(self._wanted.requires))
        near = _nearest(key, extra)
        target = f" (to {member})" if member else ""
        if near:
            path, entry = self.entries[near]
            message = f"{key!r} is not mapped in {self._name}{target}: is {near!r} meant to be it? did you mean {key!r}?"
            return _error(path, (entry.line, entry.column), message)
        message = f"{key!r} is not mapped in {self._name}{target}: such messages are never routed"
        if self.where.style:
            example = self.where.example.replace("{key}", key)
            message = (
                f"{key!r} is not handled: {self._name} dispatches by {self.where.style}, line {self.where.line}; "
                f"write: {example}"
            )
        fix = self._entry_fix(key, member) if member else None
        if fix is None and member and not self.where.style:
            message += f'; write: "{key}": {self._written(member)}'
        return _error(
            self._wanted.home,
            (self.where.line, self.where.column),
            message,
            is_sure=not self._map.is_open,
            fix=fix,
        )

    def unmapped(self, message: str) -> Finding:
        """A scenario's message type that no map holds."""
        assert self.where
        near = _nearest(message, sorted(self.entries))
        hint = f"; did you mean {near!r}?" if near else ""
        text = f"a scenario uses {message!r}, which {self._name} does not map{hint}"
        return _error(
            self._wanted.home, (self.where.line, self.where.column), text, is_sure=not self._map.is_open
        )

    def _lost(self) -> Iterator[Finding]:
        """What the base had and the tree has not."""
        tree, base = self._project.before, self._project.base
        if base is None or tree is None or not base.changed:
            return
        before = Entries(tree, self._wanted, facts_before(self._project, self._facts, self._name))
        assert self.where
        for key in sorted(before.entries.keys() - self.entries.keys() - self._wanted.requires.keys()):
            message = f"{key!r} was removed from {self._name}: whoever sends it is no longer answered"
            yield _error(
                self._wanted.home,
                (self.where.line, self.where.column),
                message,
                is_sure=not self._map.is_open,
            )
        classes = {self._map.values.class_of(entry, path) for path, entry in self.entries.values()}
        for thing in sorted((c for c in classes if c), key=lambda c: (c.path, c.name)):
            made, old = self._project.now.resolver.class_of(thing), tree.resolver.class_of(thing)
            lost = set(old.members if old else ()) - set(made.members if made else ())
            for member in sorted(lost):
                message = f"{thing.name}.{member} was removed: old code and stored messages still name it"
                yield _error(thing.path, (thing.line, 1), message)

    def _written(self, member: str) -> str:
        """A value like the others'."""
        models = (e for _, e in self.entries.values() if e.form == "member" and e.base is not None)
        owner = next((last(e.base.name.replace(":", ".")) for e in models if e.base is not None), "")
        return f"{owner}.{member}" if owner else member

    def _entry_fix(self, key: str, member: str) -> Fix | None:
        """A line like its neighbours, after the last entry of the literal."""
        parsed = self._project.now.parsed(self._wanted.home)
        mine = [e for p, e in self.entries.values() if p == self._wanted.home]
        alike = [e for e in mine if e.form in ("member", "text")]
        model = next((e for e in alike if e.key and e.key.form == "const"), next(iter(alike), None))
        if self.where is None or not self.where.end or parsed is None or model is None:
            return None
        what = self._project.now.resolver.what(model.key, self._wanted.home)
        if what is None or what.what != "const":  # a member of an enum as key is no text
            return None
        members = self._map.values.members(model, self._wanted.home)
        if model.form == "member" and (members is None or member not in members):
            return None
        edit = new_entry(parsed, self.where.end, model, key, member)
        return Fix(f"map {key} to {member}", (edit,)) if edit else None


def _nearest(name: str, others: list[str]) -> str:
    """The one that is the same but for case and dashes, else the one that is most like it; empty for none."""
    plain = {other.casefold().replace("-", "_"): other for other in others}
    near = difflib.get_close_matches(name.casefold().replace("-", "_"), plain, n=1, cutoff=0.8)
    return plain[near[0]] if near else ""


RULE = Rule(
    name=NAME,
    summary="Required event names are mapped, to existing and right members, and none is lost.",
    why="""\
A message type that is missing in the map is never routed: the client waits until it times out, and no request
metric shows it. Configure the map, the file that assigns it, and what it must hold; everything that the scenarios
send or expect must be there too. Against a base, keys and members may only be added.

    event-map:
      - {map: MESSAGE_TYPES, in: app/events.py, requires: {execute_agent: START_AGENT}}
      - {map: Router.on, in: app/router.py, requires: [execute_agent]}

``map`` may also name what registers handlers (``@router.on("x")``, ``@sio.event``, ``register("x", f)``), a function that
chooses by ``if``, ``match`` or ``getattr(self, f"on_{kind}")`` or gives a dictionary back, a table of rows, a base class whose
subclasses have a ``type`` of their own, an enum, a class of events, or a union of message classes.
""",
    brief=brief,
    wants=wants,
    collect=collect,
    read=read,
    judge=judge,
    further=further,
    join=lambda facts, more: {**facts, **more},
    rounds=3,
    is_quick=True,
)
