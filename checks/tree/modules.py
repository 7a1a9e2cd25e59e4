"""Dotted names to files, by the paths alone: what an import in one file of a tree refers to.

Theory of operation. Nothing is imported and no ``sys.path`` is known, so ``app.core.state`` means the file whose
path ends in ``app/core/state.py`` (or is a package's ``__init__.py``). The rest of the path must be able to stand
on a search path: it is the root, or a folder that is no package. Between several, the one nearest to the importing
file wins. Names of the standard library are looked for in the root alone. A name that begins with the folders around the
root (``acme.backend.app.state``, where the root is ``acme/backend/app``) means what is left of it, from the root.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from itertools import takewhile
from operator import eq

Parts = tuple[str, ...]


def parts_of(path: str) -> Parts:
    """``src/app/state.py`` to ``("src", "app", "state")``; a package's ``__init__`` is the package."""
    parts = tuple(path.rsplit(".", 1)[0].split("/"))
    return parts[:-1] if parts[-1] == "__init__" else parts


def absolute(path: str, module: str | None, level: int) -> str:
    """The dotted name that ``from ..module import`` means in the file at ``path``."""
    if not level:
        return module or ""
    package = parts_of(path) if path.endswith(("/__init__.py", "/__init__.pyi")) else parts_of(path)[:-1]
    above = package[: len(package) - (level - 1)]
    return ".".join((*above, *(module.split(".") if module else ())))


class ModuleIndex:
    """Finds the files that dotted names refer to.

    Args:
        above: the names of the folders down to the root, the root's own last.
        packages: the last of these, as far as they are packages that lie in one another.
    """

    def __init__(self, paths: Iterable[str], above: Parts = (), packages: Parts = ()) -> None:
        self._paths = tuple(paths)
        self._above, self._around = above, packages
        self._found: dict[tuple[Parts, Parts], str | None] = {}
        self._split: dict[tuple[str, str], tuple[str, Parts] | None] = {}

    @cached_property
    def _by_last(self) -> dict[str, list[tuple[Parts, str]]]:
        index: dict[str, list[tuple[Parts, str]]] = defaultdict(list)
        for path in self._paths:
            parts = parts_of(path)
            if parts:
                index[parts[-1]].append((parts, path))
        return index

    @cached_property
    def _packages(self) -> frozenset[Parts]:
        return frozenset(parts_of(p) for p in self._paths if p.endswith("/__init__.py"))

    def find(self, dotted: str, importer: str) -> str | None:
        """The file that is this module, seen from the importing file."""
        parts = tuple(dotted.split("."))
        home = tuple(importer.split("/")[:-1])
        key = (parts, home)
        if key not in self._found:
            self._found[key] = self._search(parts, home) or self._below_root(parts)
        return self._found[key]

    def _below_root(self, parts: Parts) -> str | None:
        """The file that a name means which begins above the root."""
        if parts[0] in sys.stdlib_module_names:
            return None
        rests = (parts[taken:] for taken in range(1, len(parts) + 1) if self._above[-taken:] == parts[:taken])
        return next((self._by_parts[rest] for rest in rests if rest in self._by_parts), None)

    @cached_property
    def _by_parts(self) -> dict[Parts, str]:
        stubs = {parts_of(path): path for path in self._paths if path.endswith(".pyi")}
        return stubs | {parts_of(path): path for path in self._paths if path.endswith(".py")}

    def _search(self, parts: Parts, home: Parts) -> str | None:
        best: tuple[int, int, int, str] | None = None
        is_standard = parts[0] in sys.stdlib_module_names
        for candidate, path in self._by_last.get(parts[-1], ()):
            prefix = candidate[: len(candidate) - len(parts)]
            if candidate[len(prefix) :] != parts or (is_standard and prefix) or prefix in self._packages:
                continue
            shared = sum(takewhile(bool, map(eq, prefix, home)))
            rank = (-shared, len(prefix), path.endswith(".pyi"), path)
            best = rank if best is None else min(best, rank)
        return best[3] if best else None

    def split(self, dotted: str, importer: str) -> tuple[str, Parts] | None:
        """The longest prefix that is a file, and the names that remain: ``app.state.Enum.MEMBER``."""
        key = dotted, importer.rpartition("/")[0]
        if key not in self._split:
            parts = tuple(dotted.split("."))
            ends = range(len(parts), 0, -1)
            found = ((self.find(".".join(parts[:end]), importer), parts[end:]) for end in ends)
            self._split[key] = next(((path, rest) for path, rest in found if path), None)
        return self._split[key]

    def name_of(self, path: str) -> str:
        """The dotted name under which others import the file: from its outermost package, or below ``src``."""
        parts = parts_of(path)
        start = len(parts) - 1
        while start > 0 and parts[:start] in self._packages:
            start -= 1
        if start == 0 and self._around:
            return ".".join((*self._around, *parts))
        if start == len(parts) - 1 and not self._packages:
            start = 1 if parts[0] == "src" and len(parts) > 1 else 0
        return ".".join(parts[start:])
