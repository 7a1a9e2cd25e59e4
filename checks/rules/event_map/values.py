"""What an entry's key and value are when other files are followed: texts, members of enums, literals of classes."""

from __future__ import annotations

import ast

from checks.rules.event_map.by_name import between
from checks.rules.event_map.change import Entry
from checks.rules.event_map.messages import class_in, literals_of
from checks.tree.symbols import Symbol
from checks.tree.things import Thing
from checks.tree.tree import Tree

#: classes of libraries, as they begin, that add no methods or members of their own
PLAIN_BASES = ("builtins.", "abc.", "typing.", "enum.", "object", "ABC", "Protocol", "Generic")


def unquoted(text: str) -> str | None:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else None


class Values:
    """Follows names of one tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def key(self, key: Symbol | None, path: str) -> str | None:
        """The text of an entry's key; None when it cannot be read."""
        if key is None or key.form == "const":
            return key and key.name
        if key.form == "obj":  # a constant, or an enum member's value
            left, dot, member = key.name.rpartition(".")
            name = member if dot else ""
            if name in ("value", "name"):
                return self.key(Symbol("obj", left), path)
            owner = (
                self._tree.resolver.what(Symbol("obj", left), path)
                if dot and not left.endswith(":")
                else None
            )
            made = self._tree.resolver.class_of(owner) if owner and owner.what == "class" else None
            if made and name in made.members:
                return self._text_of(owner, name, made.members[name].value)
        thing = self._tree.resolver.what(key, path)
        return thing.name if thing and thing.what == "const" else None

    def class_of(self, entry: Entry, path: str) -> Thing | None:
        """The class that a value is taken from."""
        thing = self._tree.resolver.what(entry.base, path) if entry.base is not None else None
        return thing if thing and thing.what == "class" else None

    def members(self, entry: Entry, path: str) -> dict[str, str] | None:
        """Names to value texts of the class that the value is taken from; None when it cannot be followed."""
        thing = self.class_of(entry, path)
        found: dict[str, str] = {}
        for above in self._tree.resolver.ancestors(thing) if thing else ():
            made = self._tree.resolver.class_of(above)
            if made is None and above.what == "outside" and not above.name.startswith(("enum.", "builtins.")):
                return None  # inherits from something that cannot be read
            found |= {name: m.value for name, m in made.members.items() if name not in found} if made else {}
        return found or None

    def of_class(self, entry: Entry, path: str) -> list[str]:
        """The keys that a class stands for: all members of an enum, or the literal of a message class."""
        if entry.form != "members":
            return self._literals(entry, path)
        thing, members = self.class_of(entry, path), self.members(entry, path) or {}
        return [
            name if entry.member else self._text_of(thing, name, text) or name
            for name, text in members.items()
        ]

    def functions(self, entry: Entry, path: str) -> tuple[list[str], bool]:
        """The keys in the names of a module's functions, or a class's methods; and whether there may be more."""
        before, _, behind = entry.member.partition(" ")
        thing = self._tree.resolver.what(entry.base, path)
        module = self._tree.definitions(thing.path) if thing and thing.what == "module" else None
        names = list(module.functions) if module else []
        is_open = thing is None or thing.what not in ("module", "class", "outside")
        for above in self._tree.resolver.ancestors(thing) if thing and not module else ():
            made = self._tree.resolver.class_of(above)
            names += made.returns if made else ()
            is_open |= made is None and not above.name.startswith(PLAIN_BASES)
        return [key for name in names if (key := between(name, (before, behind)))], is_open

    def _literals(self, entry: Entry, path: str) -> list[str]:
        """``type: Literal["x"]``, its own or inherited."""
        thing = self.class_of(entry, path)
        for above in self._tree.resolver.ancestors(thing) if thing else ():
            parsed = self._tree.parsed(above.path) if above.path else None
            made = class_in(parsed.tree, above.name) if parsed else None
            texts = literals_of(made) if made is not None else []
            if texts:
                return list(filter(None, (self._text(each, above.path) for each in texts)))
        return []

    def _text(self, node: ast.expr, path: str) -> str:
        return str(node.value) if isinstance(node, ast.Constant) else self._constant(ast.unparse(node), path)

    def _constant(self, text: str, path: str) -> str:
        """``Kind.X`` as it is written in a file."""
        module, (head, dot, rest) = self._tree.definitions(path), text.partition(".")
        if module is None or not all(part.isidentifier() for part in text.split(".")):
            return ""
        start = module.imports.get(head, f"{path}:{head}")
        return self.key(Symbol("obj", f"{start}{dot}{rest}"), path) or ""

    def _text_of(self, owner: Thing | None, name: str, text: str) -> str | None:
        """What an enum's member is; ``auto()`` of a StrEnum is its name in small letters."""
        if owner is not None and text.endswith("auto()"):
            above = {each.name for each in self._tree.resolver.ancestors(owner)}
            return name.lower() if "enum.StrEnum" in above else None
        return unquoted(text)
