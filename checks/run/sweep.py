"""One pass over the tree: who wants which file, what was kept, what is new."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from checks.errors import CheckError
from checks.finding import Confidence, Finding, Severity, Skipped
from checks.rules import BY_NAME
from checks.rules.protocol import Brief
from checks.run.cache import Cache, digest, digest_of
from checks.run.pool import Job, Pool
from checks.run.project import TreeProject
from checks.run.scan import COMMENTS, DEFINITIONS, QUICK, Entry, wanted
from checks.tree import files

ADDITIVE = "additive"


class Sweep:
    """One pass over the tree: who wants which file, what was kept, what is new."""

    def __init__(self, project: TreeProject, names: tuple[str, ...], cache: Cache | None) -> None:
        self.project = project
        self.cache = project.cache = cache
        self.broken: list[Finding] = []
        self.briefs: dict[str, Brief] = {}
        for name in names:
            with self._told_if_broken(name):
                brief = BY_NAME[name].brief(project.settings, project.parsed)
                if brief is not None:
                    self.briefs[name] = brief
        self._digests = {name: digest_of(brief) for name, brief in self.briefs.items()} | {
            COMMENTS: "",
            DEFINITIONS: "",
        }
        self._names = [*self.briefs, COMMENTS]
        project.stamps, self._keys = self._digests, project.keys
        self.entries: dict[str, Entry] = {}
        self.skipped: list[Skipped] = []

    @property
    def compares(self) -> bool:
        return ADDITIVE in self.briefs and self.project.base is not None

    def read_all(self, jobs: int | None) -> None:
        with Pool(self.briefs, jobs, self._keep) as pool:
            for path in self.project.tree.paths:
                job = self._job(path, self._names)
                if job:
                    pool.put(job)
            pool.drain()
            for path in sorted(self._referred()):
                is_known = DEFINITIONS in self.entries.get(path, {})
                job = None if is_known else self._job(path, [DEFINITIONS])
                if job:
                    pool.put(job)
            pool.drain()
        self.project.take_definitions(
            {p: e.pop(DEFINITIONS) for p, e in self.entries.items() if DEFINITIONS in e}
        )

    def _referred(self) -> set[str]:
        """Files that judging will follow names into."""
        found: set[str] = set()
        followers = [name for name in self.briefs if BY_NAME[name].follows]
        for path, entry in self.entries.items():
            for name in followers:
                if name in entry and self.project.recall(name, path) is None:
                    with self._told_if_broken(name):
                        found |= {self._file_of(dotted, path) for dotted in BY_NAME[name].refers(entry[name])}
        return found - {""}

    def _file_of(self, dotted: str, importer: str) -> str:
        own, colon, _ = dotted.partition(":")
        place = (own, ()) if colon else self.project.modules.split(dotted, importer)
        return place[0] if place else ""

    def _job(self, path: str, names: list[str]) -> Job | None:
        """What is left to collect from one file; None when nothing is wanted or everything was kept."""
        try:
            data = files.read(self.project.root, path)
        except files.Unreadable as error:
            self.skipped.append(Skipped(path, str(error)))
            return None
        quick = wanted(path, data, [name for name in names if name in QUICK], self.briefs)
        names = [name for name in names if name not in QUICK or name in quick]
        if self.cache and names:
            self._keys[path] = digest(os.fsencode(path), data)
            names = [name for name in names if not self._is_kept(path, name)]
        wants = wanted(path, data, names, self.briefs)
        if self.cache:
            for name in set(names) - set(wants):
                self.cache.put(self._keys[path], name, self._digests[name], None)
        return Job(path, data, tuple(wants)) if wants else None

    def _is_kept(self, path: str, name: str) -> bool:
        assert self.cache
        is_there, facts = self.cache.get(self._keys[path], name, self._digests[name])
        if is_there:
            self._take(path, name, facts)
        return is_there

    def _keep(self, path: str, entry: Entry) -> None:
        trouble = entry.pop("trouble", None)
        for name, facts in entry.items():
            self._take(path, name, facts)
            if self.cache and not trouble:
                self.cache.put(self._keys[path], name, self._digests[name], facts)
        if trouble:
            self.skipped.append(Skipped(path, trouble[1], trouble[0]))

    def _take(self, path: str, name: str, facts: Any) -> None:
        if facts:
            self.entries.setdefault(path, {})[name] = facts

    def judge(self) -> list[Finding]:
        found: list[Finding] = []
        for name, brief in self.briefs.items():
            facts = {
                path: self.entries[path][name] for path in sorted(self.entries) if name in self.entries[path]
            }
            with self._told_if_broken(name):
                found += BY_NAME[name].judge(self.project, brief, facts)
        return [*found, *self.broken]

    @contextmanager
    def _told_if_broken(self, name: str) -> Iterator[None]:
        """A rule that meets code it was not made for says so and fails the gate: it has not looked at the rest."""
        try:
            yield
        except CheckError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the other rules go on
            message = f"this rule broke, so its other findings are not told: {type(error).__name__}: {error}"
            self.broken.append(Finding(name, "", 0, 1, Severity.ERROR, Confidence.HIGH, message))
