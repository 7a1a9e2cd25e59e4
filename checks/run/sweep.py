"""One pass over the tree: which rules want which file, what the cache holds of it, and what must be collected now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial, reduce
from pathlib import Path
from typing import Any

from checks.errors import CheckError
from checks.finding import Confidence, Finding, Severity, Skipped
from checks.rules import BY_NAME
from checks.rules.protocol import Brief, Project, Rule
from checks.run.cache import Cache, digest, digest_of
from checks.run.memory import RememberedTree
from checks.run.pool import Job, Pool
from checks.run.scan import COMMENTS, DEFINITIONS, QUICK, Collected, wanted
from checks.tree import files
from checks.tree.defined import left_out_of


class Sweep:
    """One pass over the tree with the rules that are on. Raises CheckError where a rule's question is wrong."""

    def __init__(
        self, root: Path, project: Project, tree: RememberedTree, names: tuple[str, ...], cache: Cache | None
    ) -> None:
        self._root, self._project, self._tree, self._cache = root, project, tree, cache
        self.broken: list[Finding] = []
        self.briefs: dict[str, Brief] = {}
        for name in names:
            with self._reported_if_broken(name):
                brief = BY_NAME[name].brief(project.settings, tree)
                if brief is not None:
                    self.briefs[name] = brief
        self._digests = {name: digest_of(brief) for name, brief in self.briefs.items()} | {
            COMMENTS: "",
            DEFINITIONS: "",
        }
        self._common: dict[str, Any] = {}
        self._stamps: dict[str, str] = {}
        self._names = [*self.briefs, COMMENTS]
        self.entries: dict[str, Collected] = {}
        self._read: dict[tuple[str, str], Any] = {}
        self.skipped: list[Skipped] = []
        self.generated: set[str] = set()

    def read_all(self, jobs: int | None) -> None:
        """Collect from every file, and define those that judging will follow names into.

        Args:
            jobs: processes at most; as many as cores otherwise.
        """
        with Pool(self.briefs, jobs, self._keep) as pool:
            for path in self._tree.paths:
                job = self._job(path, self._names)
                if job:
                    pool.put(job)
            pool.drain()
            for name, brief in self.briefs.items():
                self._again(name, brief, pool)
            self._gather()
            pool.turn(self.briefs, self._keep)
            for path, names in sorted(self._referred().items()):
                job = self._defining(path, names)
                if job:
                    pool.put(job)
            pool.drain()
        for path, entry in self.entries.items():
            if DEFINITIONS in entry:
                self._tree.take(path, entry.pop(DEFINITIONS))

    def _again(self, name: str, brief: Brief, pool: Pool) -> None:
        """Further rounds of a rule that must look for what the facts of all files show."""
        rule = BY_NAME[name]
        for number in range(rule.rounds):
            further: Brief | None = None
            with self._reported_if_broken(name):
                further = rule.further(self._project, brief, self._facts(name)) if rule.further else None
            if further is None:
                return
            self._round(name, f"{name}:{number}", further, pool)
            brief = further

    def _round(self, name: str, slot: str, brief: Brief, pool: Pool) -> None:
        stamp = digest_of(brief)

        def keep(path: str, entry: Collected) -> None:
            facts = None if "trouble" in entry else entry[name]
            if self._cache and path in self._tree.keys:
                self._cache.put(self._tree.keys[path], slot, stamp, facts)
            self._take(path, slot, facts)

        pool.turn({name: brief}, keep)
        for path in self._looked_at(name):
            if self._cache and path in self._tree.keys:
                is_there, facts = self._cache.get(self._tree.keys[path], slot, stamp)
                if is_there:
                    self._take(path, slot, facts)
                    continue
            data = self._tree.read(path)
            near = data is not None and BY_NAME[name].wants(path, data, brief)
            if data is not None and near:
                pool.put(Job(path, data, {name: None if near is True else near}))
            elif self._cache and path in self._tree.keys:
                self._cache.put(self._tree.keys[path], slot, stamp, None)
        pool.drain()

    def _looked_at(self, name: str) -> Iterator[str]:
        takes_all = BY_NAME[name].takes_generated
        return (path for path in self._tree.paths if takes_all or path not in self.generated)

    def _facts(self, name: str) -> dict[str, Any]:
        return {path: self._joined(name, path) for path in self._paths_of(name)}

    def _joined(self, name: str, path: str) -> Any:
        """All that a rule collected from a file, in every round."""
        if (name, path) not in self._read:
            rule, entry = BY_NAME[name], self.entries[path]
            made = [rule.read(entry[slot]) for slot in self._slots(name) if slot in entry]
            self._read[name, path] = reduce(rule.join, made)
        return self._read[name, path]

    def _slots(self, name: str) -> list[str]:
        return [name, *(f"{name}:{number}" for number in range(BY_NAME[name].rounds))]

    def _gather(self) -> None:
        """What rules that judge file by file need of all files; findings are remembered only while it is the same."""
        for name in self.briefs:
            rule = BY_NAME[name]
            if rule.judge_file:
                with self._reported_if_broken(name):
                    facts = self._facts(name)
                    self.skipped += [
                        Skipped(path, f"{name}: {text}", line)
                        for path, each in facts.items()
                        for line, text in rule.gave_up(each)
                    ]
                    self._common[name] = rule.gather(self._project, facts)
                    self._stamps[name] = self._digests[name] + digest_of({"common": self._common[name]})

    def _defining(self, path: str, names: set[str]) -> Job | None:
        """What is left to collect of what a file defines, where these names at its top are asked about."""
        is_known = DEFINITIONS in self.entries.get(path, {})
        job = None if is_known else self._job(path, [DEFINITIONS])
        row = self.entries.get(path, {}).get(DEFINITIONS)
        if job or row is None or names.isdisjoint(left_out_of(row)):
            return job
        data = self._tree.read(path)
        return Job(path, data, {DEFINITIONS: None}) if data is not None else None

    def _referred(self) -> dict[str, set[str]]:
        """Files that judging will follow names into, each with those at its top."""
        found: dict[str, set[str]] = {}
        for name in self.briefs:
            rule = BY_NAME[name]
            for path in self._paths_of(name) if rule.refers else ():
                if rule.refers and self._tree.recall(name, self._stamp(name), path) is None:
                    with self._reported_if_broken(name):
                        for dotted in set(rule.refers(self._joined(name, path))):
                            where, top = self._place_of(dotted, path)
                            found.setdefault(where, set()).add(top)
        found.pop("", None)
        return found

    def _paths_of(self, name: str) -> list[str]:
        """The files of which a rule collected something, in order."""
        slots = self._slots(name)
        return [path for path, entry in sorted(self.entries.items()) if not entry.keys().isdisjoint(slots)]

    def _place_of(self, dotted: str, importer: str) -> tuple[str, str]:
        """The file of a name, and which at its top; nothing outside of the tree."""
        own, colon, inside = dotted.partition(":")
        if colon:
            return own, inside.partition(".")[0]
        place = self._tree.modules.split(dotted, importer)
        return (place[0], next(iter(place[1]), "")) if place else ("", "")

    def _job(self, path: str, names: list[str]) -> Job | None:
        """What is left to collect from one file; None when nothing is wanted or the cache holds everything."""
        try:
            data = files.read(self._root, path)
        except files.Unreadable as error:
            self.skipped.append(Skipped(path, str(error)))
            return None
        taken = [name for name in names if name not in BY_NAME or BY_NAME[name].takes_generated]
        if len(taken) < len(names) and files.is_generated(path, data):
            self.generated.add(path)
            names = taken
        quick = wanted(path, data, [name for name in names if name in QUICK], self.briefs)
        names = [name for name in names if name not in QUICK or name in quick]
        if self._cache and names:
            self._tree.keys[path] = digest(os.fsencode(path), data)
            names = [name for name in names if not self._is_kept(path, name)]
        asked = wanted(path, data, names, self.briefs) if names else {}
        if self._cache:
            for name in set(names) - asked.keys():
                self._cache.put(self._tree.keys[path], name, self._digests[name], None)
        return Job(path, data, asked) if asked else None

    def _is_kept(self, path: str, name: str) -> bool:
        assert self._cache
        is_there, facts = self._cache.get(self._tree.keys[path], name, self._digests[name])
        if is_there:
            self._take(path, name, facts)
        return is_there

    def _keep(self, path: str, entry: Collected) -> None:
        trouble = entry.pop("trouble", None)
        for name, facts in entry.items():
            self._take(path, name, facts)
            if self._cache and not trouble:
                self._cache.put(self._tree.keys[path], name, self._digests[name], facts)
        if trouble:
            self.skipped.append(Skipped(path, trouble[1], trouble[0]))

    def _take(self, path: str, name: str, facts: Any) -> None:
        if facts:
            self.entries.setdefault(path, {})[name] = facts
            self._read.pop((name.partition(":")[0], path), None)

    def judge(self) -> list[Finding]:
        found: list[Finding] = []
        for name, brief in self.briefs.items():
            rule = BY_NAME[name]
            with self._reported_if_broken(name):
                if rule.judge:
                    found += rule.judge(self._project, brief, self._facts(name))
                for path in self._paths_of(name) if rule.judge_file else ():
                    found += self._tree.judged(
                        name, self._stamp(name), path, partial(self._judge_file, rule, path)
                    )
        return [*found, *self.broken]

    def _judge_file(self, rule: Rule, path: str) -> Iterator[Finding]:
        assert rule.judge_file
        return rule.judge_file(
            self._project, path, self._joined(rule.name, path), self._common.get(rule.name)
        )

    def _stamp(self, name: str) -> str:
        return self._stamps.get(name, self._digests[name])

    @contextmanager
    def _reported_if_broken(self, name: str) -> Iterator[None]:
        """A rule that meets code it was not made for says so and fails the gate: it has not looked at the rest."""
        try:
            yield
        except CheckError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the other rules go on
            message = (
                f"this rule broke, so its other findings are not reported: {type(error).__name__}: {error}"
            )
            self.broken.append(Finding(name, "", 0, 1, Severity.ERROR, Confidence.HIGH, message))
