"""What a symbol is, across files: classes, instances, functions and modules of the tree, or names outside of it.

Theory of operation. ``Resolver.what`` follows imports and re-exports from file to file, reading a module's
definitions when it first needs them. It answers with a ``Thing``, never guesses, and gives up after a bounded number
of steps: circular imports and recursive types end as "unknown".
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial

from msgspec.structs import replace

from checks.tree.containers import DICT, VIEWS
from checks.tree.defined import Class, Definitions
from checks.tree.library import ATTRIBUTES
from checks.tree.modules import ModuleIndex
from checks.tree.symbols import Symbol
from checks.tree.things import (
    Thing,
    any_of,
    arith_of,
    at_of,
    instance_of,
    item_of,
    made_of,
    outside_result,
    perhaps,
    view_of,
)

_DEPTH = 24
_TOLD = sys.stdlib_module_names | {
    "builtins",
    "typing_extensions",
    "pydantic",
    "pydantic_settings",
    "sqlmodel",
    "aenum",
}


class Resolver:
    """Answers what symbols are.

    Args:
        definitions: those of a file, as far as a name at its top needs them; a function, so that tests and caches can
            stand behind it.
    """

    def __init__(self, modules: ModuleIndex, definitions: Callable[[str, str], Definitions | None]) -> None:
        self._modules = modules
        self._definitions = definitions
        self._open: set[Thing] = set()

    def what(self, symbol: Symbol | None, importer: str, depth: int = _DEPTH) -> Thing | None:
        """The thing, as seen from the file ``importer``."""
        if symbol is None or not depth:
            return None
        if symbol.form in ("obj", "of"):
            named = self._named(symbol.name, importer, depth - 1)
            return named if symbol.form == "obj" else instance_of(named)
        if symbol.form in ("kind", "const"):
            return Thing(symbol.form, name=symbol.name)
        parts = tuple(self.what(part, importer, depth - 1) for part in symbol.parts)
        match symbol.form:
            case "attr":
                return self.attribute(parts[0], symbol.name, depth - 1)
            case "call":
                return self._called(parts[0], depth - 1)
            case "known":
                return self._known(symbol, parts[0], depth - 1)
            case "fields":
                return self._given_away(symbol.name, parts[0], depth)
            case "item" | "at":
                taken = item_of if symbol.form == "item" else partial(at_of, place=symbol.name)
                return taken(parts[0], is_enum=self.is_enum)
            case "arith":
                return arith_of(symbol.name, *parts)
            case _:
                return made_of(symbol.form, symbol.name, parts)

    def _given_away(self, word: str, thing: Thing | None, depth: int) -> Thing | None:
        """What ``model_dump`` and its like give; those of a base that is not known may do it in their own way."""
        own = self.attribute(thing, word, depth - 1) if word else None
        if own is not None and own.what == "method":
            return self._called(own, depth - 1)
        is_whole = word in ("", "vars")
        found = (self._held if is_whole else self._fields)(thing, depth - 1)
        is_sure = thing is None or is_whole or word == "asdict" or self.is_told(thing)
        return found if is_sure else perhaps(found)

    def class_of(self, thing: Thing) -> Class | None:
        """The definition behind a class or an instance of the tree."""
        module = self._around(thing)
        return module.classes.get(thing.name) if module else None

    def unfolded(self, thing: Thing) -> Thing | None:
        """A dictionary of known keys, with what its class says is in it."""
        return self._fields(thing, _DEPTH)

    def _around(self, thing: Thing) -> Definitions | None:
        return self._definitions(thing.path, thing.name.partition(".")[0]) if thing.path else None

    def ancestors(self, thing: Thing, depth: int = 12) -> Iterator[Thing]:
        """The class itself and everything above it, nearest first."""
        yield thing
        made = self.class_of(thing)
        if made and depth:
            for base in made.bases:
                above = self.what(base, thing.path)
                if above is not None and above.what in ("class", "outside"):
                    yield from self.ancestors(above, depth - 1)

    def is_told(self, thing: Thing) -> bool:
        """Whether all that is above a class is of the tree, of Python, or of a library whose records are known."""
        for each in self.ancestors(Thing("class", thing.path, thing.name)):
            made = self.class_of(each) if each.what == "class" else None
            if made is None and each.name.partition(".")[0] not in _TOLD:
                return False
            bases = [self.what(base, each.path) for base in made.bases] if made else []
            if any(base is None or base.what not in ("class", "outside") for base in bases):
                return False
        return True

    def _named(self, name: str, importer: str, depth: int) -> Thing | None:
        path, colon, inside = name.partition(":")
        if colon:
            return self._inside(path, tuple(inside.split(".")), depth)
        found = self._modules.split(name, importer)
        if found is None:
            return Thing("outside", name=name)
        return self._inside(found[0], found[1], depth)

    def _inside(self, path: str, names: tuple[str, ...], depth: int) -> Thing | None:
        if not names:
            return Thing("module", path)
        module = self._definitions(path, names[0])
        if module is None or not depth:
            return None
        for end in range(len(names), 0, -1):
            name = ".".join(names[:end])
            if name in module.classes:
                thing = Thing("class", path, name, line=module.classes[name].line)
                return self._walk(thing, names[end:], depth)
        return self._walk(self._top(path, module, names[0], depth), names[1:], depth)

    def _top(self, path: str, module: Definitions, name: str, depth: int) -> Thing | None:
        if name in module.functions:
            return Thing("function", path, name)
        if name in module.values:
            return self.what(module.values[name], path, depth - 1)
        if name in module.imports:
            return self._named(module.imports[name], path, depth - 1)
        for star in module.stars:
            found = self._modules.find(star, path)
            inside = self._inside(found, (name,), depth - 1) if found and found != path else None
            if inside is not None:
                return inside
        return None

    def _walk(self, thing: Thing | None, names: tuple[str, ...], depth: int) -> Thing | None:
        for name in names:
            thing = self.attribute(thing, name, depth - 1)
        return thing

    def attribute(self, thing: Thing | None, name: str, depth: int = _DEPTH) -> Thing | None:
        """``thing.name``. Members of a class come back as instances of it when it is an enum."""
        if thing is None or not depth:
            return None
        match thing.what:
            case "module":
                return self._inside(thing.path, (name,), depth - 1)
            case "outside":
                return Thing("outside", name=f"{thing.name}.{name}")
            case "outside instance":
                full = f"{thing.name}.{name}"
                is_known = full in ATTRIBUTES
                return Thing(
                    "outside instance" if is_known else "outside attribute", name=ATTRIBUTES.get(full, full)
                )
            case "const":
                return Thing("outside attribute", name=f"builtins.str.{name}")
            case "any":
                return any_of(self.attribute(p, name, depth - 1) for p in thing.parts)
            case "iter" if thing.name == "set":
                return Thing("outside attribute", name=f"builtins.set.{name}")
            case "box" if thing.name == DICT and name in VIEWS:
                return replace(thing, what="view", name=name)
            case "class" | "instance":
                return self._of_class(thing, name, depth - 1)
            case _:
                return None

    def _known(self, symbol: Symbol, owner: Thing | None, depth: int) -> Thing | None:
        """An attribute that is known by its name, unless the tree defines it."""
        if owner is not None and owner.what in ("class", "instance"):
            for above in self.ancestors(Thing("class", owner.path, owner.name)):
                made = self.class_of(above)
                if made and (symbol.name in made.fields or symbol.name in made.returns):
                    return self.attribute(owner, symbol.name, depth)
        return Thing("known", name=symbol.name, is_sure=symbol.is_sure)

    def _fields(self, thing: Thing | None, depth: int) -> Thing | None:
        """Everything inside an instance, as ``asdict`` and ``model_dump`` give it; what may be None is not certain."""
        if thing is None or thing.what != "instance":
            return None
        above = [*self.ancestors(Thing("class", thing.path, thing.name))]
        made = [(each.path, found) for each in above if (found := self.class_of(each))]
        if any(each.uses_enum_values for _, each in made):
            return None
        given = {name for _, each in made for name in each.serialized}
        parts: dict[str, Thing | None] = {}
        for path, each in made if "*" not in given else ():
            for name, member in each.members.items():
                if name not in parts and member.is_field:
                    is_given = name in given or member.is_serialized
                    held = None if is_given else self.what(each.fields[name], path, depth)
                    unfolded = self._unfolded(held, depth - 1)
                    parts[name] = perhaps(unfolded) if member.may_be_none else unfolded
        return Thing("box", name=DICT, parts=tuple(parts.values()))

    def _held(self, thing: Thing | None, depth: int) -> Thing | None:
        """What an object of the tree itself holds, as ``vars`` gives it: nothing of that is made plain."""
        if thing is None or thing.what != "instance":
            return None
        parts: dict[str, Thing | None] = {}
        for above in self.ancestors(Thing("class", thing.path, thing.name)):
            own = self.class_of(above)
            for name, symbol in own.fields.items() if own and not own.uses_enum_values else ():
                if own and name not in parts and (name not in own.members or own.members[name].is_field):
                    parts[name] = self.what(symbol, above.path, depth)
        return Thing("box", name=DICT, parts=tuple(parts.values()))

    def _unfolded(self, thing: Thing | None, depth: int) -> Thing | None:
        """Records inside of a record become dictionaries too; enums and times stay what they are."""
        if thing is None or depth <= 0:
            return None
        if thing.what in ("box", "row", "any"):
            return replace(thing, parts=tuple(self._unfolded(part, depth - 1) for part in thing.parts))
        made = self.class_of(thing) if thing.what == "instance" and not self.is_enum(thing) else None
        is_record = made is not None and any(member.annotation for member in made.members.values())
        return self._fields(thing, depth - 1) if is_record else thing

    def _of_class(self, thing: Thing, name: str, depth: int) -> Thing | None:
        for above in self.ancestors(Thing("class", thing.path, thing.name)):
            made = self.class_of(above)
            if made is None:
                if (
                    thing.what == "instance"
                    and above.what == "outside"
                    and not above.name.startswith("builtins.")
                ):
                    return Thing("outside attribute", name=f"{above.name}.{name}")
                continue
            if name in made.members and thing.what == "class" and self.is_enum(thing):
                member = Thing("instance", thing.path, thing.name, line=made.members[name].line)
                return perhaps(member) if made.changes_reads else member
            if name in made.fields:
                held = self.what(made.fields[name], above.path, depth)
                return perhaps(held) if made.changes_reads else held
            if name in made.properties:
                return self.what(made.returns[name], above.path, depth)
            if name in made.returns:
                return Thing("method", above.path, f"{above.name}.{name}")
        return None

    def _called(self, thing: Thing | None, depth: int) -> Thing | None:
        if thing is None or not depth:
            return None
        if thing.what == "class":
            return instance_of(thing)
        if thing.what == "view":
            return view_of(thing)
        if thing.what == "any":
            return any_of(self._called(part, depth - 1) for part in thing.parts)
        if thing.what in ("outside", "outside attribute"):
            return outside_result(thing.name)
        module = self._around(thing)
        if module is None:
            return None
        if thing.what == "function":
            return self._result(thing, module.functions[thing.name], depth)
        owner, _, method = thing.name.rpartition(".")
        if thing.what == "method" and owner in module.classes:
            return self._result(thing, module.classes[owner].returns.get(method), depth)
        return None

    def _result(self, function: Thing, symbol: Symbol | None, depth: int) -> Thing | None:
        """What a function gives; what it gives by calling itself is nothing else, and steps alone would not bound that."""
        if function in self._open:
            return None
        self._open.add(function)
        try:
            return self.what(symbol, function.path, depth)
        finally:
            self._open.remove(function)

    def is_enum(self, thing: Thing) -> bool:
        """Whether a class descends from ``enum``'s classes, plain or mixed."""
        return any(a.what == "outside" and a.name.startswith("enum.") for a in self.ancestors(thing))
