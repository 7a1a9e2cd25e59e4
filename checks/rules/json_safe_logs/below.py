"""Whether subclasses make something else of what a method of their base reads from ``self``.

``self.now()`` in a base is a datetime there; where a class below it gives text instead, what is sent is not certain to be
refused. Asked about are the subclasses in the same file: for those of others, every file of the tree would have to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from checks.tree.symbols import Symbol, walk
from checks.tree.things import Thing
from checks.tree.tree import Tree


def changed_below(tree: Tree, path: str, symbol: Symbol, is_refused: Callable[[Symbol], bool]) -> bool:
    """Whether what a symbol is, is harmless for a subclass of what it belongs to."""
    owners = {part.parts[0] for part in walk(symbol) if part.form == "attr" and part.parts}
    return any(
        not is_refused(_replaced(symbol, owner, below))
        for owner in owners
        if owner is not None and owner.form == "of"
        for below in _subclasses(tree, tree.resolver.what(owner, path))
    )


def _subclasses(tree: Tree, owner: Thing | None) -> Iterator[Symbol]:
    """Instances of the classes below one, as far as its own file defines them."""
    here = (
        tree.definitions(owner.path)
        if owner is not None and owner.what == "instance" and owner.path
        else None
    )
    if owner is None or here is None:
        return
    waiting, seen = [owner.name], {owner.name}
    while waiting:
        base = Symbol("obj", f"{owner.path}:{waiting.pop()}")
        below = [name for name, made in here.classes.items() if base in made.bases and name not in seen]
        seen.update(below)
        waiting += below
        yield from (Symbol("of", f"{owner.path}:{name}") for name in below)


def _replaced(symbol: Symbol, owner: Symbol, other: Symbol) -> Symbol:
    if symbol == owner:
        return other
    return symbol._replace(parts=tuple(part and _replaced(part, owner, other) for part in symbol.parts))
