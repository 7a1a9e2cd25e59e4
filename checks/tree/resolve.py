"""What a symbol is, across files: classes, instances, functions and modules of the tree, or names outside of it.

Theory of operation. ``Resolver.what`` follows imports and re-exports from file to file, reading a module's
definitions when it first needs them. It answers with a ``Thing``, never guesses, and gives up after a bounded number
of steps: circular imports and recursive types end as "unknown".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from checks.tree.definitions import Class, Definitions
from checks.tree.modules import ModuleIndex
from checks.tree.symbols import Symbol

_DEPTH = 24

#: what calling it gives, for names outside of the tree whose name does not say it; methods of instances too
_RESULTS = {
    "uuid.uuid1": "uuid.UUID",
    "uuid.uuid3": "uuid.UUID",
    "uuid.uuid4": "uuid.UUID",
    "uuid.uuid5": "uuid.UUID",
    "uuid.uuid7": "uuid.UUID",
    "os.urandom": "builtins.bytes",
    "secrets.token_bytes": "builtins.bytes",
    "builtins.str.encode": "builtins.bytes",
    "django.utils.timezone.now": "datetime.datetime",
    "datetime.datetime.date": "datetime.date",
    "datetime.datetime.time": "datetime.time",
    "datetime.date.today": "datetime.date",
    "datetime.date.fromisoformat": "datetime.date",
    "datetime.date.replace": "datetime.date",
    "pathlib.Path.cwd": "pathlib.Path",
    "pathlib.Path.home": "pathlib.Path",
    "pathlib.Path.resolve": "pathlib.Path",
}
_RESULTS |= dict.fromkeys(
    (
        f"datetime.datetime.{name}"
        for name in (
            "now", "utcnow", "today", "fromtimestamp", "utcfromtimestamp", "fromisoformat", "strptime", "combine",
            "replace", "astimezone",
        )
    ),
    "datetime.datetime",
)  # fmt: skip
_RESULTS |= dict.fromkeys(
    (
        f"builtins.{kind}.{name}"
        for kind in ("set", "frozenset")
        for name in ("union", "difference", "intersection", "copy")
    ),
    "builtins.set",
)
_LOWER_CASE_CLASSES = frozenset(
    {
        "builtins.set", "builtins.frozenset", "builtins.bytes", "builtins.bytearray",
        "datetime.datetime", "datetime.date", "datetime.time", "datetime.timedelta",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Thing:
    """One of: ``class``, ``instance``, ``function``, ``method``, ``module``, ``kind``, ``const``, ``known``, ``box``,
    ``key``, ``any``; ``outside``, ``outside instance``, ``outside attribute``, ``outside result`` for what the tree does not hold.

    Args:
        path: the file that defines it; empty for something outside of the tree.
        name: inside the file, or the full dotted name outside of it, or the kind's word.
        parts: what is inside a ``box`` or the choices of an ``any``; None stands for unknown.
        line: of the definition, 0 outside of the tree.
        is_sure: False for a ``known`` attribute of something that may be anything.
    """

    what: str
    path: str = ""
    name: str = ""
    parts: tuple[Thing | None, ...] = ()
    line: int = 0
    is_sure: bool = True


class Resolver:
    """Answers what symbols are; definitions come from a function, so that tests and caches can stand behind it."""

    def __init__(self, modules: ModuleIndex, definitions: Callable[[str], Definitions | None]) -> None:
        self._modules = modules
        self._definitions = definitions

    def what(self, symbol: Symbol | None, importer: str, depth: int = _DEPTH) -> Thing | None:
        """The thing, as seen from the file ``importer``."""
        if symbol is None or not depth:
            return None
        if symbol.form in ("obj", "of"):
            named = self._named(symbol.name, importer, depth - 1)
            return named if symbol.form == "obj" else _instance(named)
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
                own = self.attribute(parts[0], symbol.name, depth - 1) if symbol.name else None
                is_own = own is not None and own.what == "method"
                return self._called(own, depth - 1) if is_own else self._fields(parts[0], depth - 1)
            case "item":
                return self._item(parts[0])
            case (
                "arith"
            ):  # the left side decides where it is an instance of an outside class: ``now() - start``
                return parts[0] if parts[0] and parts[0].what == "outside instance" else parts[1]
            case _:
                return Thing(symbol.form, parts=parts)

    def class_of(self, thing: Thing) -> Class | None:
        """The definition behind a class or an instance of the tree."""
        module = self._definitions(thing.path) if thing.path else None
        return module.classes.get(thing.name) if module else None

    def ancestors(self, thing: Thing, depth: int = 12) -> Iterator[Thing]:
        """The class itself and everything above it, nearest first."""
        yield thing
        made = self.class_of(thing)
        if made and depth:
            for base in made.bases:
                above = self.what(base, thing.path)
                if above is not None and above.what in ("class", "outside"):
                    yield from self.ancestors(above, depth - 1)

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
        module = self._definitions(path)
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
                return Thing("outside attribute", name=f"{thing.name}.{name}")
            case "const":
                return Thing("outside attribute", name=f"builtins.str.{name}")
            case "any":
                return Thing("any", parts=tuple(self.attribute(p, name, depth - 1) for p in thing.parts))
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
        made = self.class_of(thing) if thing and thing.what == "instance" else None
        if made is None or thing is None or made.uses_enum_values:
            return None
        parts = []
        for name, member in made.members.items():
            each = self._unfolded(self.what(made.fields[name], thing.path, depth), depth - 1)
            may_be_none = (
                member.value == "None" or "Optional" in member.annotation or "None" in member.annotation
            )
            parts.append(Thing("any", parts=(each, None)) if each is not None and may_be_none else each)
        return Thing("box", parts=tuple(parts))

    def _unfolded(self, thing: Thing | None, depth: int) -> Thing | None:
        """Records inside of a record become dictionaries too; enums and times stay what they are."""
        if thing is None or depth <= 0:
            return None
        if thing.what in ("box", "any"):
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
                return Thing("instance", thing.path, thing.name, line=made.members[name].line)
            if name in made.fields:
                return self.what(made.fields[name], above.path, depth)
            if name in made.properties:
                return self.what(made.returns[name], above.path, depth)
            if name in made.returns:
                return Thing("method", above.path, f"{above.name}.{name}")
        return None

    def _called(self, thing: Thing | None, depth: int) -> Thing | None:
        if thing is None or not depth:
            return None
        if thing.what == "class":
            return _instance(thing)
        if thing.what in ("outside", "outside attribute"):
            return _outside_result(thing.name)
        module = self._definitions(thing.path) if thing.path else None
        if module is None:
            return None
        if thing.what == "function":
            return self.what(module.functions[thing.name], thing.path, depth)
        owner, _, method = thing.name.rpartition(".")
        if thing.what == "method" and owner in module.classes:
            return self.what(module.classes[owner].returns.get(method), thing.path, depth)
        return None

    def _item(self, thing: Thing | None) -> Thing | None:
        if thing is None:
            return None
        if thing.what == "box":
            parts = tuple(part for part in thing.parts if part is None or part.what != "key")
            return parts[0] if len(parts) == 1 else Thing("any", parts=parts)
        return _instance(thing) if thing.what == "class" and self.is_enum(thing) else None

    def is_enum(self, thing: Thing) -> bool:
        """Whether a class descends from ``enum``'s classes, plain or mixed."""
        return any(a.what == "outside" and a.name.startswith("enum.") for a in self.ancestors(thing))


def _outside_result(name: str) -> Thing:
    """An instance where the name is a class's (by its capital, or in the list); else what the table knows."""
    if name in _RESULTS or name in _LOWER_CASE_CLASSES:
        return Thing("outside instance", name=_RESULTS.get(name, name))
    is_class = name.rpartition(".")[2][:1].isupper()
    return Thing("outside instance" if is_class else "outside result", name=name)


def _instance(thing: Thing | None) -> Thing | None:
    if thing is None:
        return None
    if thing.what == "class":
        return Thing("instance", thing.path, thing.name, line=thing.line)
    return Thing("outside instance", name=thing.name) if thing.what == "outside" else None
