"""Whether subclasses make something else of what a method of their base reads from ``self``.

``self.now()`` in a base is a datetime there; where a class below it gives text instead, what is sent is not certain to be
refused. Asked about are the subclasses in the same file: for those of others, every file of the tree would have to be read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice

from checks.tree.defined import Class
from checks.tree.symbols import Symbol, walk
from checks.tree.things import Thing
from checks.tree.tree import Tree

#: how many subclasses with such a member are asked about
_MOST = 50


class Below:
    """The subclasses in one file."""

    def __init__(self, tree: Tree, path: str) -> None:
        self._tree, self._path = tree, path
        self._below: dict[str, dict[Symbol, list[str]]] = {}

    def changes(self, symbol: Symbol, is_refused: Callable[[Symbol], bool]) -> bool:
        """Whether what a symbol is, is harmless for a subclass of what it belongs to."""
        read: dict[Symbol, set[str]] = defaultdict(set)
        for part in walk(symbol):
            owner = part.parts[0] if part.form == "attr" and part.parts else None
            if owner is not None and owner.form == "of":
                read[owner].add(part.name)
        return any(
            not is_refused(_replaced(symbol, owner, below))
            for owner, names in read.items()
            for below in islice(self._subclasses(self._tree.resolver.what(owner, self._path), names), _MOST)
        )

    def _subclasses(self, owner: Thing | None, names: set[str]) -> Iterator[Symbol]:
        """Instances of the classes below one, as far as its own file defines them, that may make something else of a name."""
        if owner is None or owner.what != "instance" or not owner.path:
            return
        here = self._tree.definitions(owner.path)
        below = self._by_base(owner.path)
        waiting, seen = [(owner.name, False)], {owner.name}
        while waiting:
            base, is_other = waiting.pop()
            for name in below.get(Symbol("obj", f"{owner.path}:{base}"), ()):
                if name in seen or here is None:
                    continue
                seen.add(name)
                made = here.classes[name]
                is_it = is_other or len(made.bases) > 1 or _has_any(made, names)
                waiting.append((name, is_it))
                if is_it:
                    yield Symbol("of", f"{owner.path}:{name}")

    def _by_base(self, path: str) -> dict[Symbol, list[str]]:
        if path not in self._below:
            here, found = self._tree.definitions(path), defaultdict(list)
            for name, made in here.classes.items() if here is not None else ():
                for base in filter(None, made.bases):
                    found[base].append(name)
            self._below[path] = found
        return self._below[path]


def _has_any(made: Class, names: set[str]) -> bool:
    return made.changes_reads or not (
        names.isdisjoint(made.members) and names.isdisjoint(made.fields) and names.isdisjoint(made.returns)
    )


def _replaced(symbol: Symbol, owner: Symbol, other: Symbol) -> Symbol:
    if symbol == owner:
        return other
    return symbol._replace(parts=tuple(part and _replaced(part, owner, other) for part in symbol.parts))
