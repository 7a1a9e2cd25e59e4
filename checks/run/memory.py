"""The tree of today with a memory: what earlier runs worked out about files that have not changed since."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from checks.finding import Finding, from_row, to_row
from checks.run.cache import Cache, digest
from checks.run.scan import DEFINITIONS
from checks.tree.defined import Definitions, definitions_of
from checks.tree.tree import Tree


class RememberedTree(Tree):
    """A tree that looks into the cache before it works something out.

    What a rule finds in a file depends on the files whose definitions it asked for, too. So those are noted while it
    judges, and its findings are reused only while all of them are what they were.

    Args:
        keys: the hash of each file that this run has read, when there is a cache.
    """

    def __init__(
        self, paths: Iterable[str], read: Callable[[str], bytes | None], root: Path, cache: Cache | None
    ) -> None:
        super().__init__(paths, read, root)
        self.keys: dict[str, str] = {}
        self._cache = cache
        self._rows: dict[str, Any] = {}
        self._asked: set[str] = set()

    def take(self, path: str, row: Any) -> None:
        """Definitions that were collected beforehand, as they came from the process or the cache."""
        self._rows[path] = row

    def definitions(self, path: str, name: str | None = None) -> Definitions | None:
        self._asked.add(path)
        return super().definitions(path, name)

    def _recalled(self, path: str) -> Definitions | None:
        row = self._rows.get(path)
        key = self._key(path) if row is None else None
        if self._cache and key:
            _, row = self._cache.get(key, DEFINITIONS, "")
        return definitions_of(row) if row is not None else None

    def _define(self, path: str) -> Definitions | None:
        made, key = super()._define(path), self._key(path)
        if self._cache and key:
            self._cache.put(key, DEFINITIONS, "", made)
        return made

    def _key(self, path: str) -> str | None:
        data = self.read(path) if self._cache else None
        return digest(os.fsencode(path), data) if data is not None else None

    def recall(self, rule: str, stamp: str, path: str) -> list[Finding] | None:
        """What a rule found in a file before; None if anything that it depended on has changed.

        Args:
            stamp: of what the rule is asked.
        """
        if self._cache is None or path not in self.keys:
            return None
        is_there, row = self._cache.get(self.keys[path], f"{rule}:judged", stamp + self._paths_stamp)
        if not is_there or any(self.keys.get(other, "") != key for other, key in row[0].items()):
            return None
        return [from_row(each) for each in row[1]]

    def judged(
        self, rule: str, stamp: str, path: str, judge: Callable[[], Iterable[Finding]]
    ) -> list[Finding]:
        """What ``judge`` finds in a file, or what it found there before."""
        known = self.recall(rule, stamp, path)
        if known is not None:
            return known
        self._asked = set()
        found = list(judge())
        if self._cache is not None and path in self.keys:
            needed = {other: self.keys.get(other, "") for other in sorted(self._asked)}
            row = [needed, [to_row(each) for each in found]]
            self._cache.put(self.keys[path], f"{rule}:judged", stamp + self._paths_stamp, row)
        return found

    @cached_property
    def _paths_stamp(self) -> str:
        """Which file a name leads to depends on which files there are."""
        return digest(os.fsencode("\n".join(self.paths)))[:12]
