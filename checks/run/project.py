"""The tree under check, as rules see it when they judge."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from checks.finding import Finding, from_row, to_row
from checks.run.cache import Cache, digest
from checks.run.scan import DEFINITIONS
from checks.settings import Settings
from checks.tree import files
from checks.tree.before import Base, open_base
from checks.tree.definitions import Definitions, define
from checks.tree.modules import ModuleIndex
from checks.tree.parse import Parsed, Unparsable, parse
from checks.tree.resolve import Resolver


class TreeProject:
    """The tree under check, as rules see it."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self.root = root
        self.settings = settings
        self.tree = files.discover(root, settings.exclude)
        self._paths = frozenset(self.tree.paths)
        self.modules = ModuleIndex(self.tree.paths)
        self.resolver = Resolver(self.modules, self.definitions)
        asked = settings.additive.base if settings.additive else ""
        self.base: Base | None = open_base(root, asked) if asked else None
        self._definitions: dict[str, Definitions | None] = {}
        self._in_base: dict[str, Definitions | None] = {}
        self.cache: Cache | None = None
        self.keys: dict[str, str] = {}  # of every file that was read, when there is a cache
        self.stamps: dict[str, str] = {}  # of what each rule was asked
        self._followed: set[str] = set()

    def has(self, path: str) -> bool:
        return path in self._paths

    def parsed(self, path: str) -> Parsed | None:
        try:
            return parse(path, files.read(self.root, path)) if path in self._paths else None
        except (files.Unreadable, Unparsable):
            return None

    def definitions(self, path: str) -> Definitions | None:
        self._followed.add(path)
        if path not in self._definitions:
            self._definitions[path] = self._defined(path)
        return self._definitions[path]

    def _defined(self, path: str) -> Definitions | None:
        try:
            data = files.read(self.root, path)
        except files.Unreadable:
            return None
        key = digest(os.fsencode(path), data)
        if self.cache:
            is_there, kept = self.cache.get(key, DEFINITIONS, "")
            if is_there:
                return kept
        made = _define(path, data)
        if self.cache:
            self.cache.put(key, DEFINITIONS, "", made)
        return made

    def recall(self, rule: str, path: str) -> list[Finding] | None:
        """What was found in a file before, if nothing that it depended on has changed."""
        if self.cache is None or path not in self.keys:
            return None
        is_there, kept = self.cache.get(self.keys[path], f"{rule}:judged", self._stamp(rule))
        if not is_there or any(self.keys.get(other, "") != key for other, key in kept[0].items()):
            return None
        return [from_row(row) for row in kept[1]]

    def remembered(self, rule: str, path: str, judge: Callable[[], list[Finding]]) -> list[Finding]:
        kept = self.recall(rule, path)
        if kept is not None:
            return kept
        self._followed = set()
        found = judge()
        if self.cache is not None and path in self.keys:
            followed = {other: self.keys.get(other, "") for other in sorted(self._followed)}
            row = [followed, [to_row(each) for each in found]]
            self.cache.put(self.keys[path], f"{rule}:judged", self._stamp(rule), row)
        return found

    def _stamp(self, rule: str) -> str:
        return self.stamps[rule] + self._paths_stamp

    @cached_property
    def _paths_stamp(self) -> str:
        """Which file a name leads to depends on which files there are."""
        return digest(os.fsencode("\n".join(self.tree.paths)))[:12]

    def definitions_in_base(self, path: str) -> Definitions | None:
        if path not in self._in_base:
            before = self.base.read(path) if self.base else None
            self._in_base[path] = _define(path, before) if before is not None else None
        return self._in_base[path]

    def take_definitions(self, made: Mapping[str, Definitions]) -> None:
        """What was read beforehand."""
        self._definitions.update(made)

    def lines(self, path: str) -> list[str]:
        try:
            return files.decode(files.read(self.root, path)).split("\n")
        except files.Unreadable:
            return []


def _define(path: str, data: bytes) -> Definitions | None:
    try:
        return define(parse(path, data))
    except (Unparsable, RecursionError):
        return None
