"""One state of a project's Python files, now or in the base, and what can be asked about it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path

from checks.tree import files
from checks.tree.defined import Definitions
from checks.tree.definitions import define
from checks.tree.modules import ModuleIndex
from checks.tree.parse import Parsed, Unparsable, parse
from checks.tree.resolve import Resolver


class Tree:
    """Paths and bytes; all else is derived from them. Nothing here raises because of what a file holds.

    Args:
        paths: of all files, relative to the root, with forward slashes.
        read: the bytes of one file; None when it cannot be read.
        root: where it lies.
    """

    def __init__(
        self, paths: Iterable[str], read: Callable[[str], bytes | None], root: Path | None = None
    ) -> None:
        self.paths = tuple(paths)
        self.read = read
        self.root = root
        above = root.absolute().parts[1:] if root else ()
        self.modules = ModuleIndex(self.paths, above, files.packages_around(root) if root else ())
        self.resolver = Resolver(self.modules, self.definitions)
        self._there = frozenset(self.paths)
        self._definitions: dict[str, Definitions | None] = {}

    def has(self, path: str) -> bool:
        return path in self._there

    def hint(self, path: str) -> str:
        """``; did you mean ...?`` for a path that is not there, or nothing: of that name, else of nearly that path."""
        name = path.rpartition("/")[2]
        same = [each for each in self.paths if each.rpartition("/")[2] == name and name != "__init__.py"]
        near = difflib.get_close_matches(path, same or self.paths, n=1, cutoff=0.0 if same else 0.8)
        return f"; did you mean {near[0]}?" if near else ""

    def parsed(self, path: str) -> Parsed | None:
        """One file, parsed now; None when it is not there or cannot be parsed."""
        data = self.read(path) if path in self._there else None
        try:
            return parse(path, data) if data is not None else None
        except Unparsable:
            return None

    def definitions(self, path: str, name: str | None = None) -> Definitions | None:
        """What one file defines; None when it cannot be parsed. Worked out once.

        Args:
            name: the only one at its top that is asked about.
        """
        if path not in self._definitions:
            self._definitions[path] = self._recalled(path) or self._define(path)
        found = self._definitions[path]
        if found is not None and not found.tells(name):
            found = self._definitions[path] = self._define(path)
        return found

    def _recalled(self, path: str) -> Definitions | None:  # noqa: ARG002 - where there is a memory
        """What is known of it already, perhaps not of all names."""
        return None

    def _define(self, path: str) -> Definitions | None:
        parsed = self.parsed(path)
        try:
            return define(parsed) if parsed else None
        except RecursionError:
            return None

    def lines(self, path: str) -> list[str]:
        """The text of one file, line by line; nothing when it cannot be read."""
        data = self.read(path)
        return files.decode(data).split("\n") if data is not None else []
